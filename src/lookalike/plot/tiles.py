"""Thumbnails as square tiles on JPEG sheets of a thousand, so that a page can hold 100,000 images."""

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
_BACKGROUND = 128
# (largest number of images, pixels per side of a tile), so that sheets take about 30 MB at most.
_SIDES = ((3_000, 96), (8_000, 64), (20_000, 48), (60_000, 32))
_MIN_SIDE = 24


def side_for(count: int) -> int:
    """Return the pixels per side of a tile on a page with `count` images."""
    return next((side for limit, side in _SIDES if count <= limit), _MIN_SIDE)


def tiles(photos: "Collection", ids: Sequence[str], side: int) -> RGB:
    """Return (n, side, side, 3): the center square of each thumbnail, gray if there is none."""
    result = np.full((len(ids), side, side, 3), _BACKGROUND, np.uint8)
    for n, jpeg in enumerate(photos.thumbnails(ids)):
        if jpeg is None:
            continue
        try:
            result[n] = scaled(_center_square(np.asarray(decode(jpeg, side=side).image)), side, side)
        except ImageError:
            continue
    return result


def sheets(photos: "Collection", ids: Sequence[str], side: int) -> Iterator[bytes]:
    """Yield JPEG sheets of COLUMNS x COLUMNS tiles in the order of `ids`; the last has only the rows it needs."""
    import cv2

    for start in range(0, len(ids), COLUMNS * COLUMNS):
        batch = tiles(photos, ids[start : start + COLUMNS * COLUMNS], side)
        sheet = mosaic(batch, COLUMNS)
        _, data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        yield bytes(data)


def mosaic(squares: RGB, columns: int, *, background: int = _BACKGROUND) -> RGB:
    """Arrange (n, side, side, 3) tiles row by row in one image with `columns` columns."""
    count, side = len(squares), squares.shape[1]
    rows = max(-(-count // columns), 1)
    full = np.full((rows * columns, side, side, 3), background, np.uint8)
    full[:count] = squares
    # rows, columns, y, x, 3 to rows, y, columns, x, 3
    arranged = full.reshape(rows, columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(arranged.reshape(rows * side, columns * side, 3))


def _center_square(image: RGB) -> RGB:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(image[top : top + side, left : left + side])
