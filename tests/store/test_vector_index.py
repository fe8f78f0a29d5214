"""The index in memory answers as the store does, whatever was added, changed and removed since it was built."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lookalike.similarity import normalize
from lookalike.store import memory_index, open_store, segment, vector_storage
from lookalike.store.lance.store import LanceStore
from lookalike.store.segment import Segment, merged
from lookalike.store.vector_index import MAX_MASKS, MAX_ORDERS, SearchRequest, VectorIndex
from lookalike.store.vector_storage import HalfVectors, Mask, nearest_by_product
from lookalike.types import Hit, Store, Vectors

DIM = 8


@pytest.fixture
def store() -> Store:
    store = open_store("memory:", dim=DIM, columns={"n": int})
    vectors = normalize(np.random.default_rng(0).standard_normal((400, DIM)))
    vectors[50:90] = vectors[50]  # forty of the same: ties go by id
    store.add([f"{n:03}" for n in range(400)], vectors, [{"n": n} for n in range(400)])
    return store


def index_of(store: Store) -> VectorIndex:
    index = memory_index(store, max_bytes=1 << 30)
    assert index is not None
    return index


def unit_vectors(count: int, seed: int = 1) -> Vectors:
    return normalize(np.random.default_rng(seed).standard_normal((count, DIM)))


def search(index: VectorIndex, queries: Vectors, k: int, **options: object) -> list[list[tuple[str, float]]]:
    hits = index.search([SearchRequest(query, k, **options) for query in queries])  # type: ignore[arg-type]
    return pairs(hits)


def pairs(answers: list[list[Hit]]) -> list[list[tuple[str, float]]]:
    return [[(hit.id, hit.score) for hit in hits] for hits in answers]


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("k", [1, 12, 399, 1000])
def test_the_same_hits_as_the_store(store: Store, count: int, k: int) -> None:
    queries = unit_vectors(count)
    queries[0] = vector_of(store, "050")
    assert search(index_of(store), queries, k) == pairs(store.search(queries, k))


@pytest.mark.parametrize("candidates", [60, 100, 300])
def test_a_pass_over_codes_changes_no_answer(store: Store, monkeypatch: pytest.MonkeyPatch, candidates: int) -> None:
    monkeypatch.setattr(segment, "MIN_CODED_ROWS", 100)
    monkeypatch.setattr(segment, "CODE_CANDIDATES", candidates)
    index, queries = index_of(store), unit_vectors(30)
    assert index.segments[0].codes is not None
    queries[0] = vector_of(store, "050")  # forty ties
    assert search(index, queries, 9) == pairs(store.search(queries, 9))


def test_rows_beside_the_codes_are_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MIN_CODED_ROWS", 100)
    monkeypatch.setattr(segment, "MAX_MERGED_ROWS", 100)
    index, new = index_of(store), unit_vectors(6, seed=3)
    ids = ["x1", "x2", "x3", "x4", "060", "007"]
    store.add(ids, new, [{"n": -1}] * 6)
    index = index.add(ids, new, [{"n": -1}] * 6, 1)
    assert [segment.codes is not None for segment in index.segments] == [True, False]
    expected = [[pair for pair in hits if pair[0] != "x2"][:5] for hits in pairs(store.search(new, 6))]
    assert search(index, new, 5, exclude=frozenset({"x2"})) == expected


@pytest.mark.parametrize("where", ["n < 5", "n >= 5", "n = 999", "n > 60"])
def test_filters(store: Store, where: str) -> None:
    index, queries = index_of(store), unit_vectors(4)
    passing = [image_id for batch in store.scan(["id"], where=where) for image_id in batch["id"].tolist()]
    mask = index.mask_of_ids(passing)
    assert search(index, queries, 10, mask=mask) == pairs(store.search(queries, 10, where=where))
    assert mask.tolist() == index.mask_of_row_ids(np.array([int(i) for i in reversed(passing)], np.int64)).tolist()


def test_what_is_excluded_and_a_minimum_score(store: Store) -> None:
    index, queries = index_of(store), unit_vectors(1)
    best = [hit.id for hit in store.search(queries, 5)[0]]
    (hits,) = search(index, queries, 2, exclude=frozenset(best[:3]))
    assert [image_id for image_id, _ in hits] == best[3:5]
    assert search(index, queries, 400, min_score=0.5) == pairs(store.within(queries, 0.5))


def test_rows_added_replaced_and_removed(store: Store) -> None:
    index, added, ids = index_of(store), unit_vectors(6, seed=3), ["x1", "x2", "003", "004", "005", "006"]
    store.add(ids, added, [{"n": -1}] * 6)
    after = index.add(ids, added, [{"n": -1}] * 6, 1)
    some = [f"{n:03}" for n in range(100, 130)]
    store.delete(some)
    after = after.remove([*some, "never there"], 2)
    queries = unit_vectors(9, seed=4)
    assert search(after, queries, 12) == pairs(store.search(queries, 12))
    assert len(after) == len(store)
    assert ("100" in after, "003" in after, "x2" in after) == (False, True, True)
    assert after.vector("100") is None
    assert after.metadata("x2") == {"n": -1}
    listed = after.ids_at(after.order).tolist()
    assert listed == sorted(after.ids())
    assert dict(zip(after.ids(), after.column("n"), strict=True))["007"] == 7
    assert (len(index), index.metadata("003")) == (400, {"n": 3}), "an index is never modified"
    many = [f"{n:03}" for n in range(140, 390)]
    store.delete(many)
    after = after.remove(many, 3)
    assert sum(map(len, after.segments)) < 400, "half-empty segments are rewritten"
    assert search(after, queries, 12) == pairs(store.search(queries, 12))


def test_rows_added_one_by_one_make_few_segments(store: Store) -> None:
    index = index_of(store)
    for n in range(300):
        row = unit_vectors(1, seed=n)
        store.add([f"y{n}"], row, [{"n": n}])
        index = index.add([f"y{n}"], row, [{"n": n}], n)
        assert len(index.segments) <= 10
    assert search(index, unit_vectors(5), 20) == pairs(store.search(unit_vectors(5), 20))


def test_a_large_segment_is_not_copied_for_an_added_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MAX_MERGED_ROWS", 300)
    index = index_of(store)
    after = index.add(["x"], unit_vectors(1), [{"n": 0}], 1)
    assert after.segments[0] is index.segments[0]
    assert index.add(["007"], unit_vectors(1), [{"n": 0}], 1).segments[0].vectors is index.segments[0].vectors


def test_an_empty_collection_has_an_index() -> None:
    index = index_of(open_store("memory:", dim=DIM))
    assert index
    assert (len(index), index.nbytes, index.ids(), index.order.tolist()) == (0, 0, [], [])
    assert search(index, unit_vectors(1), 5) == [[]]
    after = index.add(["a"], unit_vectors(1), [{}], 1)
    assert [image_id for image_id, _ in search(after, unit_vectors(1), 5)[0]] == ["a"]


def test_damaged_vectors_are_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MIN_CODED_ROWS", 10)
    vectors = unit_vectors(40)
    vectors[7] = np.nan
    index = VectorIndex().add([f"{n}" for n in range(40)], vectors, [{}] * 40, 1)
    ids = [image_id for image_id, _ in search(index, vectors[:1], 40)[0]]
    assert sorted(ids, key=int) == [str(n) for n in range(40) if n != 7]


def test_memory_counts_ids_columns_and_codes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = index_of(store).nbytes
    assert plain > 400 * (DIM * 4 + 8 + 3)
    monkeypatch.setattr(segment, "MIN_CODED_ROWS", 100)
    assert index_of(store).nbytes > plain
    assert memory_index(store, max_bytes=1000) is None


def test_a_mask_is_made_once_a_version(store: Store) -> None:
    index, calls = index_of(store), []

    def make() -> Mask:
        calls.append(1)
        return index.mask_of_ids(["007"])

    assert index.cached_mask("n = 7", make) is index.cached_mask("n = 7", make)
    assert len(calls) == 1
    index.add(["x"], unit_vectors(1), [{}], 1).cached_mask("n = 7", make)
    assert len(calls) == 2


def test_a_slow_filter_delays_only_those_who_need_it(store: Store) -> None:
    index, entered, go = index_of(store), threading.Event(), threading.Event()
    calls: list[str] = []

    def slow() -> Mask:
        calls.append("slow")
        entered.set()
        assert go.wait(30)
        return index.mask_of_ids(["007"])

    with ThreadPoolExecutor(3) as threads:
        try:
            first = threads.submit(index.cached_mask, "slow", slow)
            assert entered.wait(30)
            second = threads.submit(index.cached_mask, "slow", slow)
            fast = threads.submit(index.cached_mask, "fast", lambda: index.mask_of_ids(["008"]))
            assert fast.result(30).sum() == 1
            assert index.nbytes > 0
            assert not first.done()
            assert not second.done()
        finally:
            go.set()
        assert first.result(30) is second.result(30)
    assert calls == ["slow"]


def test_a_filter_that_failed_is_tried_again(store: Store) -> None:
    index = index_of(store)

    def fail() -> Mask:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        index.cached_mask("n = 7", fail)
    assert index.cached_mask("n = 7", lambda: index.mask_of_ids(["007"])).sum() == 1


@pytest.mark.parametrize("kind", ["memory", "lance"])
def test_the_limit_counts_what_nbytes_counts(tmp_path: Path, kind: str) -> None:
    rows = 12_000
    uri = "memory:" if kind == "memory" else str(tmp_path / "c")
    store = open_store(uri, dim=DIM, columns={"name": str, "label": str, "n": int}, create=True)
    metadata = [{"name": f"a name of its own {n}", "label": "sea", "n": 10_000 + n} for n in range(rows)]
    store.add([f"{n:06}" for n in range(rows)], unit_vectors(rows), metadata)
    index = memory_index(store, max_bytes=1 << 30)
    assert index is not None
    assert index.segments[0].codes is not None
    for n in range(MAX_MASKS):
        index.cached_mask(f"n = {n}", lambda: index.mask_of_ids(["000007"]))
    assert memory_index(store, max_bytes=round(index.nbytes * 0.95)) is None
    assert memory_index(store, max_bytes=round(index.nbytes * 1.05)) is not None


def test_a_blocked_product_finds_what_a_full_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_storage, "_BLOCK", 16)
    vectors, queries = unit_vectors(200), unit_vectors(7, seed=2)
    random = np.random.default_rng(0)
    for k, share in ((1, 1.0), (5, 0.5), (12, 0.2), (20, 0.1)):
        mask = random.random(200) < share
        mask[:20] = mask[:20] & (share != 0.5)  # a first block in which nothing passes
        if mask.sum() < k:
            continue
        scores = np.where(mask, queries @ vectors.T, -2)
        expected = np.sort(scores, axis=1)[:, ::-1][:, :k]
        answers = nearest_by_product(queries, vectors, k, None if mask.all() else mask)
        np.testing.assert_allclose([found for found, _ in answers], expected, atol=1e-6)
        assert all(mask[positions].all() for _, positions in answers)


def test_half_precision_proposes_the_best(store: Store) -> None:
    vectors = np.concatenate([batch["vector"] for batch in store.scan(["vector"])])
    half = HalfVectors.of(iter([vectors[:300], vectors[300:]]), DIM)
    index = VectorIndex((Segment(half, np.arange(400), np.ones(400, np.bool_)),))
    for query, candidates in zip(unit_vectors(5), index.candidates(unit_vectors(5), 20), strict=True):
        rows, bound = candidates.pruned(10)
        true = vectors @ query
        assert set(np.argsort(-true)[:10]) <= set(rows.tolist())
        assert np.delete(true, rows).max() <= bound
    parts = [half.select(np.arange(0, 100)), half.select(np.arange(100, 400))]
    np.testing.assert_array_equal(parts[0].joined(parts[1:]).take(slice(None)), half.take(slice(None)))
    np.testing.assert_allclose(half.take(slice(None)), vectors, atol=1e-3)


def test_segments_are_merged_in_the_order_of_their_row_ids() -> None:
    rows = unit_vectors(9)
    ones = np.ones(3, np.bool_)
    parts = [Segment(HalfVectors.of(iter([rows[at : at + 3]]), DIM), np.arange(at, at + 3), ones) for at in (6, 0, 3)]
    (segment,) = merged(parts)
    assert segment.row_ids.tolist() == list(range(9))
    np.testing.assert_allclose(segment.vectors.take(slice(None)), rows, atol=1e-3)


def vector_of(store: Store, image_id: str) -> np.ndarray:
    (row,) = store.get([image_id])
    assert row is not None
    return row.vector


def test_few_queries_need_more_than_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among random vectors, where scores are close, the twelve best are certain after the pass over codes."""
    vectors = normalize(np.random.default_rng(0).standard_normal((12_000, 64)))
    index = VectorIndex().add([str(n) for n in range(len(vectors))], vectors, [{}] * len(vectors), 1)
    scanned: list[int] = []
    scan = Segment._by_scan
    monkeypatch.setattr(
        Segment, "_by_scan", lambda self, queries, *rest: scanned.append(len(queries)) or scan(self, queries, *rest)
    )
    index.search([SearchRequest(vector, 12) for vector in vectors[:100]])
    assert sum(scanned) <= 5


