"""List and read images inside zip and tar archives, on disk or in an object store, without writing anything to disk.

Zip and uncompressed tar archives have random access. A compressed tar can only be read from its beginning, so all
threads share one forward cursor per archive, which buffers the last images it passed (64 MiB at most). Reading in the
order of `find_members`, also from several threads, therefore decompresses the archive once, not once per image.
"""

import calendar
import contextlib
import os
import tarfile
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal, Protocol

from lookalike.errors import ImageError, ImageTooLarge, SourceError, UnreadableImage
from lookalike.image.decoding.limits import Limits, too_many_bytes
from lookalike.image.sources.files import file_state, open_file
from lookalike.image.sources.object_store import is_object, open_object
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_path, to_text
from lookalike.image.sources.source_types import NotListed, SourceFile, is_candidate, is_hidden

ARCHIVES = (".zip", ".cbz", ".tar", ".tgz", ".tbz2", ".txz", ".cbt", ".tar.gz", ".tar.bz2", ".tar.xz")
SEPARATOR = "!/"
MAX_BUFFERED_BYTES = 64 * 2**20
MAX_OPEN_ARCHIVES = 2
STATE_SECONDS = 10.0

_MAX_EXTENDED_BYTES = 2**20  # bytes of a tar's extended header (long names and the like); valid ones have a few hundred


class _BoundedTarInfo(tarfile.TarInfo):
    """A tar header that rejects extended headers of excessive size instead of reading them into memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE) or self.type in (
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if extended and self.size > _MAX_EXTENDED_BYTES:
            raise tarfile.ReadError(f"a header claims {self.size:,} bytes")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return member


class _Archive(Protocol):
    """An archive that stays open between reads."""

    def read(self, key: str, limits: Limits) -> bytes: ...
    def close(self) -> None: ...


def find_members(path: str) -> Iterator[SourceFile | NotListed]:
    """List the images inside a zip or tar (.gz, .bz2, .xz) archive, by its path in text form.

    Raises SourceError when it cannot be opened.
    """
    try:
        yield from _zip_members(path) if _is_zip(path) else _tar_members(path)
    except SourceError:
        raise
    except Exception as error:  # on damaged archives, the standard library's readers can raise anything
        raise SourceError(f"{path}: {_reason(error, 'cannot be opened as an archive')}; create it again") from error


def read_member(path: str, member: str, limits: Limits) -> bytes:
    """Read one member of an archive, by their names from `find_members`. Raises UnreadableImage, ImageTooLarge."""
    try:
        return _get_archive(path).read(member, limits)
    except ImageError:
        raise
    except Exception as error:
        raise UnreadableImage(_reason(error, "the archive is damaged here")) from error


def _reason(error: Exception, otherwise: str) -> str:
    if isinstance(error, OSError) and error.errno:
        return os_reason(error)
    if isinstance(error, NotImplementedError):
        return "has an unsupported compression: create the archive again as a standard zip"
    return f"{otherwise} ({error})" if str(error) else otherwise


def _key(name: str) -> str:
    """Return a member's name in safe form: slashes, no drive, no leading slash, no ".."."""
    parts = to_text(name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..") and not (len(part) == 2 and part[1] == ":"))


def _is_listed(key: str) -> bool:
    *folders, name = key.split("/")
    return is_candidate(name) and not any(is_hidden(folder) for folder in folders)


def _member(archive: str, key: str, size: int, mtime_ns: int) -> SourceFile:
    return SourceFile(f"{archive}{SEPARATOR}{key}", archive, key, size, mtime_ns)


# --- zip


def _is_zip(path: str) -> bool:
    with open_file(path) as file:
        return zipfile.is_zipfile(file)


def _open_zip(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(open_object(path) if is_object(path) else to_path(path))


def _zip_members(archive: str) -> Iterator[SourceFile | NotListed]:
    with _open_zip(archive) as opened:
        members = {_key(info.filename): info for info in opened.infolist() if not info.is_dir()}
    for key, info in members.items():
        if not _is_listed(key):
            continue
        if info.flag_bits & 1:
            yield NotListed(f"{archive}{SEPARATOR}{key}", "is encrypted: unpack the archive with its password first")
        else:
            # A zip stores local time without a zone; interpreted as UTC, it is the same on every machine.
            yield _member(archive, key, info.file_size, calendar.timegm((*info.date_time, 0, 0, 0)) * 10**9)


class _Zip:
    def __init__(self, path: str) -> None:
        self._zip = _open_zip(path)  # thread-safe: each open member has its own position
        self._members = {_key(info.filename): info for info in self._zip.infolist()}

    def read(self, key: str, limits: Limits) -> bytes:
        info = self._members.get(key)
        if info is None:
            raise UnreadableImage("no such file in the archive")
        if info.flag_bits & 1:
            raise UnreadableImage("is encrypted: unpack the archive with its password first")
        with self._zip.open(info) as member:
            return _read_limited(member, info.file_size, limits)

    def close(self) -> None:
        self._zip.close()


def _read_limited(member: IO[bytes], size: int, limits: Limits) -> bytes:
    """Read a member within limits. The size in the directory is not trusted: zip bombs state a false one."""
    if size > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(size, limits))
    data = member.read(min(size, limits.max_bytes) + 1)
    if len(data) > size:
        raise UnreadableImage("the archive is damaged here (the member is longer than its directory states)")
    if not data:
        raise UnreadableImage("is empty (0 bytes)")
    return data


# --- tar


def _tar_members(archive: str) -> Iterator[SourceFile | NotListed]:
    listed: set[str] = set()
    with _open_tar(archive, "r|*") as opened:
        for info in _members(opened):
            key = _key(info.name)
            if info.isreg() and _is_listed(key) and key not in listed:
                listed.add(key)
                yield _member(archive, key, info.size, int(info.mtime * 10**9))


def _open_tar(path: str, mode: Literal["r:", "r|*"]) -> tarfile.TarFile:
    file = open_object(path) if is_object(path) else None
    return tarfile.open(to_path(path), mode, file, errors="surrogateescape", tarinfo=_BoundedTarInfo)


def _members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined]  # tarfile records every member it has read, so memory would grow with the archive
        yield info


