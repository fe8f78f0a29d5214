"""Readable messages for errors of the operating system."""

import errno

_MESSAGES = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a folder",
    errno.ELOOP: "is a link that points to itself",
    errno.ENAMETOOLONG: "has a name that is too long for this disk",
    errno.EIO: "the disk failed to read it",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
    errno.ENODEV: "the drive is not connected",
    errno.ENXIO: "the drive is not connected",
    errno.ETIMEDOUT: "the network drive did not answer",
}


def os_reason(error: Exception) -> str:
    """Return the reason of an OS error, to follow the file's name in a message."""
    if not isinstance(error, OSError):
        return "has a name that is not a valid file name"  # a NUL byte, or a character that the system cannot encode
    known = _MESSAGES.get(error.errno or 0)
    return known or (error.strerror or str(error) or type(error).__name__).lower()
