"""The few boxes of HEIC, AVIF and JPEG XL files that no kept library tells without decoding pixels."""

import re
from collections.abc import Iterator
from itertools import islice

from lookalike.image.color.transfer import Space
from lookalike.image.decoding.exif import ORIENTATION, first_directory, orientation_of

_MAX_BOXES, _MAX_MATCHES = 1000, 100
_TIFF = re.compile(rb"II\*\0|MM\0\*")


def top_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each box at the top of an ISO media file; start and end of its content."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > len(data):
            return
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
    for match in islice(_TIFF.finditer(data), _MAX_MATCHES):
        block = data[match.start() : match.start() + 65536]
        if ORIENTATION in first_directory(block):
            return orientation_of(block)
    return 1


def colour_space(data: bytes) -> Space | None:
    """The code points that a HEIC or AVIF file states for its picture (a `colr` box of kind `nclx`), if any."""
    for kind, start, end in top_boxes(data):
        if kind == b"meta":
            at = data.find(b"colrnclx", start, end)
            if at >= 0 and at + 14 <= end:
                primaries, transfer = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (8, 10))
                return Space(primaries, transfer)
    return None
