"""Read boxes of ISO media files (HEIC, AVIF, JPEG XL) that no maintained library reports without decoding pixels."""

import re
from collections.abc import Iterator
from itertools import islice

from lookalike.image.color.transfer import ColorSpace
from lookalike.image.decoding.exif import ORIENTATION, first_directory, orientation_of

_MAX_BOXES, _MAX_MATCHES = 1000, 100
_TIFF = re.compile(rb"II\*\0|MM\0\*")


def top_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of each top-level box of an ISO media file; start and end are of its content."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 8 > len(data):
            return
        size, start = int.from_bytes(data[position : position + 4], "big"), position + 8
        if size == 1:
            size, start = int.from_bytes(data[position + 8 : position + 16], "big"), position + 16
        end = len(data) if size == 0 else position + size
        if end < start:
            return
        yield data[position + 4 : position + 8], start, min(end, len(data))
        position = end


def has_rotation(data: bytes) -> bool:
    """Return whether a HEIC or AVIF file has its own rotation (irot) or mirror (imir)."""
    return any(
        data.find(box, start, end) >= 0
        for kind, start, end in top_boxes(data)
        if kind == b"meta"
        for box in (b"irot", b"imir")
    )


def exif_orientation(data: bytes) -> int:
    """Return the EXIF orientation to apply to a HEIC or AVIF image.

    The decoder applies the file's own rotation (irot) and mirror (imir), which take precedence over EXIF. EXIF is used
    only for a file that has neither.
    """
    if has_rotation(data):
        return 1
    # Following item locations to the EXIF block would take a hundred lines. A TIFF header whose directory has an
    # orientation occurs by chance in compressed pixels less than once in 10^12 bytes.
    for match in islice(_TIFF.finditer(data), _MAX_MATCHES):
        block = data[match.start() : match.start() + 65536]
        if ORIENTATION in first_directory(block):
            return orientation_of(block)
    return 1


def color_space(data: bytes) -> ColorSpace | None:
    """Return the code points of a HEIC or AVIF file (a `colr` box of type `nclx`), if any."""
    for kind, start, end in top_boxes(data):
        if kind == b"meta":
            position = data.find(b"colrnclx", start, end)
            if position >= 0 and position + 14 <= end:
                primaries, transfer = (int.from_bytes(data[position + n : position + n + 2], "big") for n in (8, 10))
                return ColorSpace(primaries, transfer)
    return None
