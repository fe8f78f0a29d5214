"""Detect camera raw files by content: most are TIFFs whose first image is a small preview.

The criteria, most reliable first: magic numbers of makers; the tag DNGVersion (DNG 1.7, Adobe, 2023); a color filter
array or linear raw samples (TIFF/EP, ISO 12234-2) or a maker's own compression in the first directory or one of its
SubIFDs. A small first page alone is no criterion, as ordinary TIFFs have that too.
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from lookalike.errors import UnreadableImage
from lookalike.image.decoding.formats import RAW_EXTENSIONS
from lookalike.image.sources.path_text import to_path

_MAGICS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"....ftypcrx", "CR3"),
        (rb"II\*\0\x10\0\0\0CR\x02\0", "CR2"),
        (rb"II\x1a\0\0\0HEAPCCDR", "CRW"),
        (rb"IIRO|IIRS|MMOR", "ORF"),
        (rb"IIU\0", "RW2"),
        (rb"FUJIFILMCCD-RAW", "RAF"),
        (rb"FOVb", "X3F"),
        (rb"\0MRM", "MRW"),
        # Four equal letters alone could be pixels of a gray TIFF.
        (rb"II\*\0....IIII.waR|MM\0\*....MMMMRaw", "IIQ"),
    )
)
_ORDERS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
_COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_IFDS, _DNG_VERSION = 259, 262, 271, 330, 50706
_CFA, _LINEAR_RAW = 32803, 34892
# Used only by Sony ARW, Nikon NEF, Panasonic, Kodak (65000), Pentax PEF and Samsung SRW (two).
_RAW_COMPRESSIONS = frozenset({32767, 34713, 34316, 65000, 65535, 32770, 32772})
_MAKERS = (
    ("NIKON", "NEF"),
    ("CANON", "CR2"),
    ("SONY", "ARW"),
    ("PENTAX", "PEF"),
    ("RICOH", "PEF"),
    ("SAMSUNG", "SRW"),
    ("HASSELBLAD", "3FR"),
    ("PHASE ONE", "IIQ"),
    ("LEAF", "MOS"),
    ("MAMIYA", "MEF"),
    ("EPSON", "ERF"),
    ("SEIKO EPSON", "ERF"),
    ("EASTMAN KODAK", "DCR"),
    ("KODAK", "DCR"),
)
_SIZES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}
_MAX_ENTRIES, _MAX_SUB_IFDS = 4096, 16  # entries of a directory; SubIFDs of the first directory
_MAX_TAGS, _MAX_PAGES = 1000, 10_000  # valid directories have about fifty entries


class Buffer(Protocol):
    """Bytes, or a file mapped into memory."""

    def __getitem__(self, part: slice, /) -> bytes: ...


def raw_format(data: Buffer) -> str | None:
    """Return the format of a camera raw file (DNG, NEF, CR2 ...), "TIFF" for an unknown maker; None for other files."""
    head = bytes(data[:32])
    if (magic := next((name for pattern, name in _MAGICS if pattern.match(head)), None)) is not None:
        return magic
    if head[:4] not in _ORDERS:
        return None
    first, *subs = _read_directories(data)
    if _DNG_VERSION in first.values:
        return "DNG"
    if any(_has_raw_samples(directory) for directory in (first, *subs)):
        return next((name for maker, name in _MAKERS if first.make.startswith(maker)), "TIFF")
    return None


def is_raw_file(path_text: str) -> bool:
    """Return whether a file is a camera raw file, by its extension or, for TIFFs, by its content. Never raises."""
    extension = os.path.splitext(path_text)[1].lower()
    if extension.removeprefix(".") in RAW_EXTENSIONS:
        return True
    if extension not in (".tif", ".tiff"):
        return False
    try:
        with open(to_path(path_text), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return raw_format(mapped) is not None
    except (OSError, ValueError):  # the file was removed or is empty
        return False


def check_directories(data: Buffer) -> None:
    """Raise UnreadableImage for a TIFF with thousands of entries or pages, which would take a reader very long."""
    known = _ORDERS.get(bytes(data[:4]))
    if known is None:
        return
    order, big = known
    letter, size, counter, counter_size, entry_size = ("Q", 8, "Q", 8, 20) if big else ("I", 4, "H", 2, 12)
    offset = _unpack(data, order + letter, 8 if big else 4, size)
    visited: set[int] = set()
    while offset and offset[0]:
        if offset[0] in visited or len(visited) >= _MAX_PAGES:
            raise UnreadableImage(f"is a TIFF with {'a loop of' if offset[0] in visited else 'too many'} pages")
        visited.add(offset[0])
        count = _unpack(data, order + counter, offset[0], counter_size)
        if not count:
            return
        if count[0] > _MAX_TAGS:
            raise UnreadableImage(f"is a TIFF whose directory claims {count[0]:,} entries")
        offset = _unpack(data, order + letter, offset[0] + counter_size + count[0] * entry_size, size)


class _Directory(NamedTuple):
    """The integer tags of a directory, and the maker's name in upper case."""

    values: dict[int, list[int]]
    make: str = ""


def _has_raw_samples(directory: _Directory) -> bool:
    photometric, compression = (directory.values.get(tag, [0])[0] for tag in (_PHOTOMETRIC, _COMPRESSION))
    return photometric in (_CFA, _LINEAR_RAW) or compression in _RAW_COMPRESSIONS


def _read_directories(data: Buffer) -> Iterator[_Directory]:
    """Yield the first directory and its SubIFDs; a damaged directory yields the tags before the damage."""
    order, big = _ORDERS[bytes(data[:4])]
    letter, at, size = ("Q", 8, 8) if big else ("I", 4, 4)
    offset = _unpack(data, order + letter, at, size)
    first = _read_directory(data, order, offset[0], big=big) if offset else _Directory({})
    yield first
    for sub in first.values.get(_SUB_IFDS, [])[:_MAX_SUB_IFDS]:
        yield _read_directory(data, order, sub, big=big)


def _read_directory(data: Buffer, order: str, start: int, *, big: bool) -> _Directory:
    counter, counter_size, entry_size, inline = ("Q", 8, 20, 8) if big else ("H", 2, 12, 4)
    count = _unpack(data, order + counter, start, counter_size)
    values: dict[int, list[int]] = {}
    make = ""
    for n in range(min(count[0], _MAX_ENTRIES) if count else 0):
        at = start + counter_size + n * entry_size
        header = _unpack(data, order + ("HHQ" if big else "HHI"), at, entry_size - inline)
        if not header:
            break
        tag, kind, length = header
        if tag not in (_COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_IFDS, _DNG_VERSION):
            continue
        letter, size = ("s", 1) if kind == 2 else _SIZES.get(kind, ("", 0))
        length = min(length, 64)
        position = at + entry_size - inline
        if size and size * length > inline:
            pointer = _unpack(data, order + ("Q" if big else "I"), position, inline)
            position = pointer[0] if pointer else -1
        if not size or position < 0:
            continue
        if kind == 2:
            make = bytes(data[position : position + length]).split(b"\0")[0].decode("ascii", "replace").strip().upper()
        elif numbers := _unpack(data, f"{order}{length}{letter}", position, size * length):
            values.setdefault(tag, list(numbers))
    return _Directory(values, make)


def _unpack(data: Buffer, layout: str, at: int, size: int) -> tuple[int, ...]:
    """Unpack numbers at a position; empty beyond the end of the file."""
    part = bytes(data[at : at + size])
    return struct.unpack(layout, part) if len(part) == size else ()
