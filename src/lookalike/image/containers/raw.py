"""Whether bytes are a camera's raw file, by their content: most are TIFFs whose first picture is a small preview.

Marks, surest first: magic numbers of makers; the tag DNGVersion (DNG 1.7, Adobe, 2023); a colour filter array or linear
raw samples (TIFF/EP, ISO 12234-2) or a maker's own compression in the first directory or one of its SubIFDs. A small
first page alone is no mark: ordinary TIFFs have that too.
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
        # Four equal letters alone could be the pixels of a grey TIFF.
        (rb"II\*\0....IIII.waR|MM\0\*....MMMMRaw", "IIQ"),
    )
)
_ORDERS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
_COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_IFDS, _DNG_VERSION = 259, 262, 271, 330, 50706
_CFA, _LINEAR_RAW = 32803, 34892
# Sony ARW, Nikon NEF, Panasonic, Kodak 65000, Pentax PEF, Samsung SRW (two): nothing else is compressed so.
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
_MAX_ENTRIES, _MAX_SUB_IFDS = 4096, 16  # of a directory; of the first one
_MAX_TAGS, _MAX_PAGES = 1000, 10_000  # honest directories have fifty entries


class Buffer(Protocol):
    """Bytes, or a file mapped into memory."""

    def __getitem__(self, part: slice, /) -> bytes: ...


def raw_format(data: Buffer) -> str | None:
    """The kind of a camera's raw file (DNG, NEF, CR2 ...), "TIFF" where its maker is unknown; None for all else."""
    head = bytes(data[:32])
    if (magic := next((name for pattern, name in _MAGICS if pattern.match(head)), None)) is not None:
        return magic
    if head[:4] not in _ORDERS:
        return None
    first, *subs = _directories(data)
    if _DNG_VERSION in first.values:
        return "DNG"
    if any(_holds_raw(directory) for directory in (first, *subs)):
        return next((name for maker, name in _MAKERS if first.make.startswith(maker)), "TIFF")
    return None


def is_raw_file(path_text: str) -> bool:
    """Whether a file is a camera's raw file: by its extension, and of a TIFF by what it holds. Never raises."""
    extension = os.path.splitext(path_text)[1].lower()
    if extension.removeprefix(".") in RAW_EXTENSIONS:
        return True
    if extension not in (".tif", ".tiff"):
        return False
    try:
        with open(to_path(path_text), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return raw_format(mapped) is not None
    except (OSError, ValueError):  # gone, or empty
        return False


def check_directories(data: Buffer) -> None:
    """Raise UnreadableImage for a TIFF whose directories would keep a reader busy: thousands of entries or pages."""
    known = _ORDERS.get(bytes(data[:4]))
    if known is None:
        return
    order, big = known
    letter, size, counter, counted, entry = ("Q", 8, "Q", 8, 20) if big else ("I", 4, "H", 2, 12)
    offset = _unpacked(data, order + letter, 8 if big else 4, size)
    seen: set[int] = set()
    while offset and offset[0]:
        if offset[0] in seen or len(seen) >= _MAX_PAGES:
            raise UnreadableImage(f"is a TIFF with {'a loop of' if offset[0] in seen else 'too many'} pages")
        seen.add(offset[0])
        count = _unpacked(data, order + counter, offset[0], counted)
        if not count:
            return
        if count[0] > _MAX_TAGS:
            raise UnreadableImage(f"is a TIFF whose directory says it has {count[0]:,} entries")
        offset = _unpacked(data, order + letter, offset[0] + counted + count[0] * entry, size)


class _Directory(NamedTuple):
    """The tags of a directory that hold whole numbers, and the maker's name in capitals."""

    values: dict[int, list[int]]
    make: str = ""


def _holds_raw(directory: _Directory) -> bool:
    photometric, compression = (directory.values.get(tag, [0])[0] for tag in (_PHOTOMETRIC, _COMPRESSION))
    return photometric in (_CFA, _LINEAR_RAW) or compression in _RAW_COMPRESSIONS


def _directories(data: Buffer) -> Iterator[_Directory]:
    """The first directory, then its SubIFDs; what is damaged ends early."""
    order, big = _ORDERS[bytes(data[:4])]
    letter, at, size = ("Q", 8, 8) if big else ("I", 4, 4)
    offset = _unpacked(data, order + letter, at, size)
    first = _directory(data, order, offset[0], big=big) if offset else _Directory({})
    yield first
    for sub in first.values.get(_SUB_IFDS, [])[:_MAX_SUB_IFDS]:
        yield _directory(data, order, sub, big=big)


def _directory(data: Buffer, order: str, start: int, *, big: bool) -> _Directory:
    counter, counted, entry, inline = ("Q", 8, 20, 8) if big else ("H", 2, 12, 4)
    count = _unpacked(data, order + counter, start, counted)
    values: dict[int, list[int]] = {}
    make = ""
    for n in range(min(count[0], _MAX_ENTRIES) if count else 0):
        at = start + counted + n * entry
        header = _unpacked(data, order + ("HHQ" if big else "HHI"), at, entry - inline)
        if not header:
            break
        tag, kind, length = header
        if tag not in (_COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_IFDS, _DNG_VERSION):
            continue
        letter, size = ("s", 1) if kind == 2 else _SIZES.get(kind, ("", 0))
        length = min(length, 64)
        position = at + entry - inline
        if size and size * length > inline:
            pointed = _unpacked(data, order + ("Q" if big else "I"), position, inline)
            position = pointed[0] if pointed else -1
        if not size or position < 0:
            continue
        if kind == 2:
            make = bytes(data[position : position + length]).split(b"\0")[0].decode("ascii", "replace").strip().upper()
        elif numbers := _unpacked(data, f"{order}{length}{letter}", position, size * length):
            values.setdefault(tag, list(numbers))
    return _Directory(values, make)


def _unpacked(data: Buffer, layout: str, at: int, size: int) -> tuple[int, ...]:
    """Numbers at a position; none where the file does not reach so far."""
    part = bytes(data[at : at + size])
    return struct.unpack(layout, part) if len(part) == size else ()
