"""A file lock that the system releases when its process ends."""

from typing import Protocol


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


def try_lock(file: _HasFileno | int, *, shared: bool = False) -> bool | None:
    """Lock an open file without waiting. Returns whether it is now locked; None where flock is missing (Windows).

    `shared`: several processes can hold the lock together, unless one holds it alone.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