@dataclass(frozen=True, slots=True)
class _Extent:
    offset: int
    size: int


class _PlainTar:
    """An uncompressed tar: one pass over the headers gives the position of each image."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._extents: dict[str, _Extent] = {}
        with _open_tar(path, "r:") as opened:
            for info in _members(opened):
                if info.isreg() and not info.issparse():
                    self._extents.setdefault(_key(info.name), _Extent(info.offset_data, info.size))

    def read(self, key: str, limits: Limits) -> bytes:
        extent = self._extents.get(key)
        if extent is None:
            raise UnreadableImage("no such file in the archive")
        if extent.size > limits.max_bytes:
            raise ImageTooLarge(too_many_bytes(extent.size, limits))
        with open_file(self._path) as file:
            file.seek(extent.offset)
            data = file.read(extent.size)
        if not data:
            raise UnreadableImage("is empty (0 bytes)")
        return data

    def close(self) -> None:
        self._extents = {}


class _CompressedTar:
    """A compressed tar: a forward-only cursor and a buffer of the last images it passed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._order: dict[str, int] = {}  # position of every member read so far
        self._buffer: OrderedDict[str, bytes] = OrderedDict()
        self._buffered_bytes = 0
        self._tar: tarfile.TarFile | None = None
        self._rewind()

    def _rewind(self) -> None:
        if self._tar is not None:
            self._tar.close()
        self._tar = _open_tar(self._path, "r|*")
        self._walk = enumerate(_members(self._tar))
        self._position = -1

    def read(self, key: str, limits: Limits) -> bytes:
        with self._lock:
            if key in self._buffer:
                self._buffered_bytes -= len(self._buffer[key])
                return _checked_size(self._buffer.pop(key), limits)
            if self._order.get(key, self._position + 1) <= self._position:
                self._rewind()
            data = self._advance_to(key, limits)
            if data is None:
                raise UnreadableImage("no such file in the archive")
            return data

    def _advance_to(self, key: str, limits: Limits) -> bytes | None:
        for position, info in self._walk:
            self._position = position
            name = _key(info.name)
            if not info.isreg() or self._order.setdefault(name, position) != position:
                continue
            if name == key:
                return self._read_limited(info, limits)
            if _is_listed(name) and info.size <= min(limits.max_bytes, MAX_BUFFERED_BYTES):
                self._add_to_buffer(name, self._bytes(info))
        return None

    def _read_limited(self, info: tarfile.TarInfo, limits: Limits) -> bytes:
        if info.size > limits.max_bytes:
            raise ImageTooLarge(too_many_bytes(info.size, limits))
        return _checked_size(self._bytes(info), limits)

    def _bytes(self, info: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(info) if self._tar else None
        return file.read() if file else b""

    def _add_to_buffer(self, name: str, data: bytes) -> None:
        self._buffer[name] = data
        self._buffered_bytes += len(data)
        while self._buffered_bytes > MAX_BUFFERED_BYTES:
            self._buffered_bytes -= len(self._buffer.popitem(last=False)[1])

    def close(self) -> None:
        with self._lock:
            if self._tar is not None:
                self._tar.close()
            self._buffer.clear()


def _checked_size(data: bytes, limits: Limits) -> bytes:
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(len(data), limits))
    if not data:
        raise UnreadableImage("is empty (0 bytes)")
    return data


# --- open archives

_cache: OrderedDict[tuple[int, str, int, int], _Archive] = OrderedDict()
_cache_lock = threading.Lock()
_states: dict[str, tuple[tuple[int, int], float]] = {}


def _get_archive(path: str) -> _Archive:
    """Return the archive, which stays open; a changed file is reopened, and a forked process opens its own."""
    key = (os.getpid(), path, *_state(path))
    with _cache_lock:
        if key not in _cache:
            _cache[key] = _open_archive(path)
            while len(_cache) > MAX_OPEN_ARCHIVES:
                # Another thread may be reading from it; it is closed when its last reference is dropped.
                _cache.popitem(last=False)
        _cache.move_to_end(key)
        return _cache[key]


def _state(path: str) -> tuple[int, int]:
    """The state of an archive; that of one in an object store for some seconds, since asking for it takes time."""
    if not is_object(path):
        return file_state(path)
    known = _states.get(path)
    if known is None or time.monotonic() - known[1] > STATE_SECONDS:
        _states[path] = known = file_state(path), time.monotonic()
    return known[0]


def _open_archive(path: str) -> _Archive:
    if _is_zip(path):
        return _Zip(path)
    with contextlib.suppress(tarfile.ReadError):
        return _PlainTar(path)
    return _CompressedTar(path)


def close_archives() -> None:
    """Close the archives that are open between reads; Windows cannot delete an open file."""
    with _cache_lock:
        while _cache:
            _cache.popitem()[1].close()
