"""Which contents may be copies of each other: by score, and by the tiny picture in all positions."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.duplicates.contents import Contents
from lookalike.cluster.duplicates.pairs import Pairs, cross_pairs, near_pairs
from lookalike.cluster.duplicates.turned import read_greys, turned_pairs

HALF = 0.001  # half precision moves a score by less
GREY = 0.9  # tiny pictures of exactly turned or recompressed copies agree at .96 and more, of different photos at .75
_MOST = 1 << 24  # pairs held at a time: 320 MB
PARTNERS = 100  # of one content, the best so many: a folder of blank forms must not be compared million by million


@dataclass(frozen=True, slots=True)
class Candidates:
    """For each content with partners, its partners, best first. `cut`: how many contents had more than PARTNERS."""

    partners: dict[int, list[int]]
    cut: int = 0


def find_candidates(
    contents: Contents, min_score: float, *, turned: bool = True, progress: Callable[[int, int], None] | None = None
) -> Candidates:
    """Contents with a score of at least `min_score`, or whose tiny pictures agree in one of eight positions."""
    gathered: list[Pairs] = []
    count = 0
    for pairs in itertools.chain(_by_vector(contents, min_score, progress), _by_grey(contents) if turned else ()):
        gathered.append(pairs)
        count += len(pairs)
        if count > _MOST:
            gathered = [_thinned(_joined(gathered))]
            count = len(gathered[0])
    return _best(_joined(gathered))


def _joined(found: list[Pairs]) -> Pairs:
    first, second, score = (
        np.concatenate([getattr(pairs, name) for pairs in found] or [np.zeros(0, kind)])
        for name, kind in (("first", np.int64), ("second", np.int64), ("score", np.float32))
    )
    return Pairs(first, second, score)


def _thinned(pairs: Pairs) -> Pairs:
    """Without the pairs that are among the best of neither side: memory stays flat on crowded collections."""
    kept = np.zeros(len(pairs), np.bool_)
    for side in (pairs.first, pairs.second):
        order = np.lexsort((-pairs.score, side))
        ordered = side[order]
        starts = np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]
        rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
        kept[order[rank <= PARTNERS]] = True
    return Pairs(pairs.first[kept], pairs.second[kept], pairs.score[kept])


def _by_vector(contents: Contents, min_score: float, progress: Callable[[int, int], None] | None) -> Iterator[Pairs]:
    own = _judged(contents, contents.own)
    rows = contents.own[own]
    vectors = _rows_of(contents.sides[0].vectors, rows)
    if len(contents.sides) == 1:
        for pairs in near_pairs(vectors, min_score - HALF, progress=progress):
            yield Pairs(own[pairs.first], own[pairs.second], pairs.score)
        return
    other = _judged(contents, contents.masters)
    masters = _rows_of(contents.sides[1].vectors, contents.masters[other] - contents.offset)
    for pairs in cross_pairs(vectors, masters, min_score - HALF, progress=progress):
        first, second = own[pairs.first], other[pairs.second]
        different = first != second
        yield Pairs(first[different], second[different], pairs.score[different])


def _by_grey(contents: Contents) -> Iterator[Pairs]:
    greys = []
    for n, stands in enumerate((contents.own, contents.masters)[: len(contents.sides)]):
        judged = _judged(contents, stands)
        side = contents.sides[n]
        ids = {side.ids[int(stands[c]) - contents.offset * n]: int(c) for c in judged}
        greys.append(read_greys(side.photos, ids))
    for pairs in turned_pairs(greys[0], greys[1] if len(greys) > 1 else None, GREY):
        different = pairs.first != pairs.second
        yield Pairs(pairs.first[different], pairs.second[different], pairs.score[different])


def _judged(contents: Contents, stands: NDArray[np.int64]) -> NDArray[np.int64]:
    """Contents with a file there that are not too plain to compare: those are copies only when their bytes agree."""
    there = np.flatnonzero(stands >= 0)
    plain: NDArray[np.bool_] = np.concatenate([side.plain for side in contents.sides])
    judged: NDArray[np.int64] = there[~plain[stands[there]]]
    return judged


def _rows_of(vectors: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float16]:
    """The vectors themselves where all are wanted in their order: a copy of a million would be felt."""
    whole = len(rows) == len(vectors) and bool((rows == np.arange(len(rows))).all())
    return vectors if whole else vectors[rows]


def _best(pairs: Pairs) -> Candidates:
    first, second, score = pairs.first, pairs.second, pairs.score
    one, other = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.lexsort((other, -np.concatenate([score, score]), one))
    one, other = one[order], other[order]
    edges = np.r_[0, np.flatnonzero(one[1:] != one[:-1]) + 1, len(one)] if len(one) else np.zeros(1, np.int64)
    partners: dict[int, list[int]] = {}
    cut = 0
    for start, end in itertools.pairwise(edges):
        unique = list(dict.fromkeys(other[start:end].tolist()))
        cut += len(unique) > PARTNERS
        partners[int(one[start])] = unique[:PARTNERS]
    return Candidates(partners, cut)
