"""Small pictures to test with."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.types import RGB


@pytest.fixture(scope="session")
def scene() -> RGB:
    """A smooth picture without symmetry, 60 high and 90 wide: each corner has its own color."""
    down, across = np.mgrid[0:60, 0:90]
    red = across * 255 / 89
    green = down * 255 / 59
    blue = 128 + 100 * np.sin(across / 9) * np.cos(down / 13)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def far_apart() -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]:
    """Mean difference of two pictures, in levels of 255."""

    def measure(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
        assert one.shape == other.shape
        return float(np.abs(one.astype(int) - other).mean())

    return measure
