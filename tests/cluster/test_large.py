"""What is done differently with many images, done with few: against what is done with few."""

import errno
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from lookalike.cluster import cluster, density, k_center, neighbors, propagation, save_clusters, shown_rows
from lookalike.cluster.choose_k import agreement
from lookalike.cluster.density import density_clusters
from lookalike.cluster.k_center import cover
from lookalike.cluster.kmeans import kmeans
from lookalike.cluster.layout import load_map, make_map
from lookalike.cluster.neighbors import index_for, nearest_neighbors, read_vectors
from lookalike.cluster.outliers import outliers
from lookalike.cluster.propagation import propagate_labels
from lookalike.errors import LookalikeError
from lookalike.search import Collection, large_array, neighbor_graph
from lookalike.search.neighbor_graph import approximate_neighbors, exact_neighbors
from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.store.lance.store import LanceStore
from lookalike.store.table_columns import read_columns, replace_rows
from lookalike.types import Vectors

# Functions of the package hide the modules of these names.
kmeans_module, layout_module, outliers_module = (
    importlib.import_module(f"lookalike.cluster.{name}") for name in ("kmeans", "layout", "outliers")
)


def groups(n: int = 3000, count: int = 30, dim: int = 24, seed: int = 0) -> tuple[Vectors, NDArray[np.int64]]:
    """Vectors of some groups, and the group of each."""
    random = np.random.default_rng(seed)
    of = random.integers(0, count, n)
    return normalize(random.normal(size=(count, dim))[of] + 0.4 * random.normal(size=(n, dim))), of


# --- neighbors


def test_exact_neighbors_are_those_of_a_sorted_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbor_graph, "_READ", 64)
    monkeypatch.setattr(neighbor_graph, "_BLOCK", 64)
    vectors, _ = groups(500)
    sample = np.array([0, 63, 64, 499])
    rows, scores = exact_neighbors(vectors, sample, 7)
    for n, row in enumerate(sample.tolist()):
        order = [int(m) for m in np.argsort(-(vectors @ vectors[row]), kind="stable") if m != row][:7]
        assert rows[n].tolist() == order
        assert np.allclose(scores[n], vectors[order] @ vectors[row], atol=1e-6)


def test_approximate_neighbors_are_nine_of_ten_and_their_scores_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbor_graph, "GROUP_SIZE", 150)
    vectors, _ = groups()
    told: list[float] = []
    rows, scores = approximate_neighbors(vectors, 10, progress=told.append)
    true, _ = nearest_neighbors(vectors, 10)
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(rows.tolist(), true.tolist(), strict=True)]) >= 0.88
    assert told[-1] >= neighbor_graph.RECALL
    assert (np.diff(scores, axis=1) <= 0).all()
    assert not (rows == np.arange(len(rows))[:, None]).any()
    assert all(len({*row}) == 10 for row in rows.tolist())
    assert np.allclose(scores, np.einsum("nd,nkd->nk", vectors, vectors[rows]), atol=1e-5)
    again = approximate_neighbors(vectors, 10)
    assert np.array_equal(rows, again[0])


