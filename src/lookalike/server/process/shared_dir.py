"""The folder where the workers of one server meet: what strangers sent, jobs, metrics. Private, gone with the server.

Who is killed cannot clean up, so the next server does: a folder is in use as long as its lock is held.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lookalike.indexing.file_lock import try_lock

PREFIX = "lookalike-"
LOCK = "lock"


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """A new folder that only this user may look into, until the block ends; those of killed servers go."""
    sweep(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
        (Path(folder) / f"{LOCK}.new").open("wb") as held,
    ):
        try_lock(held)
        (Path(folder) / f"{LOCK}.new").rename(Path(folder) / LOCK)  # never seen without being held
        yield folder


def sweep(place: Path) -> None:
    """Remove this user's folders in `place` whose server is gone."""
    for lock in place.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):  # another's, or gone by now
            if not _ours(lock.parent) or not _ours(lock):
                continue
            with lock.open("rb+") as file:
                if not try_lock(file):  # nor where the system has no such locks
                    continue
            shutil.rmtree(lock.parent, ignore_errors=True)


def _ours(place: Path) -> bool:
    """Whether this user made it, and it is no link that somebody laid there."""
    return not place.is_symlink() and (not hasattr(os, "getuid") or place.stat().st_uid == os.getuid())
