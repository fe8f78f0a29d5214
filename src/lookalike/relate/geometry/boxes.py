"""Boxes in an image: x, y, width, height as fractions of its sides; how they move, meet and fall on pixels."""

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.transform import Matrix, project
from lookalike.types import RGB

Box = tuple[float, float, float, float]
"""x, y, width, height as fractions of the image."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def corners_of(box: Box) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a box, clockwise from the top left."""
    x, y, width, height = box
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def box_around(points: NDArray[np.float64], *, margin: float = 0.0) -> Box:
    """Return the bounding box of points (n, 2), within the image. `margin`: of its sides, added on each side."""
    low, high = points.min(axis=0), points.max(axis=0)
    extra = margin * (high - low)
    (x, y), (right, bottom) = np.clip(low - extra, 0, 1), np.clip(high + extra, 0, 1)
    return float(x), float(y), float(right - x), float(bottom - y)


def transform_box(box: Box, matrix: NDArray[np.floating]) -> Box:
    """Return the bounding box of a transformed box, within the image."""
    return box_around(project(matrix, corners_of(box)))


def intersection(a: Box, b: Box) -> Box:
    """Return what two boxes share; its sides are 0 where they share nothing."""
    x, y = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return x, y, max(0.0, right - x), max(0.0, bottom - y)


def box_in_page(inner: Box, box: Box) -> Box:
    """Turn a box in fractions of another box into fractions of the whole."""
    x, y, width, height = box
    return x + inner[0] * width, y + inner[1] * height, inner[2] * width, inner[3] * height


def box_to_page(box: Box) -> Matrix:
    """Return the matrix from fractions of a part to fractions of the whole."""
    x, y, width, height = box
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1]])


def crop(page: RGB, box: Box) -> RGB:
    """Return a part of an image at full resolution; exactly the box if it comes from `snap_to_pixels`."""
    left, top, right, bottom = box_edges(page.shape[:2], box)
    return np.ascontiguousarray(page[top:bottom, left:right])


def snap_to_pixels(page: RGB, box: Box) -> Box:
    """Return the box that `crop` returns: in a small part, an offset of half a pixel is a visible difference."""
    height, width = page.shape[:2]
    left, top, right, bottom = box_edges((height, width), box)
    return left / width, top / height, (right - left) / width, (bottom - top) / height


def box_edges(shape: tuple[int, ...], box: Box) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a box in pixels of an image of (height, width); at least one pixel."""
    height, width = shape
    x, y, w, h = box
    left, top = min(int(x * width + 1e-6), width - 1), min(int(y * height + 1e-6), height - 1)
    return left, top, max(left + 1, round((x + w) * width)), max(top + 1, round((y + h) * height))
