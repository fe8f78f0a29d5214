"""Thumbnails as square tiles on large JPEG sheets, a thousand a sheet: what a page with 100,000 pictures can carry."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import ImageError
from lookalike.image import decode
from lookalike.image.resize import scaled
from lookalike.types import RGB

if TYPE_CHECKING:
    from lookalike.search import Collection

COLUMNS = 32  # tiles along each side of a sheet
_QUALITY = 72
_GROUND = 128
# Sheets of at most some 30 MB: (pictures up to, pixels a side).
_SIDES = ((3_000, 96), (8_000, 64), (20_000, 48), (60_000, 32))
_SMALLEST = 24


def side_for(count: int) -> int:
    """Pixels of a tile's side for a page of so many pictures."""
    return next((side for most, side in _SIDES if count <= most), _SMALLEST)


def tiles(photos: "Collection", ids: Sequence[str], side: int) -> RGB:
    """(n, side, side, 3): the middle square of each thumbnail, grey where there is none."""
    made = np.full((len(ids), side, side, 3), _GROUND, np.uint8)
    for place, jpeg in enumerate(photos.thumbnails(ids)):
        if jpeg is None:
            continue
        try:
            made[place] = scaled(_middle(np.asarray(decode(jpeg, side=side).image)), side, side)
        except ImageError:
            continue
    return made


def sheets(photos: "Collection", ids: Sequence[str], side: int) -> Iterator[bytes]:
    """JPEG sheets of COLUMNS x COLUMNS tiles in the order of `ids`; the last has only the rows it needs."""
    import cv2

    for start in range(0, len(ids), COLUMNS * COLUMNS):
        some = tiles(photos, ids[start : start + COLUMNS * COLUMNS], side)
        sheet = mosaic(some, COLUMNS)
        _, data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        yield bytes(data)


def mosaic(some: RGB, columns: int, *, ground: int = _GROUND) -> RGB:
    """(n, side, side, 3) tiles to one picture with so many columns."""
    count, side = len(some), some.shape[1]
    rows = max(-(-count // columns), 1)
    full = np.full((rows * columns, side, side, 3), ground, np.uint8)
    full[:count] = some
    # rows, columns, y, x, 3 to rows, y, columns, x, 3
    laid = full.reshape(rows, columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(laid.reshape(rows * side, columns * side, 3))


def _middle(image: RGB) -> RGB:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(image[top : top + side, left : left + side])
