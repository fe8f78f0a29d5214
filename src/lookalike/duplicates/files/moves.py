"""Move single files so that a complete copy exists at every moment and no file is ever overwritten."""

import errno
import hashlib
import os
import shutil
import stat

from lookalike.duplicates.files.journal import sync_folder_of

_LINKS_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file; a link is not followed. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with open(os.open(path, flags), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file(path: str) -> bool:
    """Return whether a path is a regular file, and not a link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def same_inode(first: str, second: str) -> bool:
    """Return whether two paths are the same file on disk."""
    try:
        return os.path.samestat(os.stat(first), os.stat(second))
    except (OSError, ValueError):
        return False


def move_file(source: str, target: str, temp_path: str, sha256: str) -> None:
    """Move a file; to another disk by a verified copy. Raises OSError, and then the file stays.

    `temp_path`: a free name beside `target` for the incomplete copy. An existing target is never replaced.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "a file of that name already exists", target)
    try:
        os.link(source, target, follow_symlinks=False)  # unlike a rename, a link never replaces a file
    except OSError as error:
        if error.errno == errno.EXDEV:
            _copy_across(source, target, temp_path, sha256)
        elif error.errno in _LINKS_UNSUPPORTED:
            os.rename(source, target)
            sync_folder_of(target)
            return
        else:
            raise
    sync_folder_of(target)
    try:
        os.unlink(source)
    except OSError:
        if not os.path.lexists(source) and os.lstat(target).st_nlink == 1:
            return  # somebody else removed the source: the target is the only copy
        os.unlink(target)  # it stays where it was; of a file that another process moved, that one's target remains
        sync_folder_of(target)
        raise
    sync_folder_of(source)


def link_over(keep: str, path: str, temp_path: str) -> None:
    """Replace `path` by a hard link to `keep`, atomically. Raises OSError, and then `path` stays as it was."""
    os.link(keep, temp_path, follow_symlinks=False)
    try:
        os.replace(temp_path, path)
    except OSError:
        os.unlink(temp_path)
        raise
    sync_folder_of(path)


def unlink_over(path: str, temp_path: str, *, mtime_ns: int, mode: int) -> None:
    """Replace `path`, a hard link, by an independent copy with its own date and permissions."""
    _copy_file(path, temp_path)
    os.chmod(temp_path, mode)
    os.utime(temp_path, ns=(mtime_ns, mtime_ns))
    os.replace(temp_path, path)
    sync_folder_of(path)


def _copy_across(source: str, target: str, temp_path: str, sha256: str) -> None:
    _copy_file(source, temp_path)
    if sha256_of(temp_path) != sha256:
        os.unlink(temp_path)
        raise OSError(
            errno.EIO, "the copy on the second disk differs from the original; the disk may be failing", target
        )
    shutil.copystat(source, temp_path, follow_symlinks=False)
    try:
        os.link(temp_path, target, follow_symlinks=False)
        os.unlink(temp_path)
    except FileExistsError:
        os.unlink(temp_path)
        raise
    except OSError:  # FAT and some network drives have no links
        os.rename(temp_path, target)


def _copy_file(source: str, temp_path: str) -> None:
    try:
        with open(source, "rb") as reader, open(temp_path, "xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(temp_path):
            os.unlink(temp_path)
        raise
