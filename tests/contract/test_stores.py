"""What every store promises: the same tests on memory.py, which is right by inspection, and on lance.py."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import BadFilter, BadQuery, CollectionError, ModelMismatch, ReadOnly
from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.store.lance import build_index
from lookalike.store.lance.store import LanceStore
from lookalike.store.memory import MemoryStore
from lookalike.types import Hit, Store, Table, Vectors

DIM = 8
COLUMNS = {"label": str, "width": int, "sharpness": float, "hidden": bool, "thumb": bytes}
WAYS = ("memory", "lance", "lance, in memory", "lance, indexed")


class IndexedStore(LanceStore):
    """All that is added is in the index of files at once, and every search compares all of its rows."""

    def add(self, *rows: Any) -> None:
        super().add(*rows)
        self.optimize()

    def search(self, *query: Any, **options: Any) -> list[list[Hit]]:
        return super().search(*query, **{"recall": 1.0, **options})


Make = Callable[..., Store]


@pytest.fixture(params=WAYS)
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an empty store: in memory, or by Lance in one of its ways of searching."""
    count = iter(range(1000))
    monkeypatch.setattr(build_index, "MIN_ADDED_ROWS", 1)

    def new(dim: int = DIM, columns: dict[str, type] | None = None) -> Store:
        columns = COLUMNS if columns is None else columns
        if request.param == "memory":
            return MemoryStore(dim, columns)
        place = str(tmp_path / f"c{next(count)}")
        if request.param == "lance, indexed":
            return IndexedStore.create(place, dim, columns, keep=timedelta(0), index_rows=1)
        memory = {"memory_bytes": 0} if request.param == "lance" else {}
        return LanceStore.create(place, dim, columns, keep=timedelta(0), **memory)

    return new


@pytest.fixture
def store(make: Make) -> Iterator[Store]:
    made = make()
    yield made
    made.close()


