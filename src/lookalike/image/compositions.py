"""Images made of several: one pasted into another, and collages. They take the other images that an edit lacks."""

from collections.abc import Sequence

import numpy as np

from lookalike.image.resize import scaled
from lookalike.types import RGB


def paste_into(scene: RGB, image: RGB, random: np.random.Generator, *, share: float = 0.25) -> RGB:
    """Return a copy of `scene` (H, W, 3) with `image` at a random position, upright and whole.

    `share`: of the scene's area that the image covers, between 0 and 1; the image keeps its proportions, so a narrow
    one covers less.
    """
    height, width = scene.shape[:2]
    factor = min((share * height * width / (image.shape[0] * image.shape[1])) ** 0.5, fit_factor(image, height, width))
    inner = scaled(image, max(1, int(image.shape[0] * factor)), max(1, int(image.shape[1] * factor)))
    top = int(random.integers(0, height - inner.shape[0] + 1))
    left = int(random.integers(0, width - inner.shape[1] + 1))
    pasted = scene.copy()
    pasted[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return pasted


def fit_factor(image: RGB, height: int, width: int) -> float:
    """Return the largest scale at which an image fits into height x width pixels."""
    return float(min(height / image.shape[0], width / image.shape[1]))


def collage(images: Sequence[RGB], random: np.random.Generator, *, side: int = 448) -> RGB:
    """Return a collage (side, side, 3) of one to nine images in random order, one per cell of a square grid.

    Each image fills its cell; what sticks out is cut off evenly. A plain gap of random width and color separates them,
    and cells without an image stay plain.
    """
    columns = int(np.ceil(np.sqrt(len(images))))
    rows = int(np.ceil(len(images) / columns))
    gap = int(random.integers(0, side // 40 + 1))
    page = np.empty((side, side, 3), np.uint8)
    page[:] = random.integers(0, 256, 3)
    edges_y = np.linspace(0, side, rows + 1).round().astype(int)
    edges_x = np.linspace(0, side, columns + 1).round().astype(int)
    for cell, index in enumerate(random.permutation(len(images))):
        y, x = divmod(cell, columns)
        top, bottom, left, right = edges_y[y] + gap, edges_y[y + 1] - gap, edges_x[x] + gap, edges_x[x + 1] - gap
        page[top:bottom, left:right] = cover(images[int(index)], bottom - top, right - left)
    return page


def cover(image: RGB, height: int, width: int) -> RGB:
    """Return the image scaled to cover height x width pixels, its center cut out."""
    factor = max(height / image.shape[0], width / image.shape[1])
    large = scaled(image, max(height, round(image.shape[0] * factor)), max(width, round(image.shape[1] * factor)))
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])
