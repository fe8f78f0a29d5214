"""Open and check files by their path in text form, on disk or in an object store."""

import os
from typing import BinaryIO

from lookalike.errors import SourceError
from lookalike.image.sources.object_store import has_objects, is_object, object_state, object_uri, open_object
from lookalike.image.sources.path_text import to_path, to_text
from lookalike.image.sources.web import is_web


def absolute_text(source: str | os.PathLike[str]) -> str:
    """Return the absolute path of a source, in text form."""
    name = str(source)
    if is_web(name):
        return name
    return object_uri(name) if is_object(name) else to_text(os.path.abspath(os.path.expanduser(to_path(name))))


def is_remote(path: str) -> bool:
    """Return whether a path is that of an object or a URL: it can be read, and neither moved nor deleted."""
    return is_object(path) or is_web(path)


def exists(path: str) -> bool:
    """Return whether there is a file, a folder, a link or a prefix of objects. Raises SourceError.

    A URL is not asked for.
    """
    if is_web(path):
        return True
    if is_object(path):
        return object_state(path) is not None or has_objects(path)
    return os.path.lexists(to_path(path))


def is_present(path: str) -> bool:
    """Return whether a file, a folder or a link is there. Objects and URLs count as there: asking takes a request."""
    return is_remote(path) or os.path.lexists(to_path(path))


def is_folder(path: str) -> bool:
    """Return whether a path is a folder, or a prefix of objects and no object. Raises SourceError."""
    if is_object(path):
        return object_state(path) is None and has_objects(path)
    return os.path.isdir(to_path(path))


def file_state(path: str) -> tuple[int, int]:
    """Return a file's size in bytes and its modification time in nanoseconds. Raises OSError, SourceError."""
    if is_object(path):
        if (state := object_state(path)) is None:
            raise FileNotFoundError(path)
        return state
    status = os.stat(to_path(path))
    return status.st_size, status.st_mtime_ns


def open_file(path: str) -> BinaryIO:
    """Open a file for reading; the file can be sought. Raises OSError, SourceError."""
    return open_object(path) if is_object(path) else open(to_path(path), "rb")


def is_deleted(path: str) -> bool:
    """Return whether a file, or the archive that contains it, is gone while its folder exists.

    A missing drive does not count as deletion, nor does an object store that does not answer.
    """
    file = path.split("!/", maxsplit=1)[0]
    if is_web(path):
        return False
    if is_object(file):
        try:
            return object_state(file) is None
        except SourceError:
            return False
    return not os.path.lexists(to_path(file)) and os.path.isdir(os.path.dirname(to_path(file)))
