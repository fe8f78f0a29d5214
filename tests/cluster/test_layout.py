"""The map: similar images are close, a second run gives the same map, and new images move no other."""

import numpy as np
import pytest

from lookalike.cluster.layout import layout, make_map, place_new, scale_to_square
from lookalike.search import Collection
from lookalike.similarity import normalize

pytest.importorskip("openTSNE")


def groups(each: int = 15) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    vectors = np.repeat(np.eye(6)[:4], each, 0) + 0.1 * random.normal(size=(4 * each, 6))
    return normalize(vectors), np.repeat(np.arange(4), each)


def test_groups_stay_together_and_a_second_run_is_the_same() -> None:
    vectors, truth = groups()
    first = layout(vectors)
    assert first.shape == (60, 2)
    assert np.abs(first).max() <= 1
    assert np.array_equal(first, layout(vectors))
    apart = np.linalg.norm(first[:, None] - first[None], axis=2) + 9 * np.eye(60)
    assert (truth[apart.argmin(axis=1)] == truth).mean() > 0.95


def test_new_images_are_placed_among_their_kind_and_move_no_other(collection: Collection) -> None:
    random = np.random.default_rng(0)

    def add(axis: int, numbers: range) -> None:
        vectors = normalize(np.eye(3)[axis] + 0.05 * random.normal(size=(len(numbers), 3)))
        rows = [{"path": f"/{axis}/{n}", "indexed": "2020-01-01T00:00:00+00:00"} for n in numbers]
        collection.store.add([f"{axis}/{n:02d}" for n in numbers], vectors, rows)

    for axis in range(3):
        add(axis, range(20))
    ids, before = make_map(collection)
    add(1, range(50, 55))
    collection.remove(["0/00"])
    more, after = make_map(collection)
    where = dict(zip(more, after, strict=True))
    assert "0/00" not in where
    for name, position in zip(ids, before, strict=True):
        assert name == "0/00" or np.array_equal(where[name], position)
    middles = [np.mean([where[i] for i in ids if i[0] == str(axis) and i in where], axis=0) for axis in range(3)]
    for n in range(50, 55):
        assert np.argmin([np.linalg.norm(where[f"1/{n}"] - middle) for middle in middles]) == 1
    again = dict(zip(*make_map(collection), strict=True))
    assert all(np.array_equal(again[name], where[name]) for name in more)


def test_an_image_is_placed_at_the_median_of_its_neighbors() -> None:
    old = normalize(np.array([[1, 0.01], [1, 0.02], [1, 0.03], [-1, 0.0]]))
    positions = np.array([[0, 0], [0.2, 0.2], [0.4, 0.4], [-1, -1]], np.float32)
    assert np.abs(place_new(old[1:2], old[:3], positions[:3]) - 0.2).max() < 0.01
    assert place_new(old[:0], old, positions).shape == (0, 2)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
def test_few_images_have_a_map(count: int) -> None:
    positions = layout(normalize(np.random.default_rng(0).normal(size=(count, 6))))
    assert positions.shape == (count, 2)
    assert np.isfinite(positions).all()


def test_all_images_the_same_have_a_map() -> None:
    assert np.isfinite(layout(np.repeat(normalize(np.ones((1, 4))), 30, 0))).all()


def test_an_outlier_does_not_squeeze_the_rest() -> None:
    positions = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    positions[0] = 1e4
    assert np.abs(scale_to_square(positions)[1:]).mean() > 0.1
