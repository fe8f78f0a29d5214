"""Groups of files that are letters; copies are a set of pairs of letters."""

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.search.collection_arrays import FileFacts
from lookalike.duplicates.search.groups import Group, make_groups


class LetterPairs:
    """Finds copies by sets of pairs of letters. `bordered`: letters with few effective pixels, once checked.

    `requested`: all pairs that were verified.
    """

    def __init__(self, names: str, near: set[str], copies: set[str], bordered: str = "") -> None:
        self._names, self._near, self._copies, self._bordered = names, near, copies, bordered
        self.files: list[FileFacts] = []
        self.requested: set[str] = set()
        self.submitted: list[int] = []
        self.prefetched: set[int] = set()

    def partners(self, index: int) -> list[int]:
        return [other for other in range(len(self._names)) if other != index and self._are(self._near, index, other)]

    def copies(self, index: int, others: Sequence[int]) -> list[int]:
        self.requested.update(self._names[index] + self._names[other] for other in others)
        return [other for other in others if self._are(self._copies, index, other)]

    def prefetch(self, indices: Sequence[int]) -> None:
        self.prefetched.update(indices)

    def submit(self, index: int, others: Sequence[int]) -> None:
        assert index in self.prefetched
        self.submitted.append(index)

    def infer(self, index: int, previous: int, others: Iterable[int]) -> None:
        assert self._are(self._copies, index, previous)

    def check_early(self, index: int, copies: Sequence[int], keep: Keep) -> None:
        if self._names[index] in self._bordered:
            keep.measures.mark_border(self.files[index], 0.001)

    def check_fully(self, index: int, copies: Sequence[int], keep: Keep) -> None:
        self.check_early(index, copies, keep)

    def _are(self, pairs: set[str], a: int, b: int) -> bool:
        return self._names[a] + self._names[b] in pairs or self._names[b] + self._names[a] in pairs


def judged(
    sizes: dict[str, int], near: set[str], copies: set[str], reference: str = "", *, bordered: str = "", ahead: int = 1
) -> tuple[list[str], LetterPairs]:
    """Return groups as "keep:extras". `sizes`: the width of each file. Pairs are such as "ab"."""
    keep = Keep("largest")
    finder = LetterPairs("".join(sizes), near, copies, bordered)
    finder.files = [
        FileFacts(id=n, path=f"/{n}", width=w, height=1, reference=n in reference) for n, w in sizes.items()
    ]
    found: list[Group] = make_groups(finder.files, finder, keep, ahead=ahead)
    names = list(sizes)
    return [f"{names[g.keep]}:{''.join(names[e] for e in g.extras)}" for g in found], finder


def groups_of(sizes: dict[str, int], near: set[str], copies: set[str], reference: str = "") -> list[str]:
    return judged(sizes, near, copies, reference)[0]


def test_a_file_that_will_be_replaced_is_not_compared_with_all() -> None:
    """a is the widest, but mostly border: the early check shows it, and the others are compared with b only."""
    every = {"ab", "ac", "ad", "ae", "bc", "bd", "be", "cd", "ce", "de"}
    found, finder = judged({"a": 900, "b": 9, "c": 8, "d": 7, "e": 6}, every, every, bordered="a")
    assert found == ["b:cdea"]
    assert {pair for pair in finder.requested if pair[0] == "a"} == {"ab"}


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
        together, finder = judged(sizes, near, copies, bordered=bordered, ahead=ahead)
        assert together == alone
        assert not copies or finder.submitted


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
