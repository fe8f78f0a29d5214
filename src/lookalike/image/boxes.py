"""The few boxes and bits of HEIC, AVIF and JPEG XL files that no kept library tells without decoding pixels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lookalike.image.exif import ORIENTATION, first_directory, orientation_of

_TIFF = re.compile(rb"II\*\0|MM\0\*")
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # JPEG XL's aspect ratios 1 to 7


def top_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each box at the top of an ISO media file; start and end of its content."""
    at = 0
    while at + 8 <= len(data):
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = len(data) if size == 0 else at + size
        if end < start:
            return
        yield data[at + 4 : at + 8], start, min(end, len(data))
        at = end


def has_turn(data: bytes) -> bool:
    """Whether a HEIC or AVIF file turns or mirrors its picture by itself."""
    return any(
        data.find(box, start, end) >= 0
        for kind, start, end in top_boxes(data)
        if kind == b"meta"
        for box in (b"irot", b"imir")
    )


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation still to be applied to a HEIC or AVIF picture.

    The file's own turn (irot) and mirror (imir) are applied by the decoder and outrank EXIF; only a file that has
    neither is turned as its EXIF says.
    """
    if has_turn(data):
        return 1
    # Following item locations to the EXIF block takes a hundred lines; a TIFF header whose directory states an
    # orientation is found by chance in compressed pixels less than once in 10^12 bytes.
    for match in _TIFF.finditer(data):
        block = data[match.start() : match.start() + 65536]
        if ORIENTATION in first_directory(block):
            return orientation_of(block)
    return 1


@dataclass(slots=True)
class _Bits:
    """Bits of a JPEG XL codestream, least significant first."""

    value: int
    at: int = 0

    def take(self, count: int) -> int:
        taken = (self.value >> self.at) & ((1 << count) - 1)
        self.at += count
        return taken

    def side(self, *, small: int) -> int:
        if small:
            return (self.take(5) + 1) * 8
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1


def jxl_facts(data: bytes) -> tuple[int, int, int]:
    """(width, height, orientation) as stored in a JPEG XL file; its decoder applies the orientation."""
    bits = _Bits(int.from_bytes(_codestream(data)[2:34], "little"))
    small = bits.take(1)
    height = bits.side(small=small)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        width = height * across // down
    else:
        width = bits.side(small=small)
    plain = bits.take(1)
    orientation = 1 if plain or not bits.take(1) else bits.take(3) + 1
    return width, height, orientation


def _codestream(data: bytes) -> bytes:
    if data[:2] == b"\xff\x0a":
        return data[:64]
    for kind, start, _ in top_boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            skip = 4 if kind == b"jxlp" else 0  # a partial codestream begins with its number
            return data[start + skip : start + skip + 64]
    raise ValueError("no codestream")