@pytest.mark.parametrize("k", [1, 5, 39])
def test_approximate_neighbors_of_few_and_of_identical_vectors(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups smaller than k leave neighbors unknown, and never make one up."""
    monkeypatch.setattr(neighbor_graph, "GROUP_SIZE", 4)
    few = np.concatenate([groups(20)[0], np.repeat(groups(1)[0], 20, 0)])
    rows, scores = approximate_neighbors(few, k)
    assert rows.shape == scores.shape == (40, k)
    known = rows >= 0
    assert (scores[~known] == -1).all()
    row, column = np.nonzero(known)
    assert (rows[known] != row).all()
    assert np.allclose(scores[row, column], np.einsum("nd,nd->n", few[row], few[rows[known]]), atol=1e-5)
    assert all(len({*some}) == len(some) for some in ([m for m in row if m >= 0] for row in rows.tolist()))


@pytest.mark.parametrize("limit", [0, 10**9])
def test_an_index_for_many_queries_finds_nearly_the_same(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "_MAX_COMPARED", limit)
    vectors, _ = groups()
    _, rows = index_for(vectors, len(vectors)).search(vectors, 1)
    assert (rows[:, 0] == np.arange(len(vectors))).mean() > 0.99


def test_outliers_are_the_same_where_neighbors_are_approximate(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = groups()
    strangers = normalize(np.random.default_rng(9).normal(size=(5, 24)))
    vectors = np.concatenate([vectors, strangers])
    expected = outliers(vectors)
    monkeypatch.setattr(neighbors, "MAX_EXACT", 100)
    monkeypatch.setattr(outliers_module, "MAX_EXACT", 100)
    monkeypatch.setattr(neighbor_graph, "GROUP_SIZE", 150)
    result = outliers(vectors)
    assert {*result.worst(5).tolist()} == {*expected.worst(5).tolist()} == {*range(3000, 3005)}
    worst = expected.worst(50)
    assert np.allclose(result.factor[worst], expected.factor[worst], rtol=0.1)
    assert np.array_equal(result.rows[worst], expected.rows[worst])


def test_labels_spread_to_the_same_images_where_neighbors_are_approximate(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, of = groups(2000, count=8)
    rows = np.arange(0, 2000, 20)
    labels = [f"l{n}" for n in of[rows]]
    expected = propagate_labels(vectors, rows, labels)
    monkeypatch.setattr(neighbors, "MAX_EXACT", 100)
    monkeypatch.setattr(neighbors, "_MAX_COMPARED", 0)
    monkeypatch.setattr(neighbor_graph, "GROUP_SIZE", 150)
    monkeypatch.setattr(propagation, "_BLOCK", 64)
    result = propagate_labels(vectors, rows, labels)
    assert (result.labels == expected.labels).mean() > 0.95
    sure = result.labels != ""
    assert (result.labels[sure] == np.array([f"l{n}" for n in of], object)[sure]).mean() > 0.99
    assert sure.mean() > 0.8


# --- k-means, representatives, map


def test_centers_of_a_sample_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = groups(12_000)
    whole = kmeans(vectors, 30)
    monkeypatch.setattr(kmeans_module, "_TRAINED_EACH", 100)
    monkeypatch.setattr(kmeans_module, "_TRAINED", 3000)
    sampled = kmeans(vectors, 30)
    assert sampled.scores.mean() > whole.scores.mean() - 0.01
    nearest = (vectors @ sampled.centers.T).argmax(axis=1)
    assert (nearest == sampled.assignments).mean() > 0.999


def test_a_cover_chosen_from_a_sample_covers_all(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = groups()
    strangers = normalize(np.random.default_rng(9).normal(size=(5, 24)))  # a sample of 300 hardly has any
    vectors = np.concatenate([vectors, strangers])
    whole = cover(vectors, 40)
    monkeypatch.setattr(k_center, "MAX_EXACT", 300)
    monkeypatch.setattr(k_center, "_WORST", 50)
    sampled = cover(vectors, 40)
    scores = vectors @ vectors[sampled.rows].T
    assert len({*sampled.rows.tolist()}) == 40
    assert np.allclose(sampled.scores, scores.max(axis=1), atol=1e-5)
    assert np.allclose(scores[np.arange(len(vectors)), sampled.cell], scores.max(axis=1), atol=1e-5)
    assert sampled.lowest > whole.lowest - 0.1


def test_a_map_of_a_sample_places_the_others_among_their_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "MAX_LAID_OUT", 120)
    monkeypatch.setattr(layout_module, "_BATCH", 64)
    vectors, of = groups(400, count=3, dim=64)
    with Collection.open(tmp_path / "c", model="efficientnet-lite1.in1k", create=True) as photos:
        wide = np.zeros((400, photos.card.dim), np.float32)
        wide[:, :64] = vectors
        photos.add(vectors=wide, ids=[f"i{n:03}" for n in range(400)])
        ids, positions = make_map(photos)
        assert ids == [f"i{n:03}" for n in range(400)]
        middles = np.stack([np.median(positions[of == n], axis=0) for n in range(3)])
        nearest = np.linalg.norm(positions[:, None] - middles, axis=2).argmin(axis=1)
        assert (nearest == of).mean() > 0.98
        saved_ids, saved = load_map(photos)
        assert saved_ids == ids
        assert np.allclose(saved, positions)
        photos.add(vectors=wide[:7], ids=[f"later{n}" for n in range(7)])
        later_ids, later = make_map(photos)
        assert np.allclose(later[:400], positions)
        assert len(later_ids) == 407
        assert np.linalg.norm(later[400:] - positions[:7], axis=1).max() < 0.2


def test_a_map_shows_a_sample_of_many_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lookalike.server.routes.map import _map

    with Collection.open(tmp_path / "c", model="efficientnet-lite1.in1k", create=True) as photos:
        vectors = groups(60, count=3, dim=photos.card.dim)[0]
        photos.add(vectors=vectors, ids=[f"i{n:03}" for n in range(60)])
        ids, positions = make_map(photos)
        save_clusters(photos, cluster(photos, (3,)))
        whole = _map(photos, None)
        assert (whole["ids"], whole["total"]) == (ids, 60)
        monkeypatch.setattr(layout_module, "MAX_SHOWN", 25)
        rows = shown_rows(60)
        assert (len({*rows.tolist()}), rows.tolist()) == (25, sorted(rows.tolist()))
        shown = _map(photos, None)
        assert (shown["ids"], shown["total"], shown["waiting"]) == ([ids[row] for row in rows], 60, 0)
        assert np.allclose(shown["x"], positions[rows, 0], atol=1e-4)
        of = dict(zip(whole["ids"], whole["groups"][0]["of"], strict=True))
        assert shown["groups"][0]["of"] == [of[name] for name in shown["ids"]]


def test_dense_groups_are_the_same_where_not_all_distances_of_their_parts_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, of = groups(1500, count=5)
    vectors = np.concatenate([vectors, normalize(np.random.default_rng(5).normal(size=(300, 24)))])
    expected = density_clusters(vectors)
    monkeypatch.setattr(density, "_MAX_ALL_MEANS", 3)
    monkeypatch.setattr(density, "_NEIGHBORS", 12)
    result = density_clusters(vectors)
    assert len(result.centers) == len(expected.centers) == 5
    assert agreement(result.assignments[:1500], of.astype(np.int32)) > 0.95
    graph = density._graph(vectors, 12)
    assert connected_components(graph, directed=False)[0] == 1


# --- vectors in a file, tables as columns


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_vectors_are_the_same_in_memory_and_in_a_file(
    limit: int, collection: Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.sync(photos)
    monkeypatch.setattr(large_array, "MAX_IN_MEMORY", limit)
    ids, vectors = read_vectors(collection)
    assert ids == sorted(collection.ids())
    assert isinstance(vectors.base, np.memmap) == (limit == 0)
    rows = collection.get(ids)
    assert np.allclose(vectors, [row.vector for row in rows if row is not None])
    assert [path.name for path in photos.parent.glob("collection/.vectors-*")] == []


def test_images_removed_while_vectors_are_read_are_left_out(
    collection: Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.sync(photos)
    monkeypatch.setattr(large_array, "MAX_IN_MEMORY", 0)
    before, vectors = read_vectors(collection)
    scan = collection.store.scan

    def changing(columns: list[str], **options: Any) -> Any:
        if "vector" in columns:
            collection.remove(before[1])
            collection.add(vectors=vectors[:1], ids=["new"])
        return scan(columns, **options)

    monkeypatch.setattr(type(collection.store), "scan", lambda _, columns, **options: changing(columns, **options))
    ids, remaining = read_vectors(collection)
    assert ids == [before[0], *before[2:]]
    assert np.allclose(remaining, vectors[[0, *range(2, len(before))]])


def test_a_full_disk_is_told(collection: Collection, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection.sync(photos)
    monkeypatch.setattr(large_array, "MAX_IN_MEMORY", 0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(large_array, "_reserve", full)
    with pytest.raises(LookalikeError, match=r"has no room for the vectors of \d images, .* free some"):
        read_vectors(collection)


class RowTable:
    """A table of an extension: rows alone."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}

    version = 0

    def put(self, rows: Any) -> None:
        self._rows |= {row["id"]: dict(row) for row in rows}

    def remove(self, keys: Any) -> int:
        return sum(self._rows.pop(key, None) is not None for key in keys)

    def all(self, columns: Any = None) -> list[dict[str, Any]]:
        return [{name: row.get(name) for name in ("id", *(columns or row))} for _, row in sorted(self._rows.items())]


@pytest.mark.parametrize("kind", ["rows", "memory", "lance"])
def test_a_table_is_read_and_replaced_by_columns(kind: str, tmp_path: Path) -> None:
    uri = "memory:" if kind == "memory" else str(tmp_path / "s")
    table: Any = RowTable() if kind == "rows" else open_store(uri, dim=2, create=True).table("labels", key="id")
    columns = {"label": str, "given": bool, "confidence": float, "run": int}
    assert {name: values.tolist() for name, values in read_columns(table, "id", columns).items()} == {
        "id": [], "label": [], "given": [], "confidence": [], "run": [],
    }  # fmt: skip
    table.put([{"id": "z", "label": "old", "run": 1}, {"id": "a", "label": None}])
    rows = read_columns(table, "id", columns)
    assert [values.tolist() for values in rows.values()] == [
        ["a", "z"], ["", "old"], [False, False], [0.0, 0.0], [0, 1],
    ]  # fmt: skip
    count = 70_000 if kind == "lance" else 3
    ids = np.array([f"é{n:06}" for n in reversed(range(count))], object)
    new = {"id": ids.tolist(), "label": ids, "given": np.ones(count, np.bool_), "confidence": np.full(count, 0.5)}
    replace_rows(table, "id", new)
    rows = read_columns(table, "id", columns)
    assert rows["id"].tolist() == rows["label"].tolist() == sorted(ids)
    assert (rows["given"].all(), set(rows["confidence"].tolist()), set(rows["run"].tolist())) == (True, {0.5}, {0})
    table.put([{"id": "a", "label": "again", "given": False, "confidence": 1.0}])
    assert read_columns(table, "id", columns)["id"][0] == "a"
    assert len(table.all()) == count + 1
    replace_rows(table, "id", {"id": [], "label": [], "given": np.zeros(0, np.bool_), "run": np.zeros(0, np.int64)})
    assert table.all() == []
    table.put([{"id": "b", "given": False, "run": 7}])
    assert {name: values.tolist() for name, values in read_columns(table, "id", columns).items()} == {
        "id": ["b"], "label": [""], "given": [False], "confidence": [0.0], "run": [7],
    }  # fmt: skip


def test_a_table_replaced_by_one_process_is_seen_by_another(tmp_path: Path) -> None:
    open_store(str(tmp_path / "s"), dim=2, create=True).close()
    one, other = LanceStore(str(tmp_path / "s")), LanceStore(str(tmp_path / "s"))
    replace_rows(one.table("labels", key="id"), "id", {"id": ["a", "b"], "run": np.array([1, 1])})
    assert [row["id"] for row in other.table("labels", key="id").all()] == ["a", "b"]
    other.table("labels", key="id").put([{"id": "c", "run": 2}])
    replace_rows(one.table("labels", key="id"), "id", {"id": ["d"], "run": np.array([3])})
    assert other.table("labels", key="id").all() == [{"id": "d", "run": 3}]
