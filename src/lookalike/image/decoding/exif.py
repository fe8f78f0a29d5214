"""Read the orientation from EXIF and apply it."""

import struct

import numpy as np

from lookalike.types import RGB

ORIENTATION = 0x0112
WIDTH, HEIGHT = 0x0100, 0x0101
_MAX_ENTRIES = 1000  # of a directory; cameras write about fifty
_SIZES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}


def first_directory(tiff: bytes) -> dict[int, int]:
    """Return the integer tags of a TIFF's first directory as tag -> first value; EXIF has the same layout.

    Damage ends the reading; the result is empty when the header is damaged.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return {}
    values: dict[int, int] = {}
    try:
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(min(struct.unpack_from(order + "H", tiff, start)[0], _MAX_ENTRIES)):
            at = start + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
            if kind in _SIZES and count:
                letter, size = _SIZES[kind]
                position = at + 8 if size * count <= 4 else struct.unpack_from(order + "I", tiff, at + 8)[0]
                values.setdefault(tag, struct.unpack_from(order + letter, tiff, position)[0])
    except struct.error:
        pass  # the tags read before the damage are valid
    return values


def orientation_of(exif: bytes | None) -> int:
    """Return the orientation, 1 to 8, stated by an EXIF block; 1 when it is missing or invalid."""
    if not exif:
        return 1
    stated = first_directory(exif.removeprefix(b"Exif\0\0")).get(ORIENTATION, 1)
    return stated if 1 <= stated <= 8 else 1


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return (width, height) of the upright image."""
    return (height, width) if orientation >= 5 else (width, height)


def upright(image: RGB, orientation: int) -> RGB:
    """Rotate and mirror an image (H, W, 3) by EXIF orientation 1 to 8."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
