"""All pairs, against the plain product of all with all."""

import itertools

import numpy as np
import pytest

from lookalike.duplicates.search.pairs import COLUMNS, ROWS, choose_bound, cross_pairs, near_pairs
from lookalike.errors import BadQuery
from lookalike.similarity import normalize


def clustered(count: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    """Vectors in clusters, some of them noisy copies of others, with scores on both sides of any limit."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((40, dim))
    vectors = centers[rng.integers(0, 40, count)] + rng.standard_normal((count, dim)) * rng.uniform(0.1, 1, (count, 1))
    vectors[: count // 4] = vectors[count // 2 : count // 2 + count // 4]
    return normalize(vectors)


def plainly(a: np.ndarray, b: np.ndarray, min_score: float) -> set[tuple[int, int]]:
    scores = a.astype(np.float64) @ b.astype(np.float64).T
    return {(int(i), int(j)) for i, j in zip(*np.nonzero(scores >= min_score), strict=True)}


def as_set(result: object) -> set[tuple[int, int]]:
    listed = [(int(i), int(j)) for p in result for i, j in zip(p.first, p.second, strict=True)]  # type: ignore[attr-defined]
    assert len(listed) == len(set(listed)), "a pair came twice"
    return set(listed)


@pytest.mark.parametrize("count", [1, 2, ROWS - 1, ROWS, ROWS + 1, 2 * COLUMNS + ROWS + 7])
def test_near_pairs_are_all_pairs_and_no_picture_is_its_own(count: int) -> None:
    vectors = clustered(count)
    expected = {(i, j) for i, j in plainly(vectors, vectors, 0.9001) if i < j}
    allowed = {(i, j) for i, j in plainly(vectors, vectors, 0.8999) if i < j}
    result = as_set(near_pairs(vectors, 0.9))
    assert expected <= result <= allowed


@pytest.mark.parametrize("min_score", [-1.0, 0.0, 0.5, 0.99])
def test_any_limit(min_score: float) -> None:
    vectors = clustered(150)
    result = as_set(near_pairs(vectors, min_score))
    expected = {(i, j) for i, j in plainly(vectors, vectors, min_score + 1e-5) if i < j}
    assert expected <= result
    assert all(i < j for i, j in result)


def test_scores_are_the_products_and_at_most_one() -> None:
    vectors = clustered(600)
    for pairs in near_pairs(vectors, 0.8):
        np.testing.assert_allclose(pairs.score, np.sum(vectors[pairs.first] * vectors[pairs.second], 1), atol=2e-6)
        assert pairs.score.max() <= 1


def test_cross_pairs_are_all_pairs() -> None:
    a, b = clustered(1500, seed=1), clustered(2300, seed=1)
    result = as_set(cross_pairs(a, b, 0.9))
    assert plainly(a, b, 0.9001) <= result <= plainly(a, b, 0.8999)


def test_half_precision_is_read_as_it_is() -> None:
    vectors = clustered(900).astype(np.float16)
    expected = {(i, j) for i, j in plainly(vectors, vectors, 0.9001) if i < j}
    assert expected <= as_set(near_pairs(vectors, 0.9))


def test_the_bound_is_never_below_the_score() -> None:
    # Like photos after PCA: the last coordinates are small.
    vectors = normalize(clustered(4500, dim=64) / np.arange(1, 65) ** 1.5)
    bound = choose_bound(vectors, 0.9)
    assert bound.basis.shape[1] < 64
    vectors = vectors[::10]
    reduced = bound.reduce(vectors)
    assert reduced.shape[1] <= 65
    assert (reduced @ reduced.T - vectors @ vectors.T).min() >= -1e-5


def test_nothing_in_nothing_out() -> None:
    none = np.zeros((0, 8), np.float32)
    assert list(near_pairs(none, 0.9)) == []
    assert list(cross_pairs(clustered(5, dim=8), none, 0.9)) == []


def test_progress_ends_with_all() -> None:
    calls: list[tuple[int, int]] = []
    list(near_pairs(clustered(2500), 0.95, progress=lambda *at: calls.append(at)))
    assert calls[-1] == (2500, 2500)
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(calls))


def test_a_score_beyond_one_is_refused() -> None:
    with pytest.raises(BadQuery, match="between -1 and 1"):
        list(near_pairs(clustered(5), 1.5))
