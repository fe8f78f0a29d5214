"""Read a file or an archive member within limits; pipes and devices are never opened."""

import os
import stat

from lookalike.errors import ImageTooLarge, UnreadableImage
from lookalike.image.decoding.limits import Limits, too_many_bytes
from lookalike.image.sources.archive import ARCHIVES, SEPARATOR, read_member
from lookalike.image.sources.object_store import is_object, read_object
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_path
from lookalike.image.sources.web import is_web, read_url

_DEFAULT_LIMITS = Limits()


def read(path_text: str, limits: Limits = _DEFAULT_LIMITS) -> bytes:
    """Read the bytes of a file or of an archive member ("/abs/a.zip!/inner/x.jpg").

    `path_text`: text form, as from `find`. Raises UnreadableImage (no such file, permission denied, empty, not a file)
    and, before reading, ImageTooLarge. The message is the reason alone; the path is added as a note.
    """
    try:
        if not is_web(path_text) and (archive := _archive_of(path_text)) is not None:
            return read_member(archive, path_text[len(archive) + len(SEPARATOR) :], limits)
        if is_web(path_text):
            return read_url(path_text, limits)
        return read_object(path_text, limits) if is_object(path_text) else _read_file(to_path(path_text), limits)
    except (UnreadableImage, ImageTooLarge) as error:
        error.add_note(f"path: {path_text}")
        raise


def containing_file(path_text: str) -> str:
    """Return the file on disk that contains an image, the file itself or its archive; or the URI of an object."""
    if is_web(path_text):
        return path_text
    file = _archive_of(path_text) or path_text
    return file if is_object(file) else to_path(file)


def _prefixes(path_text: str) -> list[str]:
    """Return every prefix that could be an archive; the name of a folder may also end in "!"."""
    return [path_text[:n] for n in range(len(path_text)) if path_text.startswith(SEPARATOR, n)]


def _archive_of(path_text: str) -> str | None:
    """Return the path of the archive, in text form, of which a path names a member."""
    if SEPARATOR not in path_text:
        return None
    if is_object(path_text):  # by its name: each look at the store takes some milliseconds
        return next((text for text in _prefixes(path_text) if text.lower().endswith(ARCHIVES)), None)
    if os.path.isfile(to_path(path_text)):
        return None
    return next((text for text in _prefixes(path_text) if os.path.isfile(to_path(text))), None)


def _read_file(path: str, limits: Limits) -> bytes:
    try:
        _check_status(os.stat(path), limits)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            size = _check_status(os.fstat(file.fileno()), limits)  # again: the file may have been replaced since
            data = file.read(size)
    except (OSError, ValueError) as error:
        raise UnreadableImage(os_reason(error)) from error
    if not data:
        raise UnreadableImage("is empty (0 bytes)")
    return data


def _check_status(status: os.stat_result, limits: Limits) -> int:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("is a pipe or a device, not a file")
    if status.st_size == 0:
        raise UnreadableImage("is empty (0 bytes)")
    if status.st_size > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(status.st_size, limits))
    return status.st_size
