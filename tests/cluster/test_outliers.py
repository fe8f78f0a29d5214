"""Outliers and covers against plain loops."""

import numpy as np

from lookalike.cluster.k_center import cover
from lookalike.cluster.neighbors import nearest_neighbors
from lookalike.cluster.outliers import outliers
from lookalike.similarity import normalize


def cloud(n: int = 60, dim: int = 8, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return normalize(np.ones(dim) + 0.1 * random.normal(size=(n, dim)))


def test_neighbors_are_those_of_a_sorted_row() -> None:
    vectors = cloud()
    rows, scores = nearest_neighbors(vectors, 5)
    for n, row in enumerate(vectors):
        order = [int(m) for m in np.argsort(-(vectors @ row), kind="stable") if m != n][:5]
        assert rows[n].tolist() == order
        assert np.allclose(scores[n], vectors[order] @ row, atol=1e-5)


def test_copies_do_not_find_themselves() -> None:
    vectors = np.repeat(cloud(1), 9, 0)
    rows, scores = nearest_neighbors(vectors, 3)
    assert not (rows == np.arange(9)[:, None]).any()
    assert np.allclose(scores, 1, atol=1e-5)


def test_factor_is_that_of_the_paper() -> None:
    """Breunig et al.: LOF by three loops."""
    vectors, k = cloud(40), 6
    distance = np.sqrt(np.maximum(2 - 2 * vectors @ vectors.T, 0))
    near = [[int(m) for m in np.argsort(distance[n], kind="stable") if m != n][:k] for n in range(40)]
    reach = lambda a, b: max(distance[b][near[b][-1]], distance[a][b])  # noqa: E731
    density = [1 / np.mean([reach(n, m) for m in near[n]]) for n in range(40)]
    loop = [np.mean([density[m] for m in near[n]]) / density[n] for n in range(40)]
    assert np.allclose(outliers(vectors, k=k).factor, loop, rtol=1e-3)


def test_the_stranger_comes_first_and_its_neighbors_explain_it() -> None:
    vectors = np.concatenate((cloud(), normalize(-np.ones((1, 8)))))
    result = outliers(vectors)
    assert result.worst(1).tolist() == [60]
    assert result.uniqueness[60] > 1.5 > result.uniqueness[:60].max()
    assert result.scores[60].max() < 0


def test_copies_are_not_unique_and_no_outliers() -> None:
    result = outliers(np.repeat(cloud(1), 30, 0))
    assert np.allclose(result.uniqueness, 0, atol=1e-5)
    assert np.allclose(result.factor, 1)


def test_one_image_alone() -> None:
    result = outliers(cloud(1))
    assert (result.factor.tolist(), result.rows.shape) == ([1.0], (1, 0))


def test_a_cover_is_at_most_twice_as_far_as_the_best_there_is() -> None:
    from itertools import combinations

    vectors = normalize(np.random.default_rng(2).normal(size=(14, 3)))
    angle = np.arccos(np.clip(vectors @ vectors.T, -1, 1))
    best = min(angle[:, list(some)].min(axis=1).max() for some in combinations(range(14), 3))
    result = cover(vectors, 3)
    assert np.arccos(result.lowest) <= 2 * best + 1e-5
    assert np.allclose(result.scores, (vectors @ vectors[result.rows].T).max(axis=1), atol=1e-5)


def test_a_cover_has_one_of_each_group() -> None:
    vectors = np.concatenate([normalize(np.eye(5)[n] + 0.05 * cloud(20, 5, n)) for n in range(5)])
    assert sorted(cover(vectors, 5).rows // 20) == [0, 1, 2, 3, 4]


def test_a_cover_stops_where_the_rest_are_copies() -> None:
    assert cover(np.repeat(cloud(1), 7, 0), 4).rows.tolist() == [0]
    assert len(cover(cloud(3), 100).rows) == 3
