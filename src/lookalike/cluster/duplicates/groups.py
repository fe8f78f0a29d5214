"""Groups that never chain: the best picture not yet taken is kept, and only its own copies go with it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lookalike.cluster.duplicates.keep import Keep
from lookalike.cluster.duplicates.rows import Picture


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
    look: Callable[[int, Sequence[int]], None] = lambda best, extras: None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """The groups, in the order of what they keep.

    `partners(place)`: places that may hold copies of the picture there. `copies(place, others)`: those of `others` that
    are; it is asked of the kept one alone. `look(place, extras)`: notes what counts against keeping it, now that its
    copies are known. A picture in a reference folder is never an extra.
    """
    order = keep.order(range(len(pictures)), pictures)
    taken: set[int] = set()
    groups = []
    for n, place in enumerate(order):
        # Another may be kept in its place, and need not have it among its own copies: then it is asked again.
        while place not in taken and (group := _group(place, pictures, partners, copies, taken, keep, look)):
            taken.update((group.keep, *group.extras))
            groups.append(group)
        if progress:
            progress(n + 1, len(order))
    return groups


def _group(
    best: int,
    pictures: Sequence[Picture],
    partners: Callable[[int], Iterable[int]],
    copies: Callable[[int, Sequence[int]], Iterable[int]],
    taken: set[int],
    keep: Keep,
    look: Callable[[int, Sequence[int]], None],
) -> Group | None:
    """The group of `best`, or of the copy of it that comes first after a second look."""
    extras = _extras(best, pictures, partners, copies, taken)
    while extras:
        look(best, sorted(extras))
        first = keep.order((best, *extras), pictures)[0]
        theirs = set() if first == best else _extras(first, pictures, partners, copies, taken)
        if not theirs:
            return Group(best, tuple(keep.order(extras, pictures)))
        best, extras = first, theirs
    return None


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
