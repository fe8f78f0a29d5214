"""The copy in memory answers as the store does, whatever was added and removed since it was read."""

import numpy as np
import pytest

from lookalike.server.service import resident
from lookalike.server.service.resident import Ask, load
from lookalike.similarity import normalize
from lookalike.store import open_store

DIM = 8


@pytest.fixture
def store():  # type: ignore[no-untyped-def]
    made = open_store("memory:", dim=DIM, columns={"n": int})
    rng = np.random.default_rng(0)
    vectors = normalize(rng.standard_normal((400, DIM)))
    vectors[50:90] = vectors[50]  # forty of the same: ties go by id
    made.add([f"{n:03}" for n in range(400)], vectors, [{"n": n} for n in range(400)])
    return made


def queries(count: int, seed: int = 1):  # type: ignore[no-untyped-def]
    return normalize(np.random.default_rng(seed).standard_normal((count, DIM)))


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("k", [1, 12, 399, 1000])
def test_the_same_hits_as_the_store(store, count: int, k: int) -> None:  # type: ignore[no-untyped-def]
    asked = queries(count)
    asked[0] = store.get(["050"])[0].vector
    found = load(store).search([Ask(vector, k) for vector in asked])
    wanted = store.search(asked, k)
    assert [[(h.id, h.score) for h in hits] for hits in found] == [[(h.id, h.score) for h in hits] for hits in wanted]


@pytest.mark.parametrize("looked", [25, 60, 300])
def test_by_codes_the_same_is_found(store, monkeypatch: pytest.MonkeyPatch, looked: int) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(resident, "MANY", 100)
    monkeypatch.setattr(resident, "LOOKED", looked)
    copy, asked = load(store), queries(30)
    assert copy.codes is not None
    asked[0] = store.get(["050"])[0].vector  # forty ties
    found = copy.search([Ask(vector, 12) for vector in asked])
    wanted = [[(h.id, h.score) for h in hits] for hits in store.search(asked, 12)]
    assert [[(h.id, h.score) for h in hits] for hits in found] == wanted


def test_rows_put_in_are_found_beside_the_codes(store, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(resident, "MANY", 100)
    monkeypatch.setattr(resident, "LOOKED", 60)
    copy, new = load(store), queries(6, seed=3)
    ids = ["x1", "x2", "x3", "x4", "060", "007"]
    store.add(ids, new, [{"n": -1}] * 6)
    copy = copy.with_rows(ids, new, [{"n": -1}] * 6, 1)
    for most in (resident.MOST_NEW, 3):  # beyond it every row is compared
        monkeypatch.setattr(resident, "MOST_NEW", most)
        found = copy.search([Ask(vector, 5, without=frozenset({"x2"})) for vector in new])
        wanted = [[h.id for h in hits if h.id != "x2"][:5] for hits in store.search(new, 6)]
        assert [[h.id for h in hits] for hits in found] == wanted


def test_conditions_cut_off_and_what_is_left_out(store) -> None:  # type: ignore[no-untyped-def]
    copy, (query,) = load(store), queries(1)
    for where in ("n < 5", "n >= 5", "n = 999"):
        (found,) = copy.search([Ask(query, 10, copy.passing(store, where))])
        assert [h.id for h in found] == [h.id for h in store.search(query[None], 10, where=where)[0]]
    best = [h.id for h in store.search(query[None], 5)[0]]
    (found,) = copy.search([Ask(query, 2, without=frozenset(best[:3]))])
    assert [h.id for h in found] == best[3:5]
    (found,) = copy.search([Ask(query, 400, min_score=0.5)])
    assert [h.id for h in found] == [h.id for h in store.within(query[None], 0.5)[0]]


def test_rows_put_in_replaced_and_taken_out(store) -> None:  # type: ignore[no-untyped-def]
    copy = load(store)
    new, ids = queries(6, seed=3), ["x1", "x2", "003", "004", "005", "006"]
    store.add(ids, new, [{"n": -1}] * 6)
    copy = copy.with_rows(ids, new, [{"n": -1}] * 6, 1)
    store.delete([f"{n:03}" for n in range(100, 130)])
    copy = copy.without_rows([f"{n:03}" for n in range(100, 130)], 2)
    asked = queries(9, seed=4)
    found = copy.search([Ask(vector, 12) for vector in asked])
    assert [[(h.id, h.score) for h in hits] for hits in found] == [
        [(h.id, h.score) for h in hits] for hits in store.search(asked, 12)
    ]
    assert len(copy) == len(store)
    assert copy.vector("100") is None
    assert [copy.ids[row] for row in copy.order] == sorted(copy.ids[row] for row in copy.order)
    gone = copy.without_rows([f"{n:03}" for n in range(200, 300)], 3)  # too many to be looked past
    store.delete([f"{n:03}" for n in range(200, 300)])
    (hits,) = gone.search([Ask(asked[0], 12)])
    assert [h.id for h in hits] == [h.id for h in store.search(asked[:1], 12)[0]]


def test_an_empty_collection_finds_nothing() -> None:
    assert load(open_store("memory:", dim=DIM)).search([Ask(queries(1)[0], 5)]) == [[]]
