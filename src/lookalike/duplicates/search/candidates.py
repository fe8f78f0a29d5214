"""Which contents may be copies of each other: by score, and by the tiny picture in all positions."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.collection_arrays import Rows
from lookalike.duplicates.search.contents import Contents
from lookalike.duplicates.search.local_features import COUNT, MAX_FEATURES, shared_features
from lookalike.duplicates.search.orientation import turned_pairs
from lookalike.duplicates.search.pairs import Pairs, cross_pairs, near_pairs
from lookalike.duplicates.search.signatures import SignatureReader, Signatures

Level: TypeAlias = Callable[[NDArray[np.float32]], NDArray[Any]]

HALF = 0.001  # half precision moves a score by less
GREY = 0.94  # tiny pictures of exactly turned or recompressed copies agree at .96 and more
_MOST = 1 << 24  # pairs held at a time: 320 MB
BY_SCORE, BY_GREY, BY_FEATURES = 5, 6, 8  # partners by each of these
BY_SCORE_IN_A_CROWD = 1
MANY, BY_SCORE_OF_MANY = 20_000, 2  # of 93,680 pictures 20,949 pairs instead of 37,966, with 1,909 of 1,910 copies
SURE_GREY, LIKELY_GREY = 0.985, 0.96
_ABOVE = 0.1  # of a score above the level of both pictures; unrelated ones reach it once in a thousand
_SURE = 0.93  # a score that needs no comparison with others
_LEVELLED = 4096
PARTNERS = 100  # of one content, the best so many: a folder of blank forms must not be compared million by million


@dataclass(frozen=True, slots=True)
class Candidates:
    """For each content with partners, its partners, best first. `cut`: how many contents had more than PARTNERS."""

    partners: dict[int, list[int]]
    cut: int = 0


def find_candidates(
    contents: Contents,
    min_score: float,
    pool: Executor,
    *,
    turned: bool = True,
    local: bool = True,
    level: Level | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """Contents that may be copies of each other, from three sources of which each knows what the others miss.

    A score of at least `min_score` that is high for both pictures (`level`: the ordinary scores of (n, dim) vectors);
    tiny pictures that agree in one of eight positions (`turned`); local features in common (`local`: crops, rotations).
    """
    above = _above_level(_gathered(_by_vector(contents, min_score, progress)), contents, level)
    by_vector = _leading(above, BY_SCORE if len(contents.own) <= MANY else BY_SCORE_OF_MANY)
    found = [by_vector]
    if turned or local:
        reader = SignatureReader(pool, _features_each(len(contents.own)) if local else 0)
        sides = [reader.read(side.photos, ids) for side, ids in _judged_ids(contents)]
        if turned:
            found.append(_best_or_sure(_gathered(_by_grey(sides))))
            for side in sides:
                side.drop_greys()
        if local:
            found.append(_leading(_by_local(sides, contents), BY_FEATURES))
    return _best([pairs for pairs in found if len(pairs)])


def _gathered(found: Iterator[Pairs]) -> Pairs:
    gathered: list[Pairs] = []
    count = 0
    for pairs in found:
        gathered.append(pairs)
        count += len(pairs)
        if count > _MOST:
            gathered = [_leading(_joined(gathered), PARTNERS)]
            count = len(gathered[0])
    return _joined(gathered)


def _above_level(pairs: Pairs, contents: Contents, level: Level | None) -> Pairs:
    """Scores less what is ordinary for both pictures, and only those that are clearly above it."""
    if level is None or not len(pairs):
        return pairs
    involved, at = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    levels = np.empty(len(involved))
    for start in range(0, len(involved), _LEVELLED):
        some = involved[start : start + _LEVELLED]
        levels[start : start + len(some)] = level(np.stack([contents.vector_of(int(c)) for c in some]))
    above_level = pairs.score - (levels[at[: len(pairs)]] + levels[at[len(pairs) :]]) / 2
    above = Pairs(pairs.first, pairs.second, above_level.astype(np.float32))
    clear = above.score >= _ABOVE
    # Of those that are alike beyond doubt the best stay candidates, however crowded the neighbourhood.
    sure = _leading(_where(above, ~clear & (pairs.score >= _SURE)), BY_SCORE_IN_A_CROWD)
    return _joined([_where(above, clear), sure])


def _best_or_sure(pairs: Pairs) -> Pairs:
    """Of tiny pictures that nearly agree: those beyond doubt, the best of either where that is likely, else of both.

    Of 93,680 pictures 75,416 pairs agree at .94, of which 2,219 were copies; 97 % of these above .98.
    """
    sure, likely = pairs.score >= SURE_GREY, pairs.score >= LIKELY_GREY
    first, second = _best_of(pairs)
    kept = (first & second) | ((first | second) & likely)
    return _joined([_leading(_where(pairs, sure), BY_GREY), _where(pairs, kept & ~sure)])


def _best_of(pairs: Pairs) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pairs are the best of their first, and of their second."""
    size = int(max(pairs.first.max(), pairs.second.max())) + 1 if len(pairs) else 0
    best = np.full(size, -np.inf, np.float32)
    for side in (pairs.first, pairs.second):
        np.maximum.at(best, side, pairs.score)
    return pairs.score >= best[pairs.first], pairs.score >= best[pairs.second]


