"""List and read images in object stores: s3://, gs:// and az:// (extra `remote`), hf:// (extra `hub`).

Credentials, endpoint and region come from the environment, by the names that the store of collections knows too
(AWS_ACCESS_KEY_ID, AWS_ENDPOINT, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME ...).
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from lookalike.errors import ImageTooLarge, SourceError, UnreadableImage
from lookalike.image.decoding.limits import Limits
from lookalike.image.sources.hub_client import SCHEME as HUB
from lookalike.image.sources.hub_client import split_data_set
from lookalike.image.sources.object_clients import ObjectClient, client_of
from lookalike.image.sources.object_types import ObjectFacts
from lookalike.image.sources.source_types import SkippedFiles, SourceFile, is_candidate, is_hidden, is_raw_name

SCHEMES = ("s3", "gs", "az", HUB)
READ_AHEAD_BYTES = 1 << 20  # of an archive or a table
_MISSING = ("NotFoundError", "EntryNotFoundError", "RemoteEntryNotFoundError")  # of the libraries
_OBJECT = re.compile(rf"({'|'.join(SCHEMES)}):/+")
_REASONS = (
    (re.compile("NoSuchBucket|specified bucket does not exist", re.I), "no such bucket"),
    (re.compile("Repository Not Found|Revision Not Found", re.I), "no such data set or revision, or it is private"),
    (re.compile("not found|no ?such ?key", re.I), "no such object"),
    (
        re.compile(r"denied|forbidden|unauthor|credential|signature|\b40[13]\b", re.I),
        "permission denied: check the credentials in the environment",
    ),
    (re.compile("region", re.I), "its region is unknown: set AWS_REGION"),
)


def is_object(path: str) -> bool:
    """Return whether a path is that of an object store. Raises nothing and connects to nothing."""
    return _OBJECT.match(path) is not None


def object_uri(path: str) -> str:
    """Return a path of an object store as it is stored: two slashes after the scheme (a pathlib.Path leaves one), and
    none at the end."""
    uri = _OBJECT.sub(r"\1://", path, count=1).rstrip("/")
    if uri.endswith(":"):
        raise SourceError(f"{path}: names no bucket; write s3://BUCKET/FOLDER")
    _split(uri)
    return uri


def find_objects(uri: str, skipped: SkippedFiles) -> Iterator[SourceFile]:
    """List the images below a prefix by key, a page at a time. Raises SourceError."""
    bucket, prefix = _split(uri)
    with _errors_of_source(uri):
        for item in client_of(bucket, prefix).list(prefix):
            if (file := _listed(uri, bucket, prefix, item, skipped)) is not None:
                yield file


def has_objects(uri: str) -> bool:
    """Return whether there is any object below a prefix. Raises SourceError."""
    bucket, prefix = _split(uri)
    with _errors_of_source(uri):
        return next(client_of(bucket, prefix).list(prefix), None) is not None


def object_state(uri: str) -> tuple[int, int] | None:
    """Return the size in bytes and the time in nanoseconds of one object, as listed; None if there is none.

    Raises SourceError if the store does not answer.
    """
    bucket, key = _split(uri)
    if not key:
        return None
    with _errors_of_source(uri):
        try:
            facts = client_of(bucket, key).head(key)
        except Exception as error:
            if _is_missing(error):
                return None
            raise
        return facts.size, facts.mtime_ns


def read_object(uri: str, limits: Limits) -> bytes:
    """Read one object within limits. Raises UnreadableImage and, before its content is read, ImageTooLarge."""
    bucket, key = _split(uri)
    try:
        data = client_of(bucket, key).read(key, limits)
    except ImageTooLarge:
        raise
    except Exception as error:
        raise UnreadableImage(_reason(error)) from error
    if not data:
        raise UnreadableImage("is empty (0 bytes)")
    return data


def open_object(uri: str) -> BinaryIO:
    """Open an object for reading by parts, with a buffer of 1 MB. Raises OSError."""
    bucket, key = _split(uri)
    try:
        client = client_of(bucket, key)
        return io.BufferedReader(_ObjectFile(client, key, client.head(key).size), READ_AHEAD_BYTES)
    except Exception as error:
        raise OSError(_reason(error)) from error


class _ObjectFile(io.RawIOBase):
    """An object as a file: each read asks for a range of bytes."""

    def __init__(self, client: ObjectClient, key: str, size: int) -> None:
        self._client, self._key, self._size, self._at = client, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        if count <= 0:
            return 0
        try:
            data = self._client.read_range(self._key, self._at, count)
        except Exception as error:
            raise OSError(_reason(error)) from error
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _listed(uri: str, bucket: str, prefix: str, item: ObjectFacts, skipped: SkippedFiles) -> SourceFile | None:
    """Return a listed object as a file, None if its name is not that of an image."""
    name = item.key[len(prefix) + 1 :] if prefix else item.key
    *folders, last = name.split("/")
    if any(is_hidden(folder) for folder in folders):
        return None
    if is_raw_name(last):
        folder = (-1, hash((uri, *folders)))
        skipped.raw_files[folder] = skipped.raw_files.get(folder, 0) + 1
    return SourceFile(f"{bucket}/{item.key}", uri, name, item.size, item.mtime_ns) if is_candidate(last) else None


def _split(uri: str) -> tuple[str, str]:
    """Return the URI of the bucket, and the key. Raises SourceError for a hub's path that is no data set."""
    match = _OBJECT.match(uri)
    assert match is not None
    if match[1] == HUB:
        return split_data_set(uri[match.end() :])
    bucket, _, key = uri[match.end() :].partition("/")
    return f"{match[1]}://{bucket}", key


@contextmanager
def _errors_of_source(source: str) -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{source}: {_reason(error)}") from error


def _is_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or type(error).__name__ in _MISSING


def _reason(error: Exception) -> str:
    """Return the reason of an error of the store, to follow the object's name in a message."""
    if isinstance(error, SourceError):
        return str(error)
    text = " ".join(str(error).split()).partition(" Debug source:")[0]
    for pattern, reason in _REASONS:
        if pattern.search(text):
            return reason
    return f"the object store does not answer ({text[:200]})"
