"""What a photograph says about itself: when, where and with what it was taken, by its EXIF block or else its XMP.

Standards: CIPA DC-008 (EXIF 3.0); ISO 16684-1 (XMP). The blocks are read from the bytes of the file by this module
alone, since they may be anybody's: nothing is decoded, and no value takes more than its 1,000 bytes.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from lookalike.image.decoding.exif import EXIF_DIRECTORY, GPS_DIRECTORY, Value, directory
from lookalike.types import Scalar

_MAKE, _MODEL, _LENS, _LENS_MAKE = 0x010F, 0x0110, 0xA434, 0xA433
_DATES: Final = ((0x9003, 0x9011), (0x9004, 0x9012))  # taken, digitized, each with the tag of its offset from UTC
_LATITUDE, _LONGITUDE = (1, 2), (3, 4)  # the tags of the hemisphere and of degrees, minutes and seconds
_MAX_TEXT = 100  # characters of a name
_FIRST_YEAR = 1826  # that of the oldest photograph
_MAX_SEARCHED = 1 << 20  # bytes at the beginning of a file in which a block is looked for
_MAX_BLOCKS, _MAX_BLOCK, _MAX_CHUNKS = 4, 1 << 16, 100_000
_EXIF, _XMP = b"Exif\0\0", b"<x:xmpmeta"
_TIFF = (b"II*\0", b"MM\0*")
_XMP_DATES = tuple(  # the best first
    re.compile(re.escape(name) + rb"(?:\s*=\s*[\"']|\s*>\s*)([0-9T:.+Z-]{4,35})")
    for name in (b"exif:DateTimeOriginal", b"photoshop:DateCreated", b"xmp:CreateDate")
)
_ZONE = r"[+-](?:0\d|1[0-4]):[0-5]\d"  # from UTC
_OFFSET = re.compile(_ZONE)
_DATE = re.compile(rf"(\d{{4}})[:-](\d\d)[:-](\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?(?:\.\d+)?\s*(Z|{_ZONE})?")


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What is known of a photograph; "" and None for what is not.

    `taken`: ISO 8601 in the camera's time, with its offset from UTC if the file states it. `camera` and `lens`: maker
    and model. `latitude` and `longitude`: degrees, north and east positive.
    """

    taken: str = ""
    camera: str = ""
    lens: str = ""
    latitude: float | None = None
    longitude: float | None = None

    def columns(self) -> dict[str, Scalar]:
        """Return the metadata columns of what is known."""
        columns: dict[str, Scalar] = {}
        if self.taken:
            columns |= {"taken": self.taken, "year": int(self.taken[:4])}
        columns |= {name: value for name, value in (("camera", self.camera), ("lens", self.lens)) if value}
        if self.latitude is not None and self.longitude is not None:
            columns |= {"latitude": self.latitude, "longitude": self.longitude}
        return columns


def photo_facts(data: bytes) -> PhotoFacts:
    """Return what an image file says about its photograph. Damaged blocks are ignored."""
    head = data[:_MAX_SEARCHED]
    block = _exif_block(data)
    own = directory(block) if block else {}
    details = _further(block, own, EXIF_DIRECTORY)
    position = _further(block, own, GPS_DIRECTORY)
    taken = next(filter(None, (_date(details.get(tag), details.get(offset)) for tag, offset in _DATES)), "")
    latitude, longitude = _degrees(position, _LATITUDE, "S", 90), _degrees(position, _LONGITUDE, "W", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):  # what some devices write for none
        latitude = longitude = None
    return PhotoFacts(
        taken=taken or _xmp_date(head),
        camera=_name(own.get(_MAKE), own.get(_MODEL)),
        lens=_name(details.get(_LENS_MAKE), details.get(_LENS)),
        latitude=latitude,
        longitude=longitude,
    )


def _exif_block(data: bytes) -> bytes:
    """Return the first EXIF block with a directory: after its mark, in a chunk of PNG or WebP, or the file itself."""
    return next((block for block in _blocks(data) if directory(block)), b"")


def _blocks(data: bytes) -> Iterator[bytes]:
    if data.startswith(_TIFF):
        yield data
    elif data.startswith(b"\x89PNG"):
        yield from _chunks(data, 8, b"eXIf", order="big", name_first=False)
    elif data.startswith(b"RIFF"):
        for block in _chunks(data, 12, b"EXIF", order="little", name_first=True):
            yield block.removeprefix(_EXIF)
    else:  # the first segments of a JPEG; anywhere in a HEIC or AVIF
        end = _MAX_SEARCHED if data.startswith(b"\xff\xd8") else len(data)
        at = data.find(_EXIF, 0, end)
        for _ in range(_MAX_BLOCKS):
            if at < 0:
                break
            yield data[at + len(_EXIF) : at + _MAX_BLOCK]
            at = data.find(_EXIF, at + 1, end)


def _chunks(data: bytes, at: int, kind: bytes, *, order: Literal["big", "little"], name_first: bool) -> Iterator[bytes]:
    """Yield the contents of the chunks of a kind: PNG has the length before the name and a check after the content."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return
        first, second = data[at : at + 4], data[at + 4 : at + 8]
        name, length = (first, second) if name_first else (second, first)
        size = int.from_bytes(length, order)
        if name == kind:
            yield data[at + 8 : at + 8 + min(size, _MAX_BLOCK)]
        at += 8 + size + (size & 1 if name_first else 4)


def _further(block: bytes, first: dict[int, Value], tag: int) -> dict[int, Value]:
    start = first.get(tag)
    return directory(block, start) if isinstance(start, int) else {}


def _date(value: Value | None, offset: Value | None) -> str:
    """Return a date of EXIF, "2019:07:04 12:30:05", as ISO 8601; "" for none, such as "0000:00:00 00:00:00"."""
    match = _DATE.match(value) if isinstance(value, str) else None
    if match is None:
        return ""
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return ""
    if not _FIRST_YEAR <= moment.year <= datetime.now().year + 1:
        return ""
    zone = match[7] or (offset if isinstance(offset, str) and _OFFSET.fullmatch(offset) else "")
    return moment.isoformat(timespec="seconds") + zone.replace("Z", "+00:00")


def _xmp_date(data: bytes) -> str:
    start = data.find(_XMP)
    packet = data[start : start + _MAX_BLOCK] if start >= 0 else b""
    matches = filter(None, (pattern.search(packet) for pattern in _XMP_DATES))
    return next(filter(None, (_date(match[1].decode("ascii"), None) for match in matches)), "")


def _name(maker: Value | None, model: Value | None) -> str:
    """Return maker and model, the maker once: "Canon EOS 5D", "NIKON D90" from "NIKON CORPORATION"."""
    first, second = (_cleaned(value) for value in (maker, model))
    if first and second and second.split()[0].casefold() == first.split()[0].casefold():
        first = ""
    return f"{first} {second}".strip()[:_MAX_TEXT]


def _cleaned(value: Value | None) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in value) if isinstance(value, str) else ""
    return " ".join(text.replace("\ufffd", " ").split())


def _degrees(tags: dict[int, Value], pair: tuple[int, int], negative: str, limit: int) -> float | None:
    hemisphere, value = (tags.get(tag) for tag in pair)
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3:
        return None
    degrees = math.fsum(part / 60.0**n for n, part in enumerate(value))
    if not math.isfinite(degrees) or not 0 <= degrees <= limit:
        return None
    if not isinstance(hemisphere, str) or not hemisphere.strip():
        return None  # on which side is not known
    south_or_west = hemisphere.strip()[:1].upper() == negative
    return round(-degrees if south_or_west else degrees, 6)
