"""The little of EXIF that a picture's pixels depend on: which way is up."""

import struct

import numpy as np

from lookalike.types import RGB

ORIENTATION = 0x0112
WIDTH, HEIGHT = 0x0100, 0x0101
_MAX_ENTRIES = 1000  # of a directory; cameras write fifty
_SIZES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}


def first_directory(tiff: bytes) -> dict[int, int]:
    """The whole numbers of a TIFF's first directory, tag to first value; EXIF is a TIFF too. Empty when damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return {}
    found: dict[int, int] = {}
    try:
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(min(struct.unpack_from(order + "H", tiff, start)[0], _MAX_ENTRIES)):
            at = start + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
            if kind in _SIZES and count:
                letter, size = _SIZES[kind]
                place = at + 8 if size * count <= 4 else struct.unpack_from(order + "I", tiff, at + 8)[0]
                found.setdefault(tag, struct.unpack_from(order + letter, tiff, place)[0])
    except struct.error:
        pass  # what was read before the damage still counts
    return found


def orientation_of(exif: bytes | None) -> int:
    """The orientation, 1 to 8, that an EXIF block states; 1 when it states none or nonsense."""
    if not exif:
        return 1
    stated = first_directory(exif.removeprefix(b"Exif\0\0")).get(ORIENTATION, 1)
    return stated if 1 <= stated <= 8 else 1


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """(width, height) once the picture is upright."""
    return (height, width) if orientation >= 5 else (width, height)


def upright(image: RGB, orientation: int) -> RGB:
    """The picture turned and mirrored as orientation 1 to 8 demands (H, W, 3)."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
