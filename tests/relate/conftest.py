"""Synthetic images with many details: shapes of many sizes on a soft background."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest

from lookalike.relate.geometry.features import Features, find_features
from lookalike.types import RGB

cv2.setNumThreads(1)


@cache
def scene(seed: int, width: int = 480, height: int = 360) -> RGB:
    """A different image for each seed: 160 shapes of random color."""
    random = np.random.default_rng(seed)
    ground = random.integers(60, 200, (4, 5, 3)).astype(np.uint8)
    image = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(160):
        center = (int(random.integers(width)), int(random.integers(height)))
        size = int(random.integers(4, 40))
        color = tuple(int(c) for c in random.integers(0, 256, 3))
        if random.integers(2):
            cv2.circle(image, center, size, color, -1 if random.integers(2) else 2, cv2.LINE_AA)
        else:
            corners = np.array(center) + random.integers(-size, size + 1, (4, 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], color, cv2.LINE_AA)
    image = np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    image.setflags(write=False)
    return image


@cache
def features(seed: int) -> Features:
    return find_features(scene(seed))


def png(image: RGB) -> bytes:
    return bytes(cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1])


@pytest.fixture
def pasted() -> Callable[..., tuple[RGB, np.ndarray]]:
    """pasted(page, photo, x, y, width): the page with the photo in it, and its outline as fractions of the page."""

    def _pasted(page: RGB, photo: RGB, x: int, y: int, width: int) -> tuple[RGB, np.ndarray]:
        tall = round(width * photo.shape[0] / photo.shape[1])
        whole = page.copy()
        whole[y : y + tall, x : x + width] = cv2.resize(photo, (width, tall), interpolation=cv2.INTER_AREA)
        corners = np.array([(x, y), (x + width, y), (x + width, y + tall), (x, y + tall)], float)
        return whole, corners / (page.shape[1], page.shape[0])

    return _pasted
