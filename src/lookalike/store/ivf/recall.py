"""The recall of a search, measured on a collection's own rows when its index is built, and the effort it takes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import normalize
from lookalike.store.vector_storage import Mask, Positions, load_faiss
from lookalike.types import Vectors

if TYPE_CHECKING:
    from lookalike.store.ivf.lists import InvertedLists
    from lookalike.store.ivf.vector_file import VectorFile

DEFAULT_RECALL = 0.99
LEVELS = (0.9, 0.95, 0.98, 0.99, 0.995)
COUNTS = (10, 25, 100, 1000)  # numbers of hits for which it is measured
CANDIDATES = (4, 10, 20, 40)  # times as many candidates as hits
SAMPLE = 256  # rows that serve as queries
_GROWTH = 1.3
_OUTLIERS = 0.01  # share of the queries that count as unlike the others
_SEED = 3
_MOVE = 0.5  # how far, of the length of a row
_MAPPED_QUERIES = 32
_BLOCK = 65_536  # rows compared at a time
ALL_PARTS = -1


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard a search looks: lists probed, and candidates whose true scores are computed.

    `near`, `margin`: a query that scores less than `near` with every centroid is unlike the queries that were measured;
    it probes all lists whose centroids score at most `margin` less than the best.
    """

    probes: int
    candidates: int
    near: float = -math.inf
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The recall (share of the `count` best that were found) of an effort.

    `part`: which part of the vectors the queries ask about; `ALL_PARTS`: all. `level`: the recall that was requested.
    """

    part: int
    count: int
    level: float
    recall: float
    effort: Effort


@dataclass(frozen=True)
class RecallTable:
    """What was measured. `parts`: the numbers of each part of the vectors, () if they have none."""

    rows: tuple[Measured, ...]
    parts: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, data: Any) -> "RecallTable":
        """Raises KeyError, TypeError, ValueError."""
        rows = (Measured(**{**row, "effort": Effort(**row["effort"])}) for row in data["rows"])
        return cls(tuple(rows), tuple(map(int, data["parts"])))

    def to_json(self) -> dict[str, Any]:
        return {"rows": [asdict(row) for row in self.rows], "parts": list(self.parts)}

    def effort(self, query: NDArray[np.float32], k: int, recall: float, share: float = 1.0) -> Effort | None:
        """The least effort that reaches this recall; None where only comparing all rows does.

        `share`: of the rows that pass a filter. The ten best of a tenth lie where the hundred best of all do.
        """
        part = self.part_of(query)
        if (effort := self._measured(part, k, recall)) is None:
            return None
        wider = None
        if share < 1:
            reach = min(math.ceil(k / max(share, 1e-9)), max(row.count for row in self.rows))
            wider = self._measured(part, max(reach, k), recall)
        wider = wider or effort
        return replace(effort, candidates=max(effort.candidates, k), probes=wider.probes, margin=wider.margin)

    def _measured(self, part: int, k: int, recall: float) -> Effort | None:
        """The effort measured for the next larger number of hits, or between that and the next smaller one."""
        larger = self._least(part, recall, sorted(count for count in COUNTS if count >= k))
        smaller = self._least(part, recall, sorted((count for count in COUNTS if count < k), reverse=True))
        if larger is None or smaller is None:
            return None if larger is None else larger[1]
        (high, more), (low, less) = larger, smaller
        share = math.log(k / low) / math.log(high / low)
        probes, candidates = (
            math.ceil(a + share * (b - a)) for a, b in ((less.probes, more.probes), (less.candidates, more.candidates))
        )
        return replace(more, probes=probes, candidates=candidates)

    def _least(self, part: int, recall: float, counts: Sequence[int]) -> tuple[int, Effort] | None:
        """The least effort that reaches a recall, for the first of these numbers of hits that it was measured for."""
        for count in counts:
            levels = [row for row in self.rows if (row.part, row.count) == (part, count) and row.level >= recall]
            if levels:
                return count, min(levels, key=lambda row: row.level).effort
        return None

    def part_of(self, query: NDArray[np.float32]) -> int:
        """The only part of a query (dim,) that is not zero."""
        present = [n for n, part in enumerate(_slices(self.parts)) if query[part].any()]
        return present[0] if len(present) == 1 and len(self.parts) > 1 else ALL_PARTS


def measure(lists: "InvertedLists", vectors: "VectorFile", alive: Mask, parts: Sequence[int] = ()) -> RecallTable:
    """Search with a sample of the rows, each left out of its own results, and find the effort of each level.

    Half of the queries are moved towards other rows: images that are searched are not in the collection.
    """
    living = np.flatnonzero(alive)
    if not len(living):
        return RecallTable((), tuple(parts))
    rng = np.random.default_rng(_SEED)
    rows = np.sort(rng.choice(living, min(SAMPLE, len(living)), replace=False))
    sample = vectors.take(rows)
    moved = rng.permutation(len(rows))[: len(rows) // 2]
    sample[moved] += _MOVE * vectors.take(np.sort(rng.choice(living, len(moved))))
    measured: list[Measured] = []
    for part in [ALL_PARTS, *(range(len(parts)) if len(parts) > 1 else ())]:
        queries = normalize(sample) if part == ALL_PARTS else _only(sample, _slices(parts)[part])
        measured += _measured(lists, vectors, alive, queries, rows, part)
    return RecallTable(tuple(measured), tuple(parts))


def _measured(
    lists: "InvertedLists", vectors: "VectorFile", alive: Mask, queries: Vectors, own: Positions, part: int
) -> Iterator[Measured]:
    counts = [count for count in COUNTS if CANDIDATES[0] * count < alive.sum()]  # beyond, comparing all is as cheap
    if not counts:
        return
    nearest = _nearest(queries, vectors, alive, counts[-1] + 1)
    for count in counts:
        best = [_others(rows, row)[:count] for rows, row in zip(nearest, own, strict=True)]
        trial = _Trial(lists, vectors, queries, own, count, best)
        effort, recall = Effort(1, 0), 0.0
        for level in LEVELS:
            if recall < level:
                if (least := trial.least_effort(level, effort)) is None:
                    break
                effort, recall = least
            yield Measured(part, count, level, round(recall, 4), trial.with_outliers(effort, level))


def _nearest(queries: Vectors, vectors: "VectorFile", alive: Mask, k: int) -> NDArray[np.int64]:
    """(n, k) positions of the nearest living rows, best first, in one pass over all vectors."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    positions = np.full((len(queries), k), -1, np.int64)
    for start, rows_of_block in zip(range(0, len(vectors), _BLOCK), vectors.blocks(_BLOCK), strict=True):
        living = np.flatnonzero(alive[start : start + _BLOCK])
        if not len(living):
            continue
        block = np.ascontiguousarray(rows_of_block[living])
        scores, rows = load_faiss().knn(queries, block, min(k, len(block)), metric=load_faiss().METRIC_INNER_PRODUCT)
        together = np.concatenate([best, scores], axis=1)
        order = np.argsort(-together, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(together, order, axis=1)
        positions = np.take_along_axis(np.concatenate([positions, living[rows] + start], axis=1), order, axis=1)
    return positions


@dataclass(frozen=True, eq=False)
class _Trial:
    """Queries (n, dim), which are rows of the index themselves (`own`), and the `count` nearest others of each."""

    lists: "InvertedLists"
    vectors: "VectorFile"
    queries: Vectors
    own: Positions
    count: int
    true: Sequence[Positions]

    def least_effort(self, level: float, start: Effort) -> tuple[Effort, float] | None:
        """The least effort, from `start` on, that reaches a level of recall, and its recall; None if none does."""
        # Lists that hold so many of the true ones; of those, the codes lose some.
        probes = max(start.probes, self._probes_holding(level + (1 - level) / 4))
        factors = CANDIDATES if self.count < COUNTS[-1] else CANDIDATES[:2]
        while True:
            for candidates in (factor * self.count for factor in factors if factor * self.count >= start.candidates):
                effort = Effort(probes, candidates)
                if (recall := self._recall(effort)) >= level:
                    return effort, recall
            if probes >= len(self.lists.centroids):
                return None
            probes = min(len(self.lists.centroids), round(probes * _GROWTH) + 1)

    def with_outliers(self, effort: Effort, level: float) -> Effort:
        """The same with what a query does that is farther from all centroids than these."""
        best = self._scores.max(axis=1)
        triples = zip(best, self._scores, self._true_lists, strict=True)
        lost = [top - scores[lists] for top, scores, lists in triples]
        margin = float(np.quantile(np.concatenate(lost), level))
        return replace(effort, near=round(float(np.quantile(best, _OUTLIERS)), 4), margin=round(margin, 4))

    def _recall(self, effort: Effort) -> float:
        shares = []
        proposed = self.lists.scan(self.queries, self.count, effort)
        for n, (query, row, true) in enumerate(zip(self.queries, self.own, self.true, strict=True)):
            if n % _MAPPED_QUERIES == 0:
                mapped = self.vectors.mapped()  # again and again: unmapping gives the pages back
            others = _others(proposed[n], row)
            best = _by_score(mapped[others] @ query, others)[: self.count]
            shares.append(np.isin(best, true, assume_unique=True).sum() / len(true))
        return float(np.mean(shares))

    def _probes_holding(self, share: float) -> int:
        """How many lists of each query hold this share of the true rows, over all queries."""
        ranks = np.argsort(np.argsort(-self._scores, axis=1, kind="stable"), axis=1)
        needed = np.sort(np.concatenate([own[lists] for own, lists in zip(ranks, self._true_lists, strict=True)]))
        return int(needed[min(len(needed), math.ceil(share * len(needed))) - 1]) + 1

    @cached_property
    def _true_lists(self) -> list[NDArray[np.uint16]]:
        return [self.lists.list_of[rows] for rows in self.true]

    @cached_property
    def _scores(self) -> NDArray[np.float32]:
        """(n, lists) of the queries with the centroids."""
        return self.lists.scores(self.queries)


def _others(rows: Positions, own: int) -> Positions:
    return np.asarray(rows[rows != own])


def _by_score(scores: NDArray[np.float32], rows: Positions) -> Positions:
    return np.asarray(rows[np.argsort(-scores, kind="stable")])


def _slices(parts: Sequence[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in pairwise(np.cumsum([0, *parts]).tolist())]


def _only(vectors: Vectors, part: slice) -> Vectors:
    """Unit vectors of one part, zero elsewhere: how a query asks about it."""
    chosen = np.zeros_like(vectors)
    chosen[:, part] = vectors[:, part]
    return normalize(chosen)
