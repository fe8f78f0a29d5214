"""The private folder shared by the workers of one server: uploads, jobs, metrics. It is removed with the server.

A killed server cannot clean up, so the next one does: a folder is in use as long as its lock is held.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lookalike.file_lock import try_lock

PREFIX = "lookalike-"
LOCK = "lock"


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """Create a folder readable by this user only, until the block ends; remove those of killed servers."""
    remove_abandoned(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
        (Path(folder) / f"{LOCK}.new").open("wb") as held,
    ):
        try_lock(held)
        (Path(folder) / f"{LOCK}.new").rename(Path(folder) / LOCK)  # the lock file appears only once it is locked
        yield folder


def remove_abandoned(parent: Path) -> None:
    """Remove this user's folders in `parent` whose server has ended."""
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):  # owned by another user, or already removed
            if not _is_own(lock.parent) or not _is_own(lock):
                continue
            with lock.open("rb+") as file:
                if not try_lock(file):  # in use, or the system does not support locks
                    continue
            shutil.rmtree(lock.parent, ignore_errors=True)


def _is_own(path: Path) -> bool:
    """Return whether this user owns the path and it is not a symbolic link, which another user may have placed."""
    return not path.is_symlink() and (not hasattr(os, "getuid") or path.stat().st_uid == os.getuid())
