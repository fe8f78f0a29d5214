"""A store over two answers as one store with the same rows does, whatever either of the two lacks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.store.lance.store import LanceStore
from lookalike.store.memory import MemoryStore
from lookalike.store.model_store import ModelStore
from lookalike.types import Store

DIM, COLUMNS = 6, {"label": str, "width": int}
ROWS = 300


@pytest.fixture(params=["memory", "lance", "lance, indexed"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int, str], Store]:
    def new(dim: int, name: str) -> Store:
        if request.param == "memory":
            return MemoryStore(dim, COLUMNS)
        rows = 1 if request.param == "lance, indexed" else None
        return LanceStore.create(str(tmp_path / name), dim, COLUMNS, index_rows=rows)

    return new


@pytest.fixture(params=[1 << 30, 0], ids=["in memory", "compared in blocks"])
def both(make: Callable[[int, str], Store], request: pytest.FixtureRequest) -> tuple[ModelStore, Store]:
    """Images 0 to 299, of which every seventh has no vector of the model, and vectors of some that are no image."""
    rng = np.random.default_rng(3)
    vectors = normalize(rng.normal(size=(ROWS, DIM)).astype(np.float32))
    vectors[50:60] = vectors[40:50]  # ties
    ids = [f"i{n:03}" for n in range(ROWS)]
    facts = [{"label": "abc"[n % 3] if n % 5 else None, "width": n} for n in range(ROWS)]
    images, own, same = make(3, "images"), make(DIM, "vectors"), MemoryStore(DIM, COLUMNS)
    images.add(ids, normalize(rng.normal(size=(ROWS, 3)).astype(np.float32)), facts)
    present = [n for n in range(ROWS) if n % 7]
    own.add(
        [*(ids[n] for n in present), "x", "y"],
        np.concatenate([vectors[present], vectors[:2]]),
        [{}] * (len(present) + 2),
    )
    same.add([ids[n] for n in present], vectors[present], [facts[n] for n in present])
    own.optimize()
    return ModelStore(images, own, max_bytes=request.param), same


@pytest.mark.parametrize("where", [None, "label = 'a'", "width < 40", "label is null and width > 100", "width < 0"])
def test_searches_agree(both: tuple[ModelStore, Store], where: str | None) -> None:
    store, same = both
    queries = normalize(np.random.default_rng(4).normal(size=(5, DIM)).astype(np.float32))
    queries[0] = same.get(["i041"])[0].vector  # type: ignore[union-attr]
    for k in (1, 7, 1000):
        answers = store.search(queries, k, where=where, recall=1.0)
        expected = same.search(queries, k, where=where)
        assert [[hit.id for hit in hits] for hits in answers] == [[hit.id for hit in hits] for hits in expected]
        assert [[hit.metadata for hit in hits] for hits in answers] == [[h.metadata for h in hits] for hits in expected]
    for min_score in (0.2, -1.0):
        answers, expected = store.within(queries, min_score, where=where), same.within(queries, min_score, where=where)
        assert [[hit.id for hit in hits] for hits in answers] == [[hit.id for hit in hits] for hits in expected]


@pytest.mark.parametrize("columns", [["id"], ["vector"], ["id", "width", "vector"], ["label"]])
def test_scans_agree(both: tuple[ModelStore, Store], columns: list[str]) -> None:
    store, same = both
    for where in (None, "label = 'a'", "width < 0"):
        parts = list(store.scan(columns, where=where, batch=64))
        expected = list(same.scan(columns, where=where))
        assert all(set(part) == set(columns) for part in parts)
        for name in columns:
            values = [value for part in parts for value in part[name].tolist()]
            assert sorted(map(repr, values)) == sorted(repr(v) for part in expected for v in part[name].tolist())


def test_rows_agree_and_what_is_changed_in_one_is_changed_in_the_other(both: tuple[ModelStore, Store]) -> None:
    store, same = both
    ids = ["i001", "i007", "x", "none"]  # with both; without a vector; without an image; with neither
    assert [row and row.id for row in store.get(ids)] == ["i001", None, None, None]
    assert store.get(["i001"], ["width"]) == same.get(["i001"], ["width"])
    version = store.version
    store.update(["i001"], [{"label": "new"}])
    assert store.images.get(["i001"])[0].metadata["label"] == "new"  # type: ignore[union-attr]
    assert store.version > version
    assert [hit.id for hit in store.search(store.get(["i001"])[0].vector[None], 1, where="label = 'new'")[0]] == [
        "i001"
    ]  # type: ignore[union-attr]
    assert store.delete(["i001", "i007", "none"]) == 2
    assert (store.get(["i001"]), store.images.get(["i007"])) == ([None], [None])


def test_settings_and_tables_lie_where_they_belong(both: tuple[ModelStore, Store]) -> None:
    store, _ = both
    store.set_settings({"calibration": "of the vectors", "root:/a": "of the images"})
    assert (store.vectors.settings.get("calibration"), store.images.settings.get("calibration")) == (
        "of the vectors",
        None,
    )
    assert (store.vectors.settings.get("root:/a"), store.images.settings.get("root:/a")) == (None, "of the images")
    store.images.set_settings({"calibration": "of the images' own vectors", "added_model:m": "{}"})
    assert store.settings["calibration"] == "of the vectors"
    assert "added_model:m" not in store.settings
    store.table("assignments_a", "id").put([{"id": "i001", "number": 1}])
    store.table("decisions", "pair").put([{"pair": "a b", "verdict": "copy"}])
    assert [len(one.table("assignments_a", "id").all()) for one in (store.vectors, store.images)] == [1, 0]
    assert [len(one.table("decisions", "pair").all()) for one in (store.vectors, store.images)] == [0, 1]


def test_a_model_folder_is_deleted_with_its_collection(tmp_path: Path) -> None:
    from lookalike.store import MODELS, delete_store

    place = tmp_path / "c"
    open_store(str(place), dim=3, create=True)
    open_store(str(place / MODELS / "m"), dim=4, create=True)
    delete_store(str(place))
    assert list(place.iterdir()) == []