Listed = tuple[VectorIndex, dict[str, dict[str, object]]]


@pytest.fixture(params=["in memory", "mapped, and changed since", "mapped"])
def listed(request: pytest.FixtureRequest, tmp_path: Path) -> Listed:
    """An index with columns of all kinds, and the rows that it should have."""
    rows: dict[str, dict[str, object]] = {}
    for n in range(300):
        folder = ["", "a/", "a/b/", "a/c d/", "a.b/", "é/", "a/b%/", "b/"][n % 8]
        rows[f"{folder}{n:03}"] = {
            "n": n % 37 if n % 5 else None, "x": float(n % 11) - 5 if n % 3 else None, "flag": n % 2 == 0,
            "taken": f"20{n % 20:02}-{n % 12 + 1:02}-01T00:00:00" if n % 4 else None, "none": None,
        }  # fmt: skip
    columns = {"n": int, "x": float, "flag": bool, "taken": str, "none": str}
    index_rows = None if request.param == "in memory" else 1
    store = LanceStore.create(str(tmp_path / "c"), DIM, columns, index_rows=index_rows)
    ids = list(rows)
    store.add(ids, unit_vectors(300), list(rows.values()))  # type: ignore[arg-type]
    store.optimize()
    if request.param != "mapped":
        store.add(["a/new", "z"], unit_vectors(2), [{"n": 5, "taken": "2001-01-01T00:00:00"}, {"n": 10_000}])
        rows |= {"a/new": {"n": 5, "taken": "2001-01-01T00:00:00"}, "z": {"n": 10_000}}
        store.update([ids[7]], [{"n": 99}])
        rows[ids[7]]["n"] = 99
        store.delete(ids[20:23])
        for image_id in ids[20:23]:
            del rows[image_id]
    return index_of(store), rows


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", ["n", "x", "flag", "taken", "none", "unknown"])
def test_a_list_by_a_column(listed: Listed, name: str, *, descending: bool) -> None:
    index, rows = listed
    present = {i: row[name] for i, row in sorted(rows.items()) if row.get(name) is not None}
    values = sorted(set(present.values()), reverse=descending)  # type: ignore[type-var]
    expected = [i for value in values for i in present if present[i] == value]  # equal ones by id
    expected += sorted(i for i in rows if i not in present)
    order = index.sorted_by(name, descending=descending)
    assert index.ids_at(order).tolist() == expected
    assert index.sorted_by(name, descending=descending) is order


