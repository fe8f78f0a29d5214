"""Read the tags of an EXIF block, which has the layout of a TIFF file, and apply its orientation."""

import math
import struct
from typing import TypeAlias

import numpy as np

from lookalike.types import RGB

ORIENTATION = 0x0112
WIDTH, HEIGHT = 0x0100, 0x0101
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825  # tags whose values are the offsets of further directories
_MAX_ENTRIES = 1000  # of a directory; cameras write about fifty
_MAX_BYTES = 1000  # of a value that is read
_INTEGERS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 13: ("I", 4)}
_TEXTS, _RATIONAL, _SIGNED_RATIONAL = (2, 129), 5, 10  # 129: UTF-8, since EXIF 3.0

Value: TypeAlias = int | str | tuple[float, ...]


def first_directory(tiff: bytes) -> dict[int, int]:
    """Return the integer tags of a TIFF's first directory as tag -> first value; EXIF has the same layout.

    Damage ends the reading; the result is empty when the header is damaged.
    """
    return {tag: value for tag, value in directory(tiff).items() if isinstance(value, int)}


def directory(tiff: bytes, start: int | None = None) -> dict[int, Value]:
    """Return the tags of a directory, by default the first: the first integer, a text, or all rational numbers.

    `start`: its offset, as another directory states it. Other types of values, and values of more than 1,000 bytes, are
    left out; a division by zero is not a number. Damage ends the reading.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return {}
    values: dict[int, Value] = {}
    try:
        start = struct.unpack_from(order + "I", tiff, 4)[0] if start is None else start
        for entry in range(min(struct.unpack_from(order + "H", tiff, start)[0], _MAX_ENTRIES)):
            at = start + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
            if tag not in values and (value := _value(tiff, order, kind, count, at + 8)) is not None:
                values[tag] = value
    except struct.error:
        pass  # the tags read before the damage are valid
    return values


def _value(tiff: bytes, order: str, kind: int, count: int, at: int) -> Value | None:
    """Read a value, which is at `at` if it has four bytes or fewer, else at the offset that is there."""
    if kind in _INTEGERS and count:
        letter, size = _INTEGERS[kind]
        position = at if size * count <= 4 else struct.unpack_from(order + "I", tiff, at)[0]
        first: int = struct.unpack_from(order + letter, tiff, position)[0]
        return first
    if kind in _TEXTS and count <= _MAX_BYTES:
        position = at if count <= 4 else struct.unpack_from(order + "I", tiff, at)[0]
        return tiff[position : position + count].split(b"\0")[0].decode("utf-8", "replace")
    if kind in (_RATIONAL, _SIGNED_RATIONAL) and 8 * count <= _MAX_BYTES:
        position = struct.unpack_from(order + "I", tiff, at)[0]
        letter = "I" if kind == _RATIONAL else "i"
        parts = struct.unpack_from(f"{order}{2 * count}{letter}", tiff, position)
        return tuple(over / under if under else math.nan for over, under in zip(parts[::2], parts[1::2], strict=True))
    return None


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
