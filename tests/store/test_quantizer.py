"""What a look at four bits a number leaves out is bounded: by every row of data that is kind and unkind to it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.similarity import normalize
from lookalike.store.quantizer import LEVELS, encode

COUNT = 3000


def clustered(dim: int, noise: float = 0.5) -> NDArray[np.float32]:
    rng = np.random.default_rng(dim)
    centres = rng.standard_normal((60, dim)) / np.arange(1, dim + 1) ** 0.3
    return normalize(centres[rng.integers(0, 60, COUNT)] + noise * rng.standard_normal((COUNT, dim)) / 4)


def outliers(dim: int) -> NDArray[np.float32]:
    vectors = clustered(dim)
    vectors[::100] = normalize(np.eye(dim)[np.arange(0, COUNT, 100) % dim])
    return vectors


def constant(dim: int) -> NDArray[np.float32]:
    vectors = clustered(dim)
    vectors[:, 3] = 0.2
    return normalize(vectors)


@pytest.mark.parametrize("make", [clustered, outliers, constant])
@pytest.mark.parametrize("dim", [16, 33, 256, 600])
@pytest.mark.parametrize("k", [1, 40, 600])
def test_no_row_exceeds_what_is_said_of_it(make, dim: int, k: int) -> None:  # type: ignore[no-untyped-def]
    vectors = make(dim)
    codes = encode(vectors)
    assert codes is not None
    assert len(codes) == COUNT
    rng = np.random.default_rng(1)
    near = normalize(vectors[rng.integers(0, COUNT, 20)] + 0.1 * rng.standard_normal((20, dim)) / dim**0.5)
    spikes = np.eye(dim, dtype=np.float32)[:10]
    queries = np.concatenate([near, vectors[:20], normalize(rng.standard_normal((10, dim))), spikes])
    rows, most, left = codes.candidates(queries, k)
    scores = queries @ vectors.T
    assert np.all(np.take_along_axis(scores, rows, 1) <= most + 1e-6)
    np.put_along_axis(scores, rows, -2, 1)
    assert np.all(scores.max(axis=1) <= left + 1e-6)


def test_the_bound_is_near_enough_to_be_of_use() -> None:
    vectors = clustered(256)
    codes = encode(vectors)
    assert codes is not None
    _, _, left = codes.candidates(vectors[:50], 300)
    twelfth = np.sort(vectors[:50] @ vectors.T, axis=1)[:, -12]
    assert np.mean(left < twelfth) > 0.9


def test_all_rows_leave_nothing_out() -> None:
    codes = encode(clustered(16))
    assert codes is not None
    rows, _, left = codes.candidates(clustered(16)[:2], COUNT)
    assert np.array_equal(np.sort(rows, axis=1), [np.arange(COUNT)] * 2)
    assert left.tolist() == [-np.inf, -np.inf]


def test_rows_that_would_lose_all_of_themselves_are_not_coded() -> None:
    vectors = np.tile(np.eye(8, dtype=np.float32)[:1], (COUNT, 1))
    vectors[7] = np.eye(8)[5]
    assert encode(vectors) is None


def test_the_levels_lose_least() -> None:
    """Lloyd's condition: each level is the mean of the normal variable over the numbers nearest to it."""
    numbers = np.random.default_rng(0).standard_normal(400_000)
    edges = (LEVELS[1:] + LEVELS[:-1]) / 2
    which = np.searchsorted(edges, numbers)
    means = np.bincount(which, numbers) / np.bincount(which)
    assert np.abs(means - LEVELS).max() < 0.02