def test_counts_of_some_rows_and_of_beginnings(listed: Listed) -> None:
    index, rows = listed
    some = [i for i in rows if "a/" in i]
    mask = index.mask_of_ids(some)
    for name in ("n", "flag", "taken", "none", "unknown"):
        values = [rows[i].get(name) for i in some]
        assert index.counts(name, mask) == Counter(value for value in values if value is not None)
    months = (str(row["taken"])[:7] for row in rows.values() if row.get("taken") is not None)
    assert index.counts("taken", None, 7) == Counter(months)


@pytest.mark.parametrize("below", ["", "a/", "a/b/", "é/", "nothing/", "a/c d/"])
def test_folders_are_counted_by_ids(listed: Listed, below: str) -> None:
    index, rows = listed
    for ids in (sorted(rows), [i for i in sorted(rows) if "1" in i], []):
        positions = np.array([index.position(i) for i in ids], np.int64)
        inside = [i.removeprefix(below) for i in ids if i.startswith(below)]
        assert index.folders(below, positions) == Counter(i.partition("/")[0] if "/" in i else "" for i in inside)


def test_ids_that_are_paths_have_folders() -> None:
    store = open_store("memory:", dim=DIM)
    ids = ["/abs/x/1.jpg", "/abs/x/2.jpg", "/abs/y/3.jpg", "/other/4.jpg", "a/5.jpg", "6.jpg", "/7.jpg"]
    store.add(ids, unit_vectors(len(ids)), [{}] * len(ids))
    index = index_of(store)

    def below(folder: str) -> dict[str, int]:
        return dict(index.folders(folder, index.order))

    assert below("") == {"/abs": 3, "/other": 1, "a": 1, "": 2}
    assert below("/abs/") == {"x": 2, "y": 1}


def test_few_orders_are_kept(listed: Listed) -> None:
    index, _ = listed
    for n in range(30):
        index.sorted_by("n", descending=bool(n % 2))
        index.sorted_by(f"unknown {n}")
    assert len(index._sorted) == MAX_ORDERS
    assert index.nbytes >= sum(order.nbytes for order in index._sorted.values())
