"""Candidate pairs of contents: by score, by thumbnail signature in eight orientations, and by shared local features."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search import pairs as pairs_module
from lookalike.duplicates.search.collection_arrays import CollectionArrays
from lookalike.duplicates.search.contents import Contents
from lookalike.duplicates.search.local_features import COUNT, MAX_FEATURES, shared_features
from lookalike.duplicates.search.orientation import rotated_pairs
from lookalike.duplicates.search.pairs import ScoredPairs, Stored, cross_pairs, near_pairs, nearest_pairs
from lookalike.duplicates.search.thumbnail_features import ThumbnailFeatureReader, ThumbnailFeatures
from lookalike.tasks import TaskPool

ScoreBaseline: TypeAlias = Callable[[NDArray[np.float32]], NDArray[Any]]
"""From vectors (n, dim) to the ordinary high score (n,) of each."""

HALF_PRECISION_ERROR = 0.001  # half precision changes a score by less
MIN_THUMBNAIL_SCORE = 0.94  # signatures of recompressed or exactly rotated copies agree at .96 and more
_MAX_PAIRS = 1 << 24  # pairs held at a time: 320 MB
PARTNERS_BY_SCORE, PARTNERS_BY_THUMBNAIL, PARTNERS_BY_FEATURES = 5, 6, 8
PARTNERS_WHEN_CROWDED = 1
# Of 93,680 images 20,949 pairs instead of 37,966, with 1,909 of 1,910 copies.
LARGE_COLLECTION, PARTNERS_BY_SCORE_IF_LARGE = 20_000, 2
CERTAIN_THUMBNAIL_SCORE, LIKELY_THUMBNAIL_SCORE = 0.985, 0.96
_MIN_ABOVE_BASELINE = 0.1  # of a score over the mean baseline of both; unrelated pairs reach it once in a thousand
_CERTAIN_SCORE = 0.93  # needs no comparison with the baseline
_BASELINE_BATCH = 4096
MAX_LOCAL = 2_000_000  # contents; local features of more would take over 2 GB
MAX_PARTNERS = 100  # of one content: all pairs of a folder of blank forms would be millions


@dataclass(frozen=True, slots=True)
class CandidatePairs:
    """`partners`: for each content that has any, best first. `truncated`: contents with more than MAX_PARTNERS."""

    partners: dict[int, list[int]]
    truncated: int = 0


def find_candidates(
    contents: Contents,
    min_score: float,
    tasks: TaskPool,
    *,
    turned: bool = True,
    local: bool = True,
    baseline: ScoreBaseline | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CandidatePairs:
    """Return contents that may be copies of each other, from three sources that complement each other.

    A score of at least `min_score` that is also well above the `baseline` of both images; signatures that agree in one
    of eight orientations (`turned`); shared local features (`local`), which find crops and free rotations.
    """
    above = _above_baseline(_collected(_by_vector(contents, min_score, progress, tasks)), contents, baseline)
    is_large = len(contents.own_rows) > LARGE_COLLECTION
    sources = [_top_per_side(above, PARTNERS_BY_SCORE_IF_LARGE if is_large else PARTNERS_BY_SCORE)]
    local = local and len(contents.own_rows) <= MAX_LOCAL
    if turned or local:
        reader = ThumbnailFeatureReader(tasks, _features_per_image(len(contents.own_rows)) if local else 0)
        sides = [reader.read(side.photos, ids) for side, ids in _comparable_ids(contents)]
        if turned:
            sources.append(_best_or_certain(_collected(_by_thumbnail(sides, tasks))))
            for side in sides:
                side.drop_thumbnails()
        if local:
            sources.append(_top_per_side(_by_local(sides, contents), PARTNERS_BY_FEATURES))
    return _merge([pairs for pairs in sources if len(pairs)])


def _collected(parts: Iterator[ScoredPairs]) -> ScoredPairs:
    """Concatenate pairs; beyond _MAX_PAIRS keep the best of each content only."""
    collected: list[ScoredPairs] = []
    count = 0
    for pairs in parts:
        collected.append(pairs)
        count += len(pairs)
        if count > _MAX_PAIRS:
            collected = [_top_per_side(_joined(collected), MAX_PARTNERS)]
            count = len(collected[0])
    return _joined(collected)


def _above_baseline(pairs: ScoredPairs, contents: Contents, baseline: ScoreBaseline | None) -> ScoredPairs:
    """Return the pairs clearly above the mean baseline of both images, scored by the difference."""
    if baseline is None or not len(pairs):
        return pairs
    involved, inverse = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    levels = np.empty(len(involved))
    for start in range(0, len(involved), _BASELINE_BATCH):
        batch = involved[start : start + _BASELINE_BATCH]
        levels[start : start + len(batch)] = baseline(np.stack([contents.vector_of(int(c)) for c in batch]))
    difference = pairs.score - (levels[inverse[: len(pairs)]] + levels[inverse[len(pairs) :]]) / 2
    above = ScoredPairs(pairs.first, pairs.second, difference.astype(np.float32))
    clear = above.score >= _MIN_ABOVE_BASELINE
    # Of near-certain scores the best stay candidates, even where many images score as high.
    certain = _top_per_side(_where(above, ~clear & (pairs.score >= _CERTAIN_SCORE)), PARTNERS_WHEN_CROWDED)
    return _joined([_where(above, clear), certain])


def _best_or_certain(pairs: ScoredPairs) -> ScoredPairs:
    """Return the certain pairs of signatures, likely pairs that are the best of either side, and else of both sides.

    Of 93,680 images 75,416 pairs agree at .94, of which 2,219 were copies; 97% of these above .98.
    """
    certain, likely = pairs.score >= CERTAIN_THUMBNAIL_SCORE, pairs.score >= LIKELY_THUMBNAIL_SCORE
    first, second = _best_of(pairs)
    retained = (first & second) | ((first | second) & likely)
    return _joined([_top_per_side(_where(pairs, certain), PARTNERS_BY_THUMBNAIL), _where(pairs, retained & ~certain)])


def _best_of(pairs: ScoredPairs) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pairs are the best of their first content, and which of their second."""
    size = int(max(pairs.first.max(), pairs.second.max())) + 1 if len(pairs) else 0
    best = np.full(size, -np.inf, np.float32)
    for side in (pairs.first, pairs.second):
        np.maximum.at(best, side, pairs.score)
    return pairs.score >= best[pairs.first], pairs.score >= best[pairs.second]