def vectors(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    return normalize(np.random.default_rng(seed).standard_normal((n, dim)))


def axis(*numbers: int) -> Vectors:
    return np.eye(DIM, dtype=np.float32)[list(numbers)]


def filled(store: Store) -> Store:
    """Three rows on three axes."""
    rows = [
        {"label": "shoe", "width": 640, "sharpness": 0.5, "hidden": False, "thumb": b"\x00\x01"},
        {"label": "hat", "width": 320, "hidden": True},
        {"label": None, "width": 100},
    ]
    store.add(["a", "b", "c"], axis(0, 1, 2), rows)
    return store


def ids(found: list[list]) -> list[list[str]]:
    return [[hit.id for hit in hits] for hits in found]


def test_the_version_grows_with_every_commit_and_with_nothing_else(store: Store) -> None:
    changes: list[Callable[[], object]] = [
        lambda: filled(store),
        lambda: store.update(["a"], [{"label": "boot"}]),
        lambda: store.delete(["b"]),
        lambda: store.set_settings({"x": "1"}),
    ]
    for change in changes:
        before = store.version
        change()
        assert store.version > before
        now = store.version
        store.search(axis(0), 2)
        store.get(["a"])
        list(store.scan(["id"]))
        assert store.version == now


def test_both_are_stores(store: Store) -> None:
    assert isinstance(store, Store)
    assert isinstance(store.failures, Table)


def test_empty(store: Store) -> None:
    assert len(store) == 0
    assert store.dim == DIM
    assert store.search(axis(0, 1), 3) == [[], []]
    assert store.search(axis(0), 3) == [[]]
    assert store.within(axis(0), 0.5) == [[]]
    assert store.get(["a"]) == [None]
    assert store.get([]) == []
    assert store.delete(["a"]) == 0
    assert list(store.scan(["id"])) == []
    assert store.search(np.empty((0, DIM), np.float32), 3) == []
    store.add([], np.empty((0, DIM), np.float32), [])
    store.optimize()


def test_k_above_the_size(store: Store) -> None:
    assert ids(filled(store).search(axis(1), 10)) == [["b", "a", "c"]]


def test_scores_are_cosines(store: Store) -> None:
    query = normalize(np.array([[3, 4, 0, 0, 0, 0, 0, 0]]))
    for _ in range(3):  # the third time from memory, where there is such a thing
        (hits,) = filled(store).search(query, 3)
        assert [(hit.id, round(hit.score, 6)) for hit in hits] == [("b", 0.8), ("a", 0.6), ("c", 0.0)]


def test_batches_equal_singles(store: Store) -> None:
    store.add([f"{n}" for n in range(100)], vectors(100), [{}] * 100)
    queries = vectors(20, seed=1)
    singles = [store.search(query[None], 5)[0] for query in queries]
    assert store.search(queries, 5) == singles


def test_last_wins_within_a_batch_and_after(store: Store) -> None:
    store.add(["a", "a"], axis(0, 1), [{"label": "first"}, {"label": "second"}])
    assert len(store) == 1
    assert store.get(["a"])[0].metadata["label"] == "second"
    store.add(["a"], axis(2), [{"width": 3}])
    (row,) = store.get(["a"])
    assert len(store) == 1
    assert row.metadata["label"] is None, "add replaces the whole row"
    assert np.array_equal(row.vector, axis(2)[0])


def test_same_picture_under_two_ids_and_ties_by_id(store: Store) -> None:
    names = [f"{n:03}" for n in range(300)]
    shuffled = list(np.random.default_rng(0).permutation(names))
    store.add(shuffled, np.repeat(vectors(1), 300, axis=0), [{}] * 300)
    for _ in range(3):
        assert ids(store.search(vectors(1), 5)) == [names[:5]]
    assert ids(store.within(vectors(1), 0.99)) == [names]


def test_arguments_are_left_alone(store: Store) -> None:
    given_ids, given_vectors, rows = ["a", "b"], axis(0, 1), [{"width": 1}, {"label": "x"}]
    store.add(given_ids, given_vectors, rows)
    store.update(given_ids, rows)
    store.search(given_vectors, 1)
    assert (given_ids, rows) == (["a", "b"], [{"width": 1}, {"label": "x"}])
    assert np.array_equal(given_vectors, axis(0, 1))
    given_vectors[:] = 0
    assert np.array_equal(store.get(["a"])[0].vector, axis(0)[0])


def test_get_keeps_order_and_repeats(store: Store) -> None:
    rows = filled(store).get(["c", "nobody", "a", "c"])
    assert [row and row.id for row in rows] == ["c", None, "a", "c"]


def test_bytes_come_when_named(store: Store) -> None:
    filled(store)
    assert "thumb" not in store.get(["a"])[0].metadata
    assert "thumb" not in store.search(axis(0), 1)[0][0].metadata
    assert store.get(["a"], ["thumb"])[0].metadata == {"thumb": b"\x00\x01"}
    assert store.search(axis(0), 1, columns=["thumb", "width"])[0][0].metadata == {"thumb": b"\x00\x01", "width": 640}
    assert store.search(axis(0), 1, columns=[])[0][0].metadata == {}


def test_update_leaves_the_rest(store: Store) -> None:
    filled(store)
    store.update(["a", "nobody", "b"], [{"label": "boot"}, {"label": "x"}, {"width": 5}])
    a, b = store.get(["a", "b"], [*COLUMNS])
    assert a.metadata == {"label": "boot", "width": 640, "sharpness": 0.5, "hidden": False, "thumb": b"\x00\x01"}
    assert (b.metadata["label"], b.metadata["width"]) == ("hat", 5)
    assert np.array_equal(a.vector, axis(0)[0])
    assert len(store) == 3
    assert ids(store.search(axis(0), 1, where="label = 'boot'")) == [["a"]]


def test_delete(store: Store) -> None:
    filled(store)
    assert store.delete(["a", "nobody", "a"]) == 1
    assert store.get(["a"]) == [None]
    assert ids(store.search(axis(0), 5)) == [["b", "c"]]


ODD = ["it's", "a\nb", "a\\b", '"q"', "`b`", "", "%_", "--x", "'; DROP TABLE rows; --", "é😀", "nul\x00x", " ", "NULL"]


def test_odd_ids(store: Store) -> None:
    store.add(ODD, vectors(len(ODD)), [{"label": name} for name in ODD])
    assert [row.metadata["label"] for row in store.get(ODD)] == ODD
    assert store.delete(ODD[:6]) == 6
    assert sorted(id for batch in store.scan(["id"]) for id in batch["id"]) == sorted(ODD[6:])


def test_many_ids_at_once(store: Store) -> None:
    names = [f"it's/{n}" for n in range(10_000)]
    store.add(names, vectors(10_000), [{}] * 10_000)
    assert all(row is not None for row in store.get(names))
    assert store.delete(names) == 10_000
    assert len(store) == 0


def test_scan_gives_arrays(store: Store) -> None:
    filled(store)
    (found,) = store.scan(["id", "vector", "label", "width", "sharpness", "hidden"])
    order = np.argsort(found["id"])
    assert found["vector"].shape == (3, DIM)
    assert found["vector"].dtype == np.float32
    assert found["label"][order].tolist() == ["shoe", "hat", None]
    assert found["width"].dtype == np.int64
    assert found["width"][order].tolist() == [640, 320, 100]
    assert found["sharpness"].dtype == np.float64
    assert np.isnan(found["sharpness"][order][1])
    assert found["hidden"][order].tolist() == [False, True, None]
    (some,) = store.scan(["id"], where="width > 200")
    assert sorted(some["id"]) == ["a", "b"]


def test_scan_in_batches(store: Store) -> None:
    store.add([f"{n}" for n in range(25)], vectors(25), [{}] * 25)
    sizes = [len(batch["id"]) for batch in store.scan(["id"], batch=10)]
    assert sum(sizes) == 25
    assert max(sizes) <= 10


def test_new_columns_appear(store: Store) -> None:
    filled(store)
    store.add(["d"], axis(3), [{"rating": 5, "note": None}])
    assert store.columns() == {**COLUMNS, "rating": int}
    assert [row.metadata["rating"] for row in store.get(["a", "d"])] == [None, 5]
    store.update(["a"], [{"place": "Oslo"}])
    assert [row.metadata["place"] for row in store.get(["a", "d"])] == ["Oslo", None]
    assert ids(store.search(axis(0), 5, where="place = 'Oslo' OR rating = 5")) == [["a", "d"]]


def test_columns_widen(store: Store) -> None:
    store.add(["a"], axis(0), [{"width": 7, "hidden": True}])
    store.add(["b"], axis(1), [{"width": 1.5, "hidden": 2}])
    assert store.columns()["width"] is float
    assert [row.metadata["width"] for row in store.get(["a", "b"])] == [7.0, 1.5]
    assert [row.metadata["hidden"] for row in store.get(["a", "b"])] == [1, 2]
    store.add(["c"], axis(2), [{"width": "wide"}])
    assert store.columns()["width"] is str
    assert [row.metadata["width"] for row in store.get(["a", "b", "c"])] == ["7.0", "1.5", "wide"]
    store.add(["d"], axis(3), [{"width": 4}])
    assert store.get(["d"])[0].metadata["width"] == "4"
    with pytest.raises(CollectionError, match="holds str and cannot take bytes"):
        store.add(["e"], axis(3), [{"width": b"4"}])


def test_numpy_scalars_are_values(store: Store) -> None:
    store.add(["a"], axis(0), [{"width": np.int32(3), "sharpness": np.float32(0.5), "hidden": np.bool_(True)}])  # type: ignore[dict-item]
    assert store.get(["a"], ["width", "sharpness", "hidden"])[0].metadata == {
        "width": 3,
        "sharpness": 0.5,
        "hidden": True,
    }


@pytest.mark.parametrize("name", ["id", "vector", "_x", "a b", "a.b", "", "1x", "x__new", "Label"])
def test_names_that_cannot_be(store: Store, name: str) -> None:
    with pytest.raises(CollectionError):
        store.add(["a"], axis(0), [{name: 1}])


CONDITIONS = {
    "label = 'shoe'": "a",
    "label == 'shoe'": "a",
    "label <> 'shoe'": "b",
    "NOT label = 'shoe'": "b",
    "label IS NULL": "c",
    "label is not null": "ab",
    "label IN ('shoe', 'hat')": "ab",
    "label NOT IN ('shoe')": "b",
    "label LIKE 'sh%'": "a",
    "label LIKE 'SH%'": "",
    "label NOT LIKE '_at'": "a",
    "lower(label) = 'hat'": "b",
    "upper(label) LIKE 'S%'": "a",
    "width > 200": "ab",
    "width > 319.5": "ab",
    "width = 320.0": "b",
    "width >= -1": "abc",
    "width BETWEEN 100 AND 320": "bc",
    "width NOT BETWEEN 100 AND 320": "a",
    "sharpness < 1": "a",
    "sharpness = 5e-1": "a",
    "hidden": "b",
    "NOT hidden": "a",
    "hidden = true": "b",
    "hidden IS NULL": "c",
    "thumb IS NOT NULL": "a",
    "width > 200 AND (label = 'hat' OR hidden)": "b",
    "width = 640 OR width = 100 AND label = 'x'": "a",
    "\"label\" = 'shoe'": "a",
    "`label` = 'shoe'": "a",
    "id = 'a'": "a",
    "label = 'it''s'": "",
    "TRUE": "abc",
    "1 = 2": "",
    " OR ".join(["width = 1"] * 3000 + ["width = 640"]): "a",
    f"label IN ({', '.join(['0x'.replace('0x', repr('x'))] * 5000)}, 'hat')": "b",
}


def test_conditions(store: Store) -> None:
    filled(store)
    for where, expected in CONDITIONS.items():
        found = store.search(axis(0), 5, where=where, columns=[])
        assert ids(found) == [list(expected)], where[:80]
        assert ids(store.within(axis(0), -1, where=where, columns=[])) == [list(expected)], where[:80]


BAD = {
    "labell = 'a'": "no column 'labell'; nearest: label",
    "": "empty",
    "  ": "empty",
    "label =": "at the end",
    "label = 'a'; DROP TABLE rows": "not expected",
    "label = 'a": "not expected",
    'label = "shoe"': "no column 'shoe'",
    "label = shoe": "no column 'shoe'",
    "width = '640'": "is a number and '640' is text",
    "label": "is text, not a condition",
    "width": "not a condition",
    "width AND hidden": "not a condition",
    "label = 'a' label": "AND or OR",
    "(SELECT 1) = 1": "no column 'SELECT'",
    "random() > 0": "no column 'random'",
    "vector = 1": "no column 'vector'",
    "_rowid < 3": "no column '_rowid'",
    "thumb = 'x'": "bytes",
    "width LIKE 'x'": "LIKE takes",
    "label IN ()": "expected",
    "label NOT 3": "IN, BETWEEN or LIKE",
    "width = 99999999999999999999": "64 bits",
    "lower(width) = 'x'": "lower() takes text",
    "(" * 5000 + "hidden" + ")" * 5000: "nested",
    "NOT " * 5000 + "hidden": "nested",
    "width = -'x'": "a number was expected",
    "PRAGMA table_info(rows)": "no column 'PRAGMA'",
}


def test_bad_conditions(store: Store) -> None:
    filled(store)
    for where, reason in BAD.items():
        with pytest.raises(BadFilter) as raised:
            store.search(axis(0), 5, where=where)
        assert reason in str(raised.value), where[:80]
        with pytest.raises(BadFilter):
            list(store.scan(["id"], where=where))


def test_bad_arguments(store: Store) -> None:
    filled(store)
    with pytest.raises(BadQuery, match="k is 0"):
        store.search(axis(0), 0)
    with pytest.raises(BadQuery, match="does not fit"):
        store.search(vectors(1, dim=3), 1)
    with pytest.raises(BadQuery, match="not finite"):
        store.search(np.full((1, DIM), np.nan, np.float32), 1)
    with pytest.raises(BadQuery, match="nearest: label"):
        store.search(axis(0), 1, columns=["labell"])
    with pytest.raises(ModelMismatch, match="another model"):
        store.add(["d"], vectors(1, dim=3), [{}])
    with pytest.raises(CollectionError, match="'d' is not finite"):
        store.add(["d"], np.full((1, DIM), np.inf, np.float32), [{}])
    with pytest.raises(CollectionError, match="do not match"):
        store.add(["d", "e"], axis(0), [{}])
    with pytest.raises(CollectionError, match="not valid Unicode"):
        store.add(["\udc80"], axis(0), [{}])
    with pytest.raises(CollectionError, match="64 bits"):
        store.add(["d"], axis(0), [{"width": 2**63}])
    assert len(store) == 3


def test_settings(store: Store) -> None:
    store.set_settings({"card": '{"name": "é"}', "roots": "[]"})
    store.add(["a"], axis(0), [{"new": 1}])
    store.set_settings({"roots": '["x"]'})
    store.optimize()
    assert store.settings["card"] == '{"name": "é"}'
    assert store.settings["roots"] == '["x"]'


def test_tables(store: Store) -> None:
    failures = store.failures
    assert failures.all() == []
    assert failures.remove(["x"]) == 0
    failures.put([])
    failures.put([{"path": "b.jpg", "reason": "cut short", "size": 3}, {"path": "a.jpg", "reason": "first"}])
    failures.put([{"path": "a.jpg", "reason": "empty", "mtime_ns": 2**60}, {"path": "c", "reason": None}])
    assert failures.all() == [
        {"path": "a.jpg", "reason": "empty", "size": None, "mtime_ns": 2**60},
        {"path": "b.jpg", "reason": "cut short", "size": 3, "mtime_ns": None},
        {"path": "c", "reason": None, "size": None, "mtime_ns": None},
    ]
    assert failures.remove(["a.jpg", "nobody", "c"]) == 2
    assert [row["path"] for row in store.failures.all()] == ["b.jpg"]
    store.table("decisions", key="pair").put([{"pair": "a|b", "same": False}])
    assert store.table("decisions", key="pair").all() == [{"pair": "a|b", "same": False}]


def test_chosen_columns_of_a_table(store: Store) -> None:
    table = store.table("failures", key="path")
    assert table.all(["size"]) == []
    table.put([{"path": "b", "reason": "cut short", "size": 3}, {"path": "a", "reason": "empty", "size": 4}])
    assert table.all(["size", "unknown"]) == [{"path": "a", "size": 4}, {"path": "b", "size": 3}]
    assert table.all([]) == [{"path": "a"}, {"path": "b"}]


def test_the_version_of_a_table_is_its_own(store: Store) -> None:
    table = store.table("failures", key="path")
    versions = [table.version]
    table.put([{"path": "/a", "reason": "empty"}])
    versions.append(table.version)
    table.put([{"path": "/a", "reason": "damaged"}])
    versions.append(table.version)
    store.set_settings({"x": "1"})
    store.table("decisions", key="pair").put([{"pair": "a|b", "same": False}])
    assert table.version == versions[-1]
    table.remove(["/a"])
    versions.append(table.version)
    assert len(set(versions)) == len(versions)


def clustered(n: int, dim: int) -> tuple[Vectors, list[dict[str, object]]]:
    """Clusters, and labels that go with them: the filters that make an index return short lists."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 30, n)
    points = rng.standard_normal((30, dim))[which] + 0.3 * rng.standard_normal((n, dim))
    rows = [{"label": f"l{c}", "width": at, "hidden": bool(c % 2)} for at, c in enumerate(which)]
    return normalize(points), rows


def test_filters_never_shorten_the_list(make: Make) -> None:
    """With the index at work, and labels that correlate with the vectors."""
    points, rows = clustered(3000, 32)
    judge, store = MemoryStore(32, COLUMNS), make(dim=32)
    for one in (judge, store):
        one.add([f"{n:04}" for n in range(3000)], points, rows)  # type: ignore[arg-type]
        one.optimize()
    late = normalize(points[:50] + 0.01)
    for one in (judge, store):  # rows that came after the index was built
        one.add([f"late{n}" for n in range(50)], late, rows[:50])  # type: ignore[arg-type]
        one.delete([f"{n:04}" for n in range(0, 3000, 7)])
    for label in range(0, 30, 3):
        queries = points[label * 7 : label * 7 + 3]
        for where in (
            f"label = 'l{label}'",
            f"label <> 'l{label}' AND hidden",
            f"width < {label * 5}",
            "id LIKE 'late%'",
        ):
            assert store.search(queries, 10, where=where) == judge.search(queries, 10, where=where)
    assert ids(store.search(late, 1)) == ids(judge.search(late, 1))
    assert store.within(points[:5], 0.8) == judge.within(points[:5], 0.8)
    found, exact = store.search(points[:100], 10, columns=[]), judge.search(points[:100], 10, columns=[])
    recall = np.mean([len({a.id for a in x} & {b.id for b in y}) / 10 for x, y in zip(found, exact, strict=True)])
    assert recall >= 0.95


ID = st.sampled_from([f"i{n}" for n in range(12)])
VALUE = st.fixed_dictionaries(
    {},
    optional={
        "label": st.sampled_from(["x", "y'", None]),
        "width": st.integers(-3, 3),
        "extra": st.sampled_from([1, 2.5, True]),
    },
)
STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(ID, VALUE, st.integers(0, DIM - 1)), max_size=6)),
    st.tuples(st.just("update"), st.lists(st.tuples(ID, VALUE), max_size=4)),
    st.tuples(st.just("delete"), st.lists(ID, max_size=4)),
    st.tuples(st.just("search"), st.sampled_from([None, "label = 'x'", "width >= 0", "label IS NULL OR width < 0"])),
    st.tuples(st.just("optimize"), st.none()),
)


def perform(store: Store, verb: str, what: object) -> object:
    """One step on one store, and what there is to see afterwards."""
    match verb, what:
        case "add", [*rows]:
            store.add([id for id, _, _ in rows], axis(*(n for _, _, n in rows)), [value for _, value, _ in rows])
        case "update", [*rows]:
            store.update([id for id, _ in rows], [value for _, value in rows])
        case "delete", [*gone]:
            return store.delete(gone)
        case "optimize", _:
            store.optimize()
        case "search", where:
            queries = normalize(np.array([[3.0, 2, 1, 0, 0, 0, 0, 0], [0, 0, 1, 2, 3, 0, 0, 0]]))
            return store.search(queries, 4, where=where), store.within(queries, 0.3, where=where)  # type: ignore[arg-type]
    return len(store), [
        row and (row.id, row.vector.tolist(), row.metadata) for row in store.get([f"i{n}" for n in range(12)])
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=12))
def test_random_steps(make: Make, steps: list[tuple[str, object]]) -> None:
    judge, store = MemoryStore(DIM, {"label": str, "width": int}), make(columns={"label": str, "width": int})
    for verb, what in steps:
        assert perform(store, verb, what) == perform(judge, verb, what), (verb, what)


def test_read_only(tmp_path: Path) -> None:
    filled(open_store(str(tmp_path / "c"), dim=DIM, create=True))
    for store in (open_store(str(tmp_path / "c"), read_only=True), open_store("memory:", dim=DIM, read_only=True)):
        for write in (
            lambda s: s.add(["a"], axis(0), [{}]),
            lambda s: s.update(["a"], [{"label": "x"}]),
            lambda s: s.delete(["a"]),
            lambda s: s.set_settings({"a": "b"}),
            lambda s: s.failures.put([{"path": "x"}]),
            lambda s: s.failures.remove(["x"]),
            lambda s: s.optimize(),
        ):
            with pytest.raises(ReadOnly, match="reading only"):
                write(store)
        assert store.search(axis(0), 1) is not None
        assert store.failures.all() == []


def test_columns_can_be_dropped(store: Store) -> None:
    some = vectors(3)
    store.add(["a", "b", "c"], some, [{"one": n, "two": str(n), "three": n / 2} for n in range(3)])
    before = dict(store.columns())
    assert store.drop_columns(["one", "three", "never"]) == 2
    assert set(before) - set(store.columns()) == {"one", "three"}
    (row,) = store.get(["b"])
    assert row is not None
    assert row.metadata["two"] == "1"
    assert "one" not in row.metadata
    assert len(store.search(some[:1], 3)[0]) == 3
    store.add(["d"], some[:1], [{"one": "text now"}])
    assert store.columns()["one"] is str
    assert store.drop_columns([]) == 0
