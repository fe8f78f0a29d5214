"""k-means at one and several levels, against plain loops and groups that are known."""

import numpy as np
import pytest

from lookalike.cluster.choose_k import agreement, choose_levels
from lookalike.cluster.density import density_clusters
from lookalike.cluster.kmeans import kmeans, kmeans_plusplus
from lookalike.cluster.levels import cluster_sums, nested_levels
from lookalike.errors import BadQuery
from lookalike.evaluate.metrics import adjusted_rand
from lookalike.similarity import normalize
from lookalike.types import Vectors


def groups(coarse: int = 4, fine: int = 5, each: int = 30, dim: int = 24, seed: int = 0) -> tuple[Vectors, np.ndarray]:
    """`coarse` x `fine` tight groups, the fine ones of one coarse group nearer to each other; and the fine numbers."""
    random = np.random.default_rng(seed)
    above = normalize(random.normal(size=(coarse, dim)))
    below = normalize(np.repeat(above, fine, 0) + 0.5 * normalize(random.normal(size=(coarse * fine, dim))))
    vectors = np.repeat(below, each, 0) + 0.03 * random.normal(size=(coarse * fine * each, dim))
    return normalize(vectors), np.repeat(np.arange(coarse * fine), each)


def test_it_finds_groups_that_are_there() -> None:
    vectors, truth = groups()
    result = kmeans(vectors, 20)
    assert adjusted_rand(result.assignments, truth) == 1.0


def test_no_other_assignment_is_better_and_centers_are_means() -> None:
    vectors, _ = groups(seed=3)
    result = kmeans(vectors, 7)
    scores = vectors @ result.centers.T
    assert np.array_equal(result.assignments, scores.argmax(axis=1))
    assert np.allclose(result.scores, scores.max(axis=1), atol=1e-5)
    for number, center in enumerate(result.centers):
        mean = vectors[result.assignments == number].mean(axis=0)
        assert center @ mean / np.linalg.norm(mean) > 0.999


def test_the_largest_cluster_is_0_and_a_second_run_is_the_same() -> None:
    vectors, _ = groups(seed=1)
    vectors = np.concatenate((vectors, np.repeat(vectors[:1], 100, 0)))
    first, second = kmeans(vectors, 9), kmeans(vectors, 9)
    sizes = np.bincount(first.assignments)
    assert (np.diff(sizes) <= 0).all()
    assert np.array_equal(first.assignments, second.assignments)


def test_more_seeds_are_never_worse() -> None:
    vectors, _ = groups(seed=5)
    one, many = (kmeans(vectors, 15, seeds=seeds, iterations=3).scores.sum() for seeds in (1, 8))
    assert many >= one - 1e-3


def test_a_large_set_goes_through_a_sample_and_ends_as_well() -> None:
    vectors, truth = groups(each=600)  # 12,000, beyond the sample of 8,000
    result = kmeans(vectors, 20)
    assert adjusted_rand(result.assignments, truth) > 0.95


def test_weights_count_as_copies_do() -> None:
    a, b = normalize(np.array([[1, 0.0], [0, 1.0]]))
    result = kmeans(np.stack((a, b)), 1, weights=np.array([3, 1], np.float32))
    assert np.allclose(result.centers[0], normalize(np.array([[3, 1.0]]))[0], atol=1e-4)


def test_empty_clusters_restart_at_the_worst_covered_image() -> None:
    """Ten distinct images, one of them with ninety copies, make ten clusters, none empty."""
    others = normalize(np.random.default_rng(0).normal(size=(10, 8)))
    vectors = np.concatenate((np.repeat(others[:1], 90, 0), others))
    result = kmeans(vectors, 10, seeds=1)
    assert np.bincount(result.assignments, minlength=10).min() > 0
    assert result.scores.min() > 0.999


def test_copies_alone_make_one_cluster_however_many_are_requested() -> None:
    same = np.repeat(normalize(np.ones((1, 4))), 12, 0)
    result = kmeans(same, 5)
    assert result.centers.shape == (1, 4)
    assert (result.assignments == 0).all()


def test_one_image_is_a_cluster() -> None:
    result = kmeans(normalize(np.ones((1, 4))), 1)
    assert (result.assignments.tolist(), result.scores.round(5).tolist()) == ([0], [1.0])


def test_more_clusters_than_images_are_refused() -> None:
    with pytest.raises(BadQuery, match="9 clusters of 3 images"):
        kmeans(normalize(np.eye(3)), 9)


def test_starts_are_spread_out() -> None:
    vectors, truth = groups()
    chosen = kmeans_plusplus(vectors, 20)
    home = {int(truth[(vectors @ start).argmax()]) for start in chosen}
    assert len(home) >= 18  # 20 rows at random would fall into 13 groups


def test_each_fine_cluster_lies_in_one_coarse_one_and_the_true_levels_are_found() -> None:
    vectors, truth = groups()
    coarse, fine = nested_levels(vectors, (4, 20))
    for number in range(20):
        assert len(set(coarse.assignments[fine.assignments == number])) == 1
    assert adjusted_rand(fine.assignments, truth) == 1.0
    assert adjusted_rand(coarse.assignments, truth // 5) == 1.0
    scores = np.einsum("nd,nd->n", vectors, coarse.centers[coarse.assignments])
    assert np.allclose(coarse.scores, scores, atol=1e-5)


def test_children_have_consecutive_numbers() -> None:
    vectors, _ = groups()
    coarse, fine = nested_levels(vectors, (4, 20))
    order = np.argsort(fine.assignments, kind="stable")
    assert (np.diff(coarse.assignments[order]) >= 0).all()


def test_sums_are_those_of_a_loop() -> None:
    vectors, truth = groups(each=3)
    shuffled = np.random.default_rng(0).permutation(len(vectors))
    vectors, truth = vectors[shuffled], truth[shuffled].astype(np.int32)
    loop = np.stack([vectors[truth == n].sum(axis=0) for n in range(20)])
    assert np.allclose(cluster_sums(vectors, truth, 20), loop, atol=1e-5)


def test_levels_that_cannot_be_are_named() -> None:
    with pytest.raises(BadQuery, match="levels 2, 9 of 3 images"):
        nested_levels(normalize(np.eye(3)), (2, 9))


def test_auto_finds_the_numbers_that_are_in_the_data() -> None:
    vectors, _ = groups(4, 4, each=20)
    choice = choose_levels(vectors)
    assert choice.levels[0] == 4
    assert choice.levels[1] == pytest.approx(16, abs=1)
    assert choice.curve[4] > choice.curve[7]


def test_auto_of_a_few_images_is_one_cluster() -> None:
    assert choose_levels(normalize(np.eye(5))).levels == (1,)


def test_agreement_is_the_adjusted_rand_index() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 4, 200).astype(np.int32), random.integers(0, 6, 200).astype(np.int32)
    assert agreement(a, b) == pytest.approx(adjusted_rand(a, b))
    assert agreement(a, a) == 1.0


def test_copies_are_a_cluster_by_density_whatever_else_is_noise() -> None:
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    one = normalize(random.normal(size=(1, 32)).astype(np.float32))
    strangers = normalize(random.normal(size=(5, 32)).astype(np.float32))
    assert density_clusters(np.repeat(one, 40, axis=0)).assignments.tolist() == [0] * 40
    level = density_clusters(np.concatenate((np.repeat(one, 40, axis=0), strangers)))
    assert level.assignments.tolist() == [0] * 40 + [-1] * 5
