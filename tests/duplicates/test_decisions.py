"""Decisions are about contents: they survive moved files, and do not depend on the order of the pair."""

import shutil
from pathlib import Path

import pytest

from lookalike.duplicates import Decisions, as_decision
from lookalike.errors import BadQuery, UnknownId
from lookalike.search import Collection

HASHES = ("0" * 63 + "a", "0" * 63 + "b")


def test_a_decision_is_found_again_after_moving_and_indexing(collection: Collection, photos: Path) -> None:
    collection.sync([photos])
    Decisions(collection).decide(str(photos / "red.png"), "photos/blue.png", "not-a-copy")
    (photos / "new").mkdir()
    shutil.move(photos / "red.png", photos / "new/renamed.png")
    collection.sync([photos])
    (before,) = Decisions(collection).by_pair().items()
    again = Decisions(collection).decide(str(photos / "blue.png"), str(photos / "new/renamed.png"), "keep-both")
    assert (again.key, before[1]) == (before[0], "not-a-copy")
    assert Decisions(collection).by_pair() == {again.key: "keep-both"}


def test_names_are_kept_with_the_hashes_they_belong_to(collection: Collection, photos: Path) -> None:
    import hashlib

    collection.sync([photos])
    for pair in (("red.png", "blue.png"), ("blue.png", "red.png")):
        Decisions(collection).decide(*(str(photos / name) for name in pair), "not-a-copy")
        (decision,) = Decisions(collection).all()
        assert decision.first == hashlib.sha256(Path(decision.first_name).read_bytes()).hexdigest()
        assert decision.second == hashlib.sha256(Path(decision.second_name).read_bytes()).hexdigest()


def test_a_decision_is_forgotten(collection: Collection, photos: Path) -> None:
    collection.sync([photos])
    decisions = Decisions(collection)
    decisions.decide("photos/red.png", "photos/blue.png", "keep-both")
    assert decisions.forget("photos/blue.png", "photos/red.png") == 1
    assert decisions.forget("photos/blue.png", "photos/red.png") == 0
    assert decisions.all() == []


def test_what_the_page_saves_is_read() -> None:
    b, a = HASHES[1], HASHES[0]
    decision = as_decision({"first": b, "second": a, "verdict": "copy", "first_name": "b.jpg", "second_name": "a.jpg"})
    assert (decision.first, decision.second, decision.first_name, decision.second_name) == (a, b, "a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first": "x", "second": HASHES[0], "verdict": "copy"}, "SHA-256"),
        ({"first": HASHES[0], "second": HASHES[1]}, "'None' is not a verdict"),
        ({"first": HASHES[0], "second": HASHES[1], "verdict": "not-a-cpy"}, "nearest: not-a-copy"),
        ({"first": HASHES[0], "second": HASHES[0], "verdict": "not-a-copy"}, "same bytes"),
    ],
)
def test_nonsense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadQuery, match=message):
        as_decision(values)


def test_an_unknown_picture_is_named(collection: Collection, photos: Path) -> None:
    collection.sync([photos])
    with pytest.raises(UnknownId, match="nowhere"):
        Decisions(collection).decide(str(photos / "red.png"), "/nowhere.png", "copy")