def _where(pairs: Pairs, chosen: NDArray[np.bool_]) -> Pairs:
    return Pairs(pairs.first[chosen], pairs.second[chosen], pairs.score[chosen])


def _features_each(pictures: int) -> int:
    return int(np.clip(MAX_FEATURES // max(pictures, 1), 10, COUNT))


def _judged_ids(contents: Contents) -> Iterator[tuple[Rows, dict[str, int]]]:
    for n, stands in enumerate((contents.own, contents.masters)[: len(contents.sides)]):
        side = contents.sides[n]
        yield side, {side.ids[int(stands[c]) - contents.offset * n]: int(c) for c in _judged(contents, stands)}


def _joined(found: list[Pairs]) -> Pairs:
    first, second, score = (
        np.concatenate([getattr(pairs, name) for pairs in found] or [np.zeros(0, kind)])
        for name, kind in (("first", np.int64), ("second", np.int64), ("score", np.float32))
    )
    return Pairs(first, second, score)


def _leading(pairs: Pairs, count: int) -> Pairs:
    """The pairs that are among the best `count` of either side: memory stays flat on crowded collections."""
    kept = np.zeros(len(pairs), np.bool_)
    for side in (pairs.first, pairs.second):
        order = np.lexsort((-pairs.score, side))
        ordered = side[order]
        starts = np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]
        rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
        kept[order[rank < count]] = True
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


def _by_grey(sides: Sequence[Signatures]) -> Iterator[Pairs]:
    for pairs in turned_pairs(sides[0].greys, sides[1].greys if len(sides) > 1 else None, GREY):
        different = pairs.first != pairs.second
        yield Pairs(pairs.first[different], pairs.second[different], pairs.score[different])


def _by_local(sides: Sequence[Signatures], contents: Contents) -> Pairs:
    codes, angles, rows = (
        np.concatenate([getattr(side, name) for side in sides]) for name in ("codes", "angles", "rows")
    )
    pairs = shared_features(codes, angles, rows)
    if len(sides) > 1:
        own, theirs = contents.own >= 0, contents.masters >= 0
        across = (own[pairs.first] & theirs[pairs.second]) | (theirs[pairs.first] & own[pairs.second])
        pairs = Pairs(pairs.first[across], pairs.second[across], pairs.score[across])
    return pairs


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


def _best(found: Sequence[Pairs]) -> Candidates:
    """Partners of each content: each source's best first in turn, so that none crowds out the others."""
    if not found:
        return Candidates({})
    ranks = [_both_ways(pairs) for pairs in found]
    one, other, rank = (np.concatenate(columns) for columns in zip(*ranks, strict=True))
    order = np.lexsort((other, rank, one))
    one, other = one[order], other[order]
    edges = np.r_[0, np.flatnonzero(one[1:] != one[:-1]) + 1, len(one)]
    partners: dict[int, list[int]] = {}
    cut = 0
    for start, end in itertools.pairwise(edges):
        unique = list(dict.fromkeys(other[start:end].tolist()))
        cut += len(unique) > PARTNERS
        partners[int(one[start])] = unique[:PARTNERS]
    return Candidates(partners, cut)


def _both_ways(pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each pair from either side, with its rank among those of its first."""
    one, other = np.concatenate([pairs.first, pairs.second]), np.concatenate([pairs.second, pairs.first])
    order = np.lexsort((other, -np.concatenate([pairs.score, pairs.score]), one))
    one, other = one[order], other[order]
    starts = np.r_[0, np.flatnonzero(one[1:] != one[:-1]) + 1]
    rank = np.arange(len(one)) - np.repeat(starts, np.diff(np.r_[starts, len(one)]))
    return one, other, rank
