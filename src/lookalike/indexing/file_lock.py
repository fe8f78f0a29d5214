"""A lock on a file that lasts as long as its process, however that ends."""

from typing import Protocol


class _Open(Protocol):
    def fileno(self) -> int: ...


def try_lock(file: _Open | int) -> bool | None:
    """Lock an open file: whether it is ours now. None where the system has no such locks, as on Windows."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
