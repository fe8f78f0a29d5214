"""Pictures inside zip and tar archives, read in place: nothing is ever written to disk.

A zip and a plain tar are read at random. A compressed tar can only be read from its beginning, so one cursor per
archive walks forward, shared by all threads, and keeps the last pictures it passed (64 MiB at most): reading in the
order of `find_members`, also by several threads at once, decompresses the archive once, not once a picture.
"""

import calendar
import contextlib
import os
import tarfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from lookalike.errors import ImageError, ImageTooLarge, SourceError, UnreadableImage
from lookalike.image.decoding.limits import Limits, too_many_bytes
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_text
from lookalike.image.sources.source_types import Found, NotListed, is_candidate, is_hidden

SEPARATOR = "!/"
PASSED_BYTES = 64 * 2**20
OPEN_ARCHIVES = 2

_MAX_EXTENDED = 2**20  # bytes of a tar's header for a long name or the like; honest ones have some hundred


class _Header(tarfile.TarInfo):
    """A tar's header whose extended parts are not read into memory at whatever size they claim."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE) or self.type in (
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if extended and self.size > _MAX_EXTENDED:
            raise tarfile.ReadError(f"a header claims {self.size:,} bytes")
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return found


class _Archive(Protocol):
    """An archive that stays open between two reads."""

    def read(self, key: str, limits: Limits) -> bytes: ...
    def close(self) -> None: ...


def find_members(path: str) -> Iterator[Found | NotListed]:
    """List the pictures inside a zip or tar (.gz, .bz2, .xz) archive. Raises SourceError when it cannot be opened."""
    try:
        yield from _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path)
    except Exception as error:  # the standard library's readers fail in any way on what is damaged
        raise SourceError(f"{to_text(path)}: {_why(error, 'cannot be opened as an archive')}; make it anew") from error


def read_member(path: str, member: str, limits: Limits) -> bytes:
    """The bytes of one member, named as `find_members` names it. Raises UnreadableImage, ImageTooLarge."""
    try:
        return _opened(path).read(member, limits)
    except ImageError:
        raise
    except Exception as error:
        raise UnreadableImage(_why(error, "the archive is damaged here")) from error


def _why(error: Exception, otherwise: str) -> str:
    if isinstance(error, OSError) and error.errno:
        return os_reason(error)
    if isinstance(error, NotImplementedError):
        return "is compressed in a way we cannot read: make the archive anew as a plain zip"
    return f"{otherwise} ({error})" if str(error) else otherwise


def _key(name: str) -> str:
    """A member's name made harmless: slashes, no drive, no leading slash, no ".."."""
    parts = to_text(name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..") and not (len(part) == 2 and part[1] == ":"))


def _is_listed(key: str) -> bool:
    *folders, name = key.split("/")
    return is_candidate(name) and not any(is_hidden(folder) for folder in folders)


def _member(archive: str, key: str, size: int, mtime_ns: int) -> Found:
    return Found(f"{archive}{SEPARATOR}{key}", archive, key, size, mtime_ns)


# --- zip


def _zip_members(path: str) -> Iterator[Found | NotListed]:
    archive = to_text(path)
    with zipfile.ZipFile(path) as opened:
        members = {_key(info.filename): info for info in opened.infolist() if not info.is_dir()}
    for key, info in members.items():
        if not _is_listed(key):
            continue
        if info.flag_bits & 1:
            yield NotListed(f"{archive}{SEPARATOR}{key}", "is encrypted: unpack the archive with its password first")
        else:
            # A zip keeps local time without a zone; taken as UTC it is at least the same on every machine.
            yield _member(archive, key, info.file_size, calendar.timegm((*info.date_time, 0, 0, 0)) * 10**9)


class _Zip:
    def __init__(self, path: str) -> None:
        self._zip = zipfile.ZipFile(path)  # reading from several threads is safe: each member has its own position
        self._members = {_key(info.filename): info for info in self._zip.infolist()}

    def read(self, key: str, limits: Limits) -> bytes:
        info = self._members.get(key)
        if info is None:
            raise UnreadableImage("no such file in the archive")
        if info.flag_bits & 1:
            raise UnreadableImage("is encrypted: unpack the archive with its password first")
        with self._zip.open(info) as member:
            return _limited(member, info.file_size, limits)

    def close(self) -> None:
        self._zip.close()


def _limited(member: IO[bytes], size: int, limits: Limits) -> bytes:
    """A member's bytes. The size in the directory is checked first, then not believed: a zip bomb lies about it."""
    if size > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(size, limits))
    data = member.read(min(size, limits.max_bytes) + 1)
    if len(data) > size:
        raise UnreadableImage("the archive is damaged here (holds more than it says)")
    if not data:
        raise UnreadableImage("is empty (0 bytes)")
    return data


# --- tar


