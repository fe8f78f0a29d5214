"""Single files, moved so that at every moment at least one whole copy exists, and nothing is ever overwritten."""

import errno
import hashlib
import os
import shutil
import stat

from lookalike.duplicates.files.journal import sync_folder_of

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def sha256_of(path: str) -> str:
    """The SHA-256 of a file's bytes; a link is not followed. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with open(os.open(path, flags), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file(path: str) -> bool:
    """A regular file, not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def same_inode(one: str, other: str) -> bool:
    """Whether two names are one file on the disk."""
    try:
        return os.path.samestat(os.stat(one), os.stat(other))
    except (OSError, ValueError):
        return False


def move_file(source: str, target: str, aside: str, sha256: str) -> None:
    """Give a file another place; on another disk by way of a checked copy. Raises OSError, and the file stays.

    `aside`: a free name beside `target` for a copy under way. A target that exists is never replaced.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "there is a file of that name already", target)
    try:
        os.link(source, target, follow_symlinks=False)  # unlike a rename, it never replaces
    except OSError as error:
        if error.errno == errno.EXDEV:
            _copy_across(source, target, aside, sha256)
        elif error.errno in _NO_LINKS:
            os.rename(source, target)
            sync_folder_of(target)
            return
        else:
            raise
    sync_folder_of(target)
    os.unlink(source)
    sync_folder_of(source)


def link_over(keep: str, path: str, aside: str) -> None:
    """Make `path` another name of the file `keep`, in one step. Raises OSError, and `path` stays as it was."""
    os.link(keep, aside, follow_symlinks=False)
    try:
        os.replace(aside, path)
    except OSError:
        os.unlink(aside)
        raise
    sync_folder_of(path)


def unlink_over(path: str, aside: str, *, mtime_ns: int, mode: int) -> None:
    """Make `path`, one of several names of a file, a file of its own again, with its date and permissions."""
    _copy_whole(path, aside)
    os.chmod(aside, mode)
    os.utime(aside, ns=(mtime_ns, mtime_ns))
    os.replace(aside, path)
    sync_folder_of(path)


def _copy_across(source: str, target: str, aside: str, sha256: str) -> None:
    _copy_whole(source, aside)
    if sha256_of(aside) != sha256:
        os.unlink(aside)
        raise OSError(
            errno.EIO, "the copy on the other disk differs from the original; the disk may be failing", target
        )
    shutil.copystat(source, aside, follow_symlinks=False)
    try:
        os.link(aside, target, follow_symlinks=False)
        os.unlink(aside)
    except FileExistsError:
        os.unlink(aside)
        raise
    except OSError:  # FAT and some network drives know no links
        os.rename(aside, target)


def _copy_whole(source: str, aside: str) -> None:
    try:
        with open(source, "rb") as here, open(aside, "xb") as there:
            shutil.copyfileobj(here, there, 1 << 20)
            there.flush()
            os.fsync(there.fileno())
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(aside):
            os.unlink(aside)
        raise
