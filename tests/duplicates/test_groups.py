"""Groups, over pictures that are letters and a relation that is a set of pairs."""

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.search.collection_arrays import Picture
from lookalike.duplicates.search.groups import Group, make_groups


class Pairs:
    """Judges by sets of pairs of letters. `bordered`: is worth little, once it is looked at. `asked`: all pairs."""

    def __init__(self, names: str, near: set[str], copies: set[str], bordered: str = "") -> None:
        self._names, self._near, self._copies, self._bordered = names, near, copies, bordered
        self.pictures: list[Picture] = []
        self.asked: set[str] = set()
        self.begun: list[int] = []
        self.prepared: set[int] = set()

    def partners(self, place: int) -> list[int]:
        return [other for other in range(len(self._names)) if other != place and self._are(self._near, place, other)]

    def copies(self, place: int, others: Sequence[int]) -> list[int]:
        self.asked.update(self._names[place] + self._names[other] for other in others)
        return [other for other in others if self._are(self._copies, place, other)]

    def prepare(self, places: Sequence[int]) -> None:
        self.prepared.update(places)

    def begin(self, place: int, others: Sequence[int]) -> None:
        assert place in self.prepared
        self.begun.append(place)

    def infer(self, place: int, by: int, others: Iterable[int]) -> None:
        assert self._are(self._copies, place, by)

    def glance(self, place: int, copies: Sequence[int], keep: Keep) -> None:
        if self._names[place] in self._bordered:
            keep.measures.bordered(self.pictures[place], 0.001)

    def look(self, place: int, copies: Sequence[int], keep: Keep) -> None:
        self.glance(place, copies, keep)

    def _are(self, pairs: set[str], a: int, b: int) -> bool:
        return self._names[a] + self._names[b] in pairs or self._names[b] + self._names[a] in pairs


def judged(
    sizes: dict[str, int], near: set[str], copies: set[str], reference: str = "", *, bordered: str = "", ahead: int = 1
) -> tuple[list[str], Pairs]:
    """Pictures by name, each as wide as told; pairs such as "ab". Groups as "keep:extras"."""
    keep = Keep("largest")
    judging = Pairs("".join(sizes), near, copies, bordered)
    judging.pictures = [
        Picture(id=n, path=f"/{n}", width=w, height=1, reference=n in reference) for n, w in sizes.items()
    ]
    found: list[Group] = make_groups(judging.pictures, judging, keep, ahead=ahead)
    names = list(sizes)
    return [f"{names[g.keep]}:{''.join(names[e] for e in g.extras)}" for g in found], judging


def groups_of(sizes: dict[str, int], near: set[str], copies: set[str], reference: str = "") -> list[str]:
    return judged(sizes, near, copies, reference)[0]


def test_what_would_be_replaced_is_not_held_against_all() -> None:
    """a is the widest, but mostly border: one look at it says so, and the others are held against b alone."""
    every = {"ab", "ac", "ad", "ae", "bc", "bd", "be", "cd", "ce", "de"}
    found, judging = judged({"a": 900, "b": 9, "c": 8, "d": 7, "e": 6}, every, every, bordered="a")
    assert found == ["b:cdea"]
    assert {pair for pair in judging.asked if pair[0] == "a"} == {"ab"}


@pytest.mark.parametrize("seed", range(60))
def test_how_many_groups_are_made_at_a_time_changes_nothing(seed: int) -> None:
    random = Random(seed)
    names = "abcdefghijklmnop"
    sizes = {name: random.randrange(5, 400) for name in names}
    near = {a + b for a in names for b in names if a < b and random.random() < 0.25}
    copies = {pair for pair in near if random.random() < 0.5}
    bordered = "".join(name for name in names if random.random() < 0.2)
    alone, _ = judged(sizes, near, copies, bordered=bordered)
    for ahead in (2, 5, 16):
        together, judging = judged(sizes, near, copies, bordered=bordered, ahead=ahead)
        assert together == alone
        assert not copies or judging.begun


def test_a_chain_is_not_a_group() -> None:
    """b is a copy of a, c of b, d of c: only b goes with a, and c is no extra of a."""
    chain = {"ab", "bc", "cd"}
    assert groups_of({"a": 9, "b": 8, "c": 7, "d": 6}, chain, chain) == ["a:b", "c:d"]


def test_a_copy_found_by_way_of_another_is_held_against_the_kept_one() -> None:
    near = {"ab", "bc"}
    assert groups_of({"a": 9, "b": 8, "c": 7}, near, {"ab", "bc", "ac"}) == ["a:bc"]
    assert groups_of({"a": 9, "b": 8, "c": 7}, near, {"ab", "bc"}) == ["a:b"]


def test_the_best_is_kept_and_extras_follow_in_its_order() -> None:
    every = {"ab", "ac", "bc"}
    assert groups_of({"a": 1, "b": 3, "c": 2}, every, every) == ["b:ca"]


def test_each_picture_is_in_one_group_only() -> None:
    every = {"ac", "bc", "ad"}
    assert groups_of({"a": 9, "b": 8, "c": 7, "d": 6}, every, every) == ["a:cd"]


def test_a_reference_is_kept_before_larger_ones_and_never_an_extra() -> None:
    every = {"ab", "ac", "bc"}
    assert groups_of({"a": 9, "b": 8, "c": 1}, every, every, reference="c") == ["c:ab"]
    assert groups_of({"a": 9, "b": 8, "c": 1}, every, every, reference="bc") == ["b:a"]


def test_near_is_not_enough() -> None:
    assert groups_of({"a": 9, "b": 8}, {"ab"}, set()) == []
