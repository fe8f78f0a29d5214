"""Groups that never chain: the best picture not yet taken is kept, and only its own copies go with it."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.search.collection_arrays import Picture


@dataclass(frozen=True, slots=True)
class Group:
    """Places of pictures: the one to keep, and its copies in the order in which they would have been kept."""

    keep: int
    extras: tuple[int, ...]


class Judging(Protocol):
    """What groups are made by. Pictures are named by their places."""

    def partners(self, place: int) -> Iterable[int]:
        """Those that may be copies of the picture at a place."""

    def copies(self, place: int, others: Sequence[int]) -> Iterable[int]:
        """Those of others that are."""

    def prepare(self, places: Sequence[int]) -> None:
        """Told which places come next: what is needed of them and their partners can be read at once."""

    def begin(self, place: int, others: Sequence[int]) -> None:
        """Told what will probably be asked soon, so that it can be found meanwhile."""

    def infer(self, place: int, by: int, others: Iterable[int]) -> None:
        """Told that a picture takes the place of another, whose copies the others are."""

    def glance(self, place: int, copies: Sequence[int], keep: Keep) -> None:
        """Note what counts against keeping a picture, as far as some of its copies show it at once."""

    def look(self, place: int, copies: Sequence[int], keep: Keep) -> None:
        """Note what counts against keeping a picture, now that its copies are known."""


def make_groups(
    pictures: Sequence[Picture],
    judging: Judging,
    keep: Keep,
    *,
    ahead: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """The groups, in the order of what they keep. A picture in a reference folder is never an extra.

    `ahead`: how many groups are made at a time. They are taken in their order, each as if it had waited for those
    before it, and what is done in between does not depend on which proof comes first: every run finds the same.
    """
    order = keep.order(range(len(pictures)), pictures)
    maker = _Maker(pictures, judging, keep)
    begun: dict[int, _Work] = {}
    groups = []
    for n, place in enumerate(order):
        while place not in maker.taken:
            _begin(begun, order[n : n + _IN_SIGHT], maker, max(ahead, 1))
            if not begun[place].done:
                for work in begun.values():
                    work.step(judging)
                continue
            work = begun.pop(place)
            if not maker.taken.isdisjoint(work.asked):
                continue  # it was begun when they were free
            if (group := work.group) is None:
                break
            # Another may be kept in its place, and need not have it among its own copies: then it is asked again.
            maker.taken.update((group.keep, *group.extras))
            keep.measures.take_over(work.keep.measures)
            groups.append(group)
        begun.pop(place, None)
        if progress:
            progress(n + 1, len(order))
    return groups


_IN_SIGHT = 256  # places, among which the next groups are sought
_PREPARED = 64  # places that are read together, with their partners
_LIKELY = 3  # partners of a picture, one of which is held against it before all are

Request = tuple[int, Sequence[int]]
Steps = Generator[Request, None, Group | None]


class _Work:
    """A group that is being made: each step ends with a question, whose answer the next step needs."""

    def __init__(self, steps: Steps, near: set[int], keep: Keep) -> None:
        self.near, self.keep = near, keep
        self.asked: set[int] = set()
        self.done, self.group = False, cast("Group | None", None)
        self._steps = steps

    def step(self, judging: Judging) -> None:
        if self.done:
            return
        try:
            place, others = next(self._steps)
            self.asked.update((place, *others))
            judging.begin(place, others)
        except StopIteration as end:
            self.done, self.group = True, end.value


def _begin(begun: dict[int, _Work], places: Sequence[int], maker: "_Maker", count: int) -> None:
    """Begin with the first of the places, and with others that are no neighbours: those may end in one group.

    Where all are neighbours, as the pages of one template are, with some of them.
    """
    for place in [place for place in begun if place in maker.taken]:
        del begun[place]
    if places[0] not in begun:
        maker.prepare([place for place in places if place not in maker.taken])
        begun[places[0]] = maker.work(places[0])
    pending = sum(not work.done for work in begun.values())
    if pending >= count or len(begun) >= _IN_SIGHT:
        return
    near = set().union(*(work.near for work in begun.values()))
    free = [place for place in places if place not in begun and place not in maker.taken]
    for room, neighbours_too in ((count, False), (count // 4, True)):
        for n, place in enumerate(free):
            if pending >= room or len(begun) >= _IN_SIGHT:
                break
            if place not in begun and (neighbours_too or place not in near):
                maker.prepare(free[n:])
                work = begun[place] = maker.work(place)
                near |= work.near
                pending += 1


class _Maker:
    def __init__(self, pictures: Sequence[Picture], judging: Judging, keep: Keep) -> None:
        self.taken: set[int] = set()
        self._prepared: set[int] = set()
        self._pictures, self._judging, self._keep = pictures, judging, keep

    def prepare(self, places: Sequence[int]) -> None:
        """Let what the next places need be read, a few dozens at a time."""
        if places and places[0] not in self._prepared:
            some = [place for place in places[:_PREPARED] if place not in self._prepared]
            self._prepared.update(some)
            self._judging.prepare(some)

    def work(self, place: int) -> _Work:
        """Begin with the group of the picture at `place`."""
        keep = self._keep.fork()
        return _Work(self._group_of(place, keep), set(self._judging.partners(place)), keep)

    def _group_of(self, place: int, keep: Keep) -> Steps:
        best = yield from self._preferred(place, self._first_partners(place), keep)
        extras = yield from self._extras(best)
        while extras:
            self._judging.look(best, sorted(extras), keep)
            first = yield from self._best_of(best, extras, keep)
            if first == best:
                return Group(best, tuple(keep.order(extras, self._pictures)))
            self._judging.infer(first, best, sorted(extras))
            theirs = yield from self._extras(first)
            if not theirs:
                return Group(best, tuple(keep.order(extras, self._pictures)))
            best, extras = first, theirs
        return None

    def _best_of(self, best: int, extras: set[int], keep: Keep) -> Generator[Request, None, int]:
        """Which of a group would be kept: what would take the place of the best is looked at, too."""
        while (first := self._first(best, extras, keep)) != best:
            preferred = yield from self._preferred(first, [best], keep)
            if preferred == first or self._first(best, extras, keep) == first:
                return first
        return best

    def _first_partners(self, place: int) -> list[int]:
        """What shows whether a picture is what its group is made around: the best of its likeliest partners."""
        own = self._pictures[place].sha256
        free = self._free(self._judging.partners(place), {place})
        likely = [p for p in free if not own or self._pictures[p].sha256 != own][:_LIKELY]
        return self._keep.order(likely, self._pictures)[:1]

    def _preferred(self, place: int, others: Sequence[int], keep: Keep) -> Generator[Request, None, int]:
        """Which of a picture and its copies among a few others would be kept, by what is seen at once."""
        copies = yield from self._copies(place, others)
        if copies:
            self._judging.glance(place, copies, keep)
        return self._first(place, copies, keep)

    def _copies(self, place: int, others: Sequence[int]) -> Generator[Request, None, list[int]]:
        if not others:
            return []
        yield place, others
        return list(self._judging.copies(place, others))

    def _first(self, place: int, others: Iterable[int], keep: Keep) -> int:
        return keep.order((place, *others), self._pictures)[0]

    def _free(self, places: Iterable[int], asked: set[int]) -> list[int]:
        reach = dict.fromkeys(places)
        return [p for p in reach if p not in asked and p not in self.taken and not self._pictures[p].reference]

    def _extras(self, best: int) -> Generator[Request, None, set[int]]:
        """The free copies of `best`, those found by way of another copy too: but each is held against `best` itself."""
        extras: set[int] = set()
        asked, wave = {best}, [best]
        while wave:
            others = self._free((place for known in wave for place in self._judging.partners(known)), asked)
            asked.update(others)
            wave = yield from self._copies(best, others)
            extras.update(wave)
        return extras
