"""Shards in this process answer together what one index of the same version answers, hit by hit."""

import pickle
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.engine.sharded_index import ShardedIndex, ShardFacts
from lookalike.errors import BadFilter, BadQuery, LookalikeError
from lookalike.similarity import normalize
from lookalike.store import memory_index, passing_mask
from lookalike.store.ivf.files import read_manifest
from lookalike.store.lance import build_index
from lookalike.store.lance.shard import LanceShard, ShardSpec
from lookalike.store.lance.store import LanceStore
from lookalike.store.serving import Filter, IndexQuery, InProcessIndex, ListQuery
from lookalike.types import Vectors

DIM, SHARDS = 8, 3
SKIPPED = frozenset({"path"})


class LocalCalls:
    """Calls shards in this process, with all that is sent packed and unpacked as on the way to another."""

    def __init__(self, shards: Sequence[LanceShard]) -> None:
        self.shards = shards

    def call(self, version: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        answers = []
        for shard, own in zip(self.shards, arguments, strict=True):
            index = shard.load(version)
            answers.append(pickle.loads(pickle.dumps(getattr(index, method)(*pickle.loads(pickle.dumps(own))))))
        return answers

    def index(self, version: int) -> ShardedIndex:
        return ShardedIndex(self, version, [ShardFacts.of(shard.load(version)) for shard in self.shards])


def vectors(count: int, seed: int = 0) -> Vectors:
    return normalize(np.random.default_rng(seed).standard_normal((count, DIM)))


@pytest.fixture
def store(tmp_path: Path) -> LanceStore:
    """Seven files of some rows each; every vector is there under two ids, which are in different files."""
    store = LanceStore.create(str(tmp_path / "c"), DIM, {"n": int, "label": str, "path": str, "plain": bool})
    for part in range(7):
        numbers = range(part * 40, part * 40 + 40)
        rows = [
            {"n": n, "label": f"l{n % 3}" if n % 4 else None, "path": f"/{n}", "plain": n % 5 == 0} for n in numbers
        ]
        store.add([f"{n % 7}/{n:04}" for n in numbers], vectors(40, seed=part // 2), rows)
    return store


def opened(store: LanceStore, **options: Any) -> LocalCalls:
    return LocalCalls([LanceShard(ShardSpec(store.uri, n, SHARDS, SKIPPED, **options)) for n in range(SHARDS)])


def single(store: LanceStore) -> InProcessIndex:
    index = memory_index(store, max_bytes=1 << 30, skip_columns=SKIPPED)
    assert index is not None
    return InProcessIndex(index, partial(passing_mask, store))


def compare(one: InProcessIndex, many: ShardedIndex) -> None:
    """Every question has the same answer."""
    assert (len(one), one.version) == (len(many), many.version)
    ids = sorted(one.vector_index.ids())
    queries = []
    for n, image_id in enumerate([*ids[::30], *ids[1::50]]):
        (vector,) = one.vectors([image_id])
        assert vector is not None
        where = [None, "n < 100", "label = 'l1' and not plain", "n < 0", "label is null"][n % 5]
        queries += [
            IndexQuery(vector, k, where and Filter(where), frozenset({image_id} if n % 2 else ()), floor)
            for k, floor in ((1, None), (5, 0.2), (len(ids) + 5, None))
        ]
    assert [len(hits) for hits in many.search(queries)] == [len(hits) for hits in one.search(queries)]
    assert many.search(queries) == one.search(queries)
    names = [*ids[::20], "none", *ids[:2]]
    for mine, theirs in zip(many.vectors(names), one.vectors(names), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert many.rows(names) == one.rows(names)
    assert many.contained(names) == one.contained(names)
    for listing in (ListQuery(), ListQuery(Filter("n > 50")), ListQuery(contains="3/")):
        for offset, k in ((0, 10), (17, 30), (1000, 5)):
            assert many.page(listing, offset, k) == one.page(listing, offset, k)
        for column in ("label", "n"):
            assert many.counts(column, listing, 1) == one.counts(column, listing, 1)
        assert many.folders("", listing) == one.folders("", listing)
    assert many.folders("3/") == one.folders("3/")
    assert many.counts("label") == one.counts("label")
    assert dict(zip(*many.present("label"), strict=True)) == dict(zip(*one.present("label"), strict=True))
    assert many.count_true("plain") == one.count_true("plain")


def test_shards_answer_as_one_index(store: LanceStore) -> None:
    calls = opened(store)
    assert all(len(shard.latest()) >= 80 for shard in calls.shards)  # a row in none would be missed below
    compare(single(store), calls.index(store.version))


def test_shards_are_not_sorted_by_a_column(store: LanceStore) -> None:
    with pytest.raises(BadQuery, match="leave out `sort`"):
        opened(store).index(store.version).page(ListQuery(sort="n"), 0, 5)


def test_equal_scores_come_by_id_wherever_the_rows_are(store: LanceStore) -> None:
    query = vectors(1, seed=50)[0]
    ids = [f"t{n:02}" for n in range(12)]
    for image_id in ids[::-1]:  # a file each, so in all shards
        store.add([image_id], query[None], [{"n": 1000}])
    index = opened(store).index(store.version)
    (hits,) = index.search([IndexQuery(query, 5)])
    assert isinstance(hits, list)
    assert [hit.id for hit in hits] == ids[:5]
    compare(single(store), index)


def test_a_search_of_an_older_version_finds_what_was_there(store: LanceStore) -> None:
    calls, before = opened(store), store.version
    old = calls.index(before)
    expected = single(store).page(ListQuery(), 0, 1000)
    store.add(["0/0000", "new"], vectors(2, seed=70), [{"n": -1}, {"n": -2}])  # one is replaced: its file changes
    store.delete(["1/0001"])
    store.update(["2/0002"], [{"label": "changed"}])
    now = calls.index(store.version)
    compare(single(store), now)
    assert old.page(ListQuery(), 0, 1000) == expected
    assert [now.contained(["new", "1/0001"]), old.contained(["new", "1/0001"])] == [[True, False], [False, True]]


def test_a_version_between_two_that_are_loaded(store: LanceStore) -> None:
    calls = opened(store)
    versions, expected = [store.version], [single(store).page(ListQuery(), 0, 1000)]
    for n in range(3):
        store.delete([f"{n}/{n:04}"])
        versions.append(store.version)
        expected.append(single(store).page(ListQuery(), 0, 1000))
    for n in (0, 3, 1, 2, 0):
        assert calls.index(versions[n]).page(ListQuery(), 0, 1000) == expected[n]


def test_a_later_column_is_null_in_older_rows(store: LanceStore) -> None:
    calls = opened(store)
    calls.index(store.version)
    store.add(["new"], vectors(1, seed=71), [{"n": 5, "price": 2.5}])
    index = calls.index(store.version)
    assert index.rows(["new", "0/0000"]) == [
        {"n": 5, "label": None, "plain": None, "price": 2.5},
        {"n": 0, "label": None, "plain": True, "price": None},
    ]
    (hits,) = index.search([IndexQuery(vectors(1, seed=71)[0], 3)])
    assert isinstance(hits, list)
    assert [hit.metadata["price"] for hit in hits] == [2.5, None, None]


def test_merged_files_move_rows_and_lose_none(store: LanceStore) -> None:
    calls = opened(store)
    calls.index(store.version)
    store.optimize()
    assert len(store.dataset.get_fragments()) < 7
    compare(single(store), calls.index(store.version))


def test_shuffled_pages_hold_every_image_once(store: LanceStore) -> None:
    index = opened(store).index(store.version)
    listing = ListQuery(Filter("n < 200"), seed=3)
    pages = [index.page(listing, offset, 30) for offset in range(0, 210, 30)]
    ids = [hit.id for hits, _ in pages for hit in hits]
    assert {total for _, total in pages} == {200}
    assert len(set(ids)) == len(ids) == 200
    assert ids != sorted(ids)
    assert pages[1] == index.page(listing, 30, 30)
    assert pages[1] != index.page(ListQuery(Filter("n < 200"), seed=4), 30, 30)


def test_a_bad_filter_fails_its_own_query_only(store: LanceStore) -> None:
    query = vectors(1)[0]
    bad, good = opened(store).index(store.version).search([IndexQuery(query, 3, Filter("m < 3")), IndexQuery(query, 3)])
    assert isinstance(bad, BadFilter)
    assert not isinstance(good, LookalikeError)
    assert len(good) == 3


def test_random_pairs_are_of_all_shards(store: LanceStore) -> None:
    scores = opened(store).index(store.version).pair_scores(5000)
    expected = single(store).pair_scores(5000)
    assert len(scores) > 4900
    assert abs(scores.mean() - expected.mean()) < 0.03
    assert abs(scores.std() - expected.std()) < 0.03


def test_an_empty_collection(tmp_path: Path) -> None:
    store = LanceStore.create(str(tmp_path / "c"), DIM, {"label": str})
    index = opened(store).index(store.version)
    assert (len(index), index.search([IndexQuery(vectors(1)[0], 3)])) == (0, [[]])
    assert index.page(ListQuery(), 0, 5) == index.page(ListQuery(seed=1), 0, 5) == ([], 0)
    assert (len(index.pair_scores(10)), index.counts("label")) == (0, {})


def test_large_shards_map_their_own_index_from_the_cache(
    store: LanceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_index, "MIN_ADDED_ROWS", 1)
    options = {"index_rows": 20, "folder": str(tmp_path / "cache")}
    calls = opened(store, **options)
    compare(single(store), calls.index(store.version))
    for shard in calls.shards:
        assert all(segment.lists is not None for segment in shard.latest().vector_index.segments)
    built = [read_manifest(shard.spec.index_folder) for shard in calls.shards]
    assert [manifest is not None for manifest in built] == [True] * SHARDS

    store.add([f"new{n}" for n in range(30)], vectors(30, seed=80), [{"n": 1} for _ in range(30)])
    compare(single(store), calls.index(store.version))
    for shard in calls.shards:  # what came since is added to the files in the background
        if shard._builder is not None:
            shard._builder.join(timeout=60)
    store.optimize()  # merges all files: what was indexed is read again, into the files
    compare(single(store), calls.index(store.version))
    for shard in calls.shards:
        segments = shard.latest().vector_index.segments
        assert sum(segment.count for segment in segments if segment.lists is None) < 20
    store.delete(["new3"])
    compare(single(store), calls.index(store.version))
    assert all(segment.lists is not None for shard in calls.shards for segment in shard.latest().vector_index.segments)
    compare(single(store), opened(store, **options).index(store.version))  # as after a restart
