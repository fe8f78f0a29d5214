"""Groups that never chain: the best picture not yet taken is kept, and only its own copies go with it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lookalike.cluster.keep import Keep
from lookalike.cluster.rows import Picture


@dataclass(frozen=True, slots=True)
class Group:
    """Places of pictures: the one to keep, and its copies in the order in which they would have been kept."""

    keep: int
    extras: tuple[int, ...]


def make_groups(
    pictures: Sequence[Picture],
    partners: Callable[[int], Iterable[int]],
    copies: Callable[[int, Sequence[int]], Iterable[int]],
    keep: Keep,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """The groups, in the order of what they keep.

    `partners(place)`: places that may hold copies of the picture there. `copies(place, others)`: those of `others` that
    are; it is asked of the kept one alone. A picture in a reference folder is never an extra.
    """
    order = keep.order(range(len(pictures)), pictures)
    rank = {place: n for n, place in enumerate(order)}
    taken: set[int] = set()
    groups = []
    for n, best in enumerate(order):
        if best not in taken and (extras := _extras(best, pictures, partners, copies, taken)):
            taken.update((best, *extras))
            groups.append(Group(best, tuple(sorted(extras, key=rank.__getitem__))))
        if progress:
            progress(n + 1, len(order))
    return groups


def _extras(
    best: int,
    pictures: Sequence[Picture],
    partners: Callable[[int], Iterable[int]],
    copies: Callable[[int, Sequence[int]], Iterable[int]],
    taken: set[int],
) -> set[int]:
    """The free copies of `best`, those found by way of another copy too: but each is held against `best` itself."""
    extras: set[int] = set()
    asked, wave = {best}, [best]
    while wave:
        reach = dict.fromkeys(place for known in wave for place in partners(known))
        others = [p for p in reach if p not in asked and p not in taken and not pictures[p].reference]
        asked.update(others)
        wave = list(copies(best, others)) if others else []
        extras.update(wave)
    return extras
