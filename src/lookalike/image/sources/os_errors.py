"""The operating system's errors in plain words."""

import errno

_WORDS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a folder",
    errno.ELOOP: "is a link that leads back to itself",
    errno.ENAMETOOLONG: "has a name too long for this disk",
    errno.EIO: "the disk could not read it",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
    errno.ENODEV: "the drive is not there",
    errno.ENXIO: "the drive is not there",
    errno.ETIMEDOUT: "the network drive did not answer",
}


def os_reason(error: Exception) -> str:
    """Why the operating system refused, as the end of a sentence that begins with the file's name."""
    if not isinstance(error, OSError):
        return "has a name that no file can have"  # a NUL byte, or a character the system cannot write
    known = _WORDS.get(error.errno or 0)
    return known or (error.strerror or str(error) or type(error).__name__).lower()