def _tar_members(path: str) -> Iterator[Found | NotListed]:
    archive = to_text(path)
    seen: set[str] = set()
    with tarfile.open(path, "r|*", errors="surrogateescape", tarinfo=_Header) as opened:
        for info in _walked(opened):
            key = _key(info.name)
            if info.isreg() and _is_listed(key) and key not in seen:
                seen.add(key)
                yield _member(archive, key, info.size, int(info.mtime * 10**9))


def _walked(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined]  # tarfile remembers every member it has met: memory would grow with the archive
        yield info


@dataclass(frozen=True, slots=True)
class _Extent:
    offset: int
    size: int


class _PlainTar:
    """An uncompressed tar: where each picture lies is known after one walk over the headers."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._extents: dict[str, _Extent] = {}
        with tarfile.open(path, "r:", errors="surrogateescape", tarinfo=_Header) as opened:
            for info in _walked(opened):
                if info.isreg() and not info.issparse():
                    self._extents.setdefault(_key(info.name), _Extent(info.offset_data, info.size))

    def read(self, key: str, limits: Limits) -> bytes:
        extent = self._extents.get(key)
        if extent is None:
            raise UnreadableImage("no such file in the archive")
        if extent.size > limits.max_bytes:
            raise ImageTooLarge(too_many_bytes(extent.size, limits))
        with open(self._path, "rb") as file:
            file.seek(extent.offset)
            data = file.read(extent.size)
        if not data:
            raise UnreadableImage("is empty (0 bytes)")
        return data

    def close(self) -> None:
        self._extents = {}


class _PackedTar:
    """A compressed tar: a cursor that only goes forward, and the pictures it passed last."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._order: dict[str, int] = {}  # the place of every member met so far
        self._passed: OrderedDict[str, bytes] = OrderedDict()
        self._passed_bytes = 0
        self._tar: tarfile.TarFile | None = None
        self._rewind()

    def _rewind(self) -> None:
        if self._tar is not None:
            self._tar.close()
        self._tar = tarfile.open(self._path, "r|*", errors="surrogateescape", tarinfo=_Header)  # noqa: SIM115
        self._walk = enumerate(_walked(self._tar))
        self._at = -1

    def read(self, key: str, limits: Limits) -> bytes:
        with self._lock:
            if key in self._passed:
                self._passed_bytes -= len(self._passed[key])
                return _sized(self._passed.pop(key), limits)
            if self._order.get(key, self._at + 1) <= self._at:
                self._rewind()
            data = self._forward(key, limits)
            if data is None:
                raise UnreadableImage("no such file in the archive")
            return data

    def _forward(self, key: str, limits: Limits) -> bytes | None:
        for place, info in self._walk:
            self._at = place
            name = _key(info.name)
            if not info.isreg() or self._order.setdefault(name, place) != place:
                continue
            if name == key:
                return self._take(info, limits)
            if _is_listed(name) and info.size <= min(limits.max_bytes, PASSED_BYTES):
                self._keep(name, self._bytes(info))
        return None

    def _take(self, info: tarfile.TarInfo, limits: Limits) -> bytes:
        if info.size > limits.max_bytes:
            raise ImageTooLarge(too_many_bytes(info.size, limits))
        return _sized(self._bytes(info), limits)

    def _bytes(self, info: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(info) if self._tar else None
        return file.read() if file else b""

    def _keep(self, name: str, data: bytes) -> None:
        self._passed[name] = data
        self._passed_bytes += len(data)
        while self._passed_bytes > PASSED_BYTES:
            self._passed_bytes -= len(self._passed.popitem(last=False)[1])

    def close(self) -> None:
        with self._lock:
            if self._tar is not None:
                self._tar.close()
            self._passed.clear()


def _sized(data: bytes, limits: Limits) -> bytes:
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(len(data), limits))
    if not data:
        raise UnreadableImage("is empty (0 bytes)")
    return data


# --- the archives that stay open

_cache: OrderedDict[tuple[int, str, int, int], _Archive] = OrderedDict()
_cache_lock = threading.Lock()


def _opened(path: str) -> _Archive:
    """The archive, opened once and kept; a changed file is opened again, and a forked process opens its own."""
    status = os.stat(path)
    key = (os.getpid(), path, status.st_size, status.st_mtime_ns)
    with _cache_lock:
        if key not in _cache:
            _cache[key] = _open(path)
            while len(_cache) > OPEN_ARCHIVES:
                # Another thread may be reading from it: it is closed when the last reader lets go of it.
                _cache.popitem(last=False)
        _cache.move_to_end(key)
        return _cache[key]


def _open(path: str) -> _Archive:
    if zipfile.is_zipfile(path):
        return _Zip(path)
    with contextlib.suppress(tarfile.ReadError):
        return _PlainTar(path)
    return _PackedTar(path)


def close_archives() -> None:
    """Close the archives kept open between reads (Windows cannot delete a file that is open)."""
    with _cache_lock:
        while _cache:
            _cache.popitem()[1].close()
