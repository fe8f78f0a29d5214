"""Results, hits and rows are values: they compare, hash, pickle and copy."""

import copy
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike.errors import NoCollection
from lookalike.search import Collection, Results
from lookalike.types import DuplicateGroup, Extra, Hit, Row
from tests.conftest import COLOURS, ColourEmbedder, picture


@pytest.fixture
def filled(collection: Collection) -> Collection:
    collection.add([picture(colour) for colour in COLOURS.values()], ids=list(COLOURS))
    return collection


def test_results_equal_sequences_of_the_same_hits(filled: Collection) -> None:
    first, second = (filled.search(picture(COLOURS["red"]), 3) for _ in range(2))
    assert first == second
    assert first == list(first)
    assert list(first) == first
    assert first == tuple(first)
    assert hash(first) == hash(second) == hash(tuple(first))
    assert first != filled.search(picture(COLOURS["red"]), 2)
    assert first != list(first)[:2]
    assert first != "red"
    assert first[0] in first
    assert first.index(first[1]) == 1
    assert first[:2] == tuple(first)[:2]


def test_results_are_pickled_and_copied(filled: Collection) -> None:
    results = filled.search(picture(COLOURS["red"]), 3)
    assert results.pictures[0].shape == (36, 48, 3)
    for other in (pickle.loads(pickle.dumps(results)), copy.deepcopy(results), copy.copy(results)):
        assert isinstance(other, Results)
        assert (other, other.query) == (results, results.query)
        assert np.array_equal(other.pictures[0], results.pictures[0])
        assert np.array_equal(other.vector, results.vector)
    assert pickle.loads(pickle.dumps(results)).thumbnails(["red"]) == [None]
    deep = copy.deepcopy(results)
    assert deep.pictures[0] is not results.pictures[0]
    assert deep.thumbnails(["red"]) == filled.thumbnails(["red"])  # of the same open collection
    assert copy.deepcopy([results]) == [results]


def test_the_vector_of_a_query_is_in_its_results(filled: Collection) -> None:
    (row,) = filled.get("red")
    assert row is not None
    for results in (filled.search_by_id("red"), filled.search_by_vector(5 * row.vector)[0]):
        assert results.vector == pytest.approx(row.vector)


def test_rows_compare_by_their_arrays(filled: Collection) -> None:
    (one,), (again,) = filled.get("red"), filled.get("red")
    assert one is not None
    assert one == again
    assert hash(one) == hash(again)
    assert one != Row(one.id, one.vector + 1, one.metadata)
    assert one != Row(one.id, one.vector, {})
    assert one != Row("x", one.vector, one.metadata)
    assert one != "red"
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert other == one


def test_hits_and_groups_hash() -> None:
    hit, same = Hit("a", 0.5, {"x": 1}), Hit("a", 0.5, {"x": 1})
    assert (hit, hash(hit)) == (same, hash(same))
    assert hit != Hit("a", 0.5, {"x": 2})
    assert pickle.loads(pickle.dumps(hit)) == copy.deepcopy(hit) == hit
    extra = Extra(id="b", score=0.9, relation="copy", probability=1.0, words="", reason="", metadata={"x": 1})
    assert len({DuplicateGroup(hit, (extra,)), DuplicateGroup(same, (extra,))}) == 1


def test_an_empty_collection_is_true_and_no_hits_are_false(collection: Collection) -> None:
    assert (bool(collection), len(collection)) == (True, 0)
    assert not collection.search(picture(COLOURS["red"]))
    assert Results(("q",), ()) == []


def test_a_collection_is_created_by_lookalike_open_and_by_create(tmp_path: Path) -> None:
    missing = tmp_path / "c"
    with pytest.raises(NoCollection):
        Collection.open(missing)
    with pytest.raises(NoCollection):
        lookalike.open(missing, create=False)
    with pytest.raises(NoCollection):
        lookalike.open(missing, read_only=True)
    lookalike.open(missing, model=ColourEmbedder()).close()
    with Collection.open(missing) as photos:
        assert len(photos) == 0


def test_search_many_keeps_query_images_only_when_requested(filled: Collection) -> None:
    queries = [picture(COLOURS["red"]), "id:blue"]
    assert [len(one.pictures) for one in filled.search_many(queries)] == [0, 0]
    assert [len(one.pictures) for one in filled.search_many(queries, keep_images=True)] == [1, 1]
    assert len(filled.search(queries).pictures) == 2


def test_search_many_embeds_in_batches_and_answers_in_order(
    filled: Collection, embedder: ColourEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.indexing.pipeline.default_workers", lambda: 1)
    sizes: list[int] = []
    embed = embedder.embed

    def recorded(images: list[np.ndarray]) -> np.ndarray:
        sizes.append(len(images))
        return embed(images)

    embedder.embed = recorded  # type: ignore[method-assign,assignment]
    names = list(COLOURS) * 4
    queries = [picture(COLOURS[name], seed=n) for n, name in enumerate(names)]
    assert [one[0].id for one in filled.search_many(queries, 1)] == names
    assert (sum(sizes), max(sizes)) == (20, 5)  # a quarter of the work at a time
    sizes.clear()
    ids = [f"id:{name}" for name in names]
    assert [one[0].id for one in filled.search_many(ids, 1)] == [filled.search(i, 1)[0].id for i in ids]
    assert sizes == []


def test_search_many_embeds_two_batches_at_a_time(
    filled: Collection, embedder: ColourEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.indexing.pipeline.default_workers", lambda: 2)
    both_run = threading.Barrier(2, timeout=60)  # raises unless two threads meet
    embed = embedder.embed

    def meeting(images: list[np.ndarray]) -> np.ndarray:
        both_run.wait()
        return embed(images)

    embedder.embed = meeting  # type: ignore[method-assign,assignment]
    names = [*COLOURS, "red", "blue", "green"]
    assert [one[0].id for one in filled.search_many([picture(COLOURS[name]) for name in names], 1)] == names


def test_search_many_reads_its_ids_at_once(filled: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    get = filled.store.get

    def recorded(ids: list[str], columns: list[str] | None = None) -> list[Row | None]:
        calls.append(list(ids))
        return get(ids, columns)

    monkeypatch.setattr(filled.store, "get", recorded)
    filled.search_many(["id:red", "id:blue", "id:red"])
    assert calls == [["red", "blue"]]


def test_a_bad_image_of_a_batch_is_named(filled: Collection) -> None:
    with pytest.raises(lookalike.LookalikeError, match=r"nothing\.png"):
        filled.search_many([*[picture(COLOURS["red"])] * 9, "/nowhere/nothing.png"])