def _where(pairs: ScoredPairs, mask: NDArray[np.bool_]) -> ScoredPairs:
    return ScoredPairs(pairs.first[mask], pairs.second[mask], pairs.score[mask])


def _features_per_image(images: int) -> int:
    """Local features of each image; 0 where there are too many images for a useful number of them in memory."""
    return 0 if images > MAX_LOCAL else int(np.clip(MAX_FEATURES // max(images, 1), 10, COUNT))


def _comparable_ids(contents: Contents) -> Iterator[tuple[CollectionArrays, dict[str, int]]]:
    """Yield each collection, with the content of each id that represents a comparable content there."""
    for n, row_of in enumerate((contents.own_rows, contents.reference_rows)[: len(contents.sides)]):
        side = contents.sides[n]
        comparable = _comparable(contents, row_of)
        yield side, {side.ids[int(row_of[c]) - contents.offset * n]: int(c) for c in comparable}


def _joined(parts: list[ScoredPairs]) -> ScoredPairs:
    first, second, score = (
        np.concatenate([getattr(pairs, name) for pairs in parts] or [np.zeros(0, kind)])
        for name, kind in (("first", np.int64), ("second", np.int64), ("score", np.float32))
    )
    return ScoredPairs(first, second, score)


def _top_per_side(pairs: ScoredPairs, count: int) -> ScoredPairs:
    """Return the pairs among the best `count` of their first or their second: bounds memory on crowded collections."""
    retained = np.zeros(len(pairs), np.bool_)
    for side in (pairs.first, pairs.second):
        order = np.lexsort((-pairs.score, side))
        ordered = side[order]
        starts = np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]
        rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
        retained[order[rank < count]] = True
    return _where(pairs, retained)


def _by_vector(
    contents: Contents, min_score: float, progress: Callable[[int, int], None] | None, tasks: TaskPool
) -> Iterator[ScoredPairs]:
    own = _comparable(contents, contents.own_rows)
    rows = contents.own_rows[own]
    if len(contents.sides) == 1 and len(own) > pairs_module.MAX_EXACT:
        yield _nearest_contents(contents, own, min_score, progress)
        return
    vectors = _rows_of(contents.sides[0].vectors, rows)
    if len(contents.sides) == 1:
        for pairs in near_pairs(vectors, min_score - HALF_PRECISION_ERROR, progress=progress, tasks=tasks):
            yield ScoredPairs(own[pairs.first], own[pairs.second], pairs.score)
        return
    other = _comparable(contents, contents.reference_rows)
    reference_vectors = _rows_of(contents.sides[1].vectors, contents.reference_rows[other] - contents.offset)
    lowest = min_score - HALF_PRECISION_ERROR
    for pairs in cross_pairs(vectors, reference_vectors, lowest, progress=progress, tasks=tasks):
        first, second = own[pairs.first], other[pairs.second]
        different = first != second
        yield ScoredPairs(first[different], second[different], pairs.score[different])


def _nearest_contents(
    contents: Contents, own: NDArray[np.int64], min_score: float, progress: Callable[[int, int], None] | None
) -> ScoredPairs:
    vectors = np.asarray(contents.sides[0].vectors, np.float32)
    content_of = np.full(len(vectors), -1, np.int64)
    content_of[contents.own_rows[own]] = own
    pairs = nearest_pairs(vectors, min_score, progress=progress)
    first, second = content_of[pairs.first], content_of[pairs.second]
    comparable = (first >= 0) & (second >= 0)
    return _where(ScoredPairs(np.minimum(first, second), np.maximum(first, second), pairs.score), comparable)


def _by_thumbnail(sides: Sequence[ThumbnailFeatures], tasks: TaskPool) -> Iterator[ScoredPairs]:
    others = sides[1].thumbnails if len(sides) > 1 else None
    for pairs in rotated_pairs(sides[0].thumbnails, others, MIN_THUMBNAIL_SCORE, tasks):
        yield _where(pairs, pairs.first != pairs.second)


def _by_local(sides: Sequence[ThumbnailFeatures], contents: Contents) -> ScoredPairs:
    codes, angles, rows = (
        np.concatenate([getattr(side, name) for side in sides]) for name in ("codes", "angles", "rows")
    )
    pairs = shared_features(codes, angles, rows)
    if len(sides) > 1:
        own, reference = contents.own_rows >= 0, contents.reference_rows >= 0
        across = (own[pairs.first] & reference[pairs.second]) | (reference[pairs.first] & own[pairs.second])
        pairs = _where(pairs, across)
    return pairs


def _comparable(contents: Contents, row_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the contents that have a row here and are not plain: plain images are copies only if their bytes agree."""
    present = np.flatnonzero(row_of >= 0)
    plain: NDArray[np.bool_] = np.concatenate([side.plain for side in contents.sides])
    comparable: NDArray[np.int64] = present[~plain[row_of[present]]]
    return comparable


def _rows_of(vectors: Stored, rows: NDArray[np.int64]) -> Stored:
    """Return `vectors[rows]`, without a copy if these are all rows in order: a million vectors take 512 MB."""
    all_rows = len(rows) == len(vectors) and bool((rows == np.arange(len(rows))).all())
    return vectors if all_rows else vectors[rows]


def _merge(sources: Sequence[ScoredPairs]) -> CandidatePairs:
    """Merge sources by rank: all first partners, then all second ones, so that no source crowds out another."""
    if not sources:
        return CandidatePairs({})
    ranks = [_both_ways(pairs) for pairs in sources]
    one, other, rank = (np.concatenate(columns) for columns in zip(*ranks, strict=True))
    order = np.lexsort((other, rank, one))
    one, other = one[order], other[order]
    edges = np.r_[0, np.flatnonzero(one[1:] != one[:-1]) + 1, len(one)]
    partners: dict[int, list[int]] = {}
    truncated = 0
    for start, end in itertools.pairwise(edges):
        unique = list(dict.fromkeys(other[start:end].tolist()))
        truncated += len(unique) > MAX_PARTNERS
        partners[int(one[start])] = unique[:MAX_PARTNERS]
    return CandidatePairs(partners, truncated)


def _both_ways(pairs: ScoredPairs) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each pair in both directions, with its rank among the pairs of its first content."""
    one, other = np.concatenate([pairs.first, pairs.second]), np.concatenate([pairs.second, pairs.first])
    order = np.lexsort((other, -np.concatenate([pairs.score, pairs.score]), one))
    one, other = one[order], other[order]
    starts = np.r_[0, np.flatnonzero(one[1:] != one[:-1]) + 1]
    rank = np.arange(len(one)) - np.repeat(starts, np.diff(np.r_[starts, len(one)]))
    return one, other, rank
