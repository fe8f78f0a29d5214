"""Small test images."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.types import RGB


@pytest.fixture(scope="session")
def scene() -> RGB:
    """Return a smooth image without symmetry, 60 x 90; each corner has a different color."""
    down, across = np.mgrid[0:60, 0:90]
    red = across * 255 / 89
    green = down * 255 / 59
    blue = 128 + 100 * np.sin(across / 9) * np.cos(down / 13)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def mean_difference() -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]:
    """Return a function that measures the mean difference of two images, in levels of 255."""

    def measure(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
        assert first.shape == second.shape
        return float(np.abs(first.astype(int) - second).mean())

    return measure
