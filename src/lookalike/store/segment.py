"""Immutable segments of an index: rows that are searched together, merged as in a log-structured merge tree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import is_damaged
from lookalike.store.payload import MemoryPayload, Payload
from lookalike.store.quantizer import Codes, encode
from lookalike.store.rank import DECIMALS, FLOAT32_ERROR, Candidates
from lookalike.store.selection import Selection
from lookalike.store.vector_storage import Mask, Positions, SingleVectors, VectorStorage, largest
from lookalike.types import Vectors

if TYPE_CHECKING:
    from lookalike.store.ivf.lists import InvertedLists

RowIds: TypeAlias = NDArray[np.int64]

EXACT = 1.0  # the recall of a search that compares all rows
MIN_CODED_ROWS = 10_000  # rows from which a pass over codes is cheaper than reading all vectors
CODE_CANDIDATES = 2000  # of such a pass: of 100,000 made vectors the twelve best are certain for all of 64 queries
OVERSAMPLE = 20  # more candidates than requested: among them the exact scores decide
TIE = 2 * FLOAT32_ERROR + 10.0**-DECIMALS  # scores in single precision that may be equal ones
MAX_MERGED_ROWS = 65_536  # a segment of more rows is merged with no other: copying it would stall a writer


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows with ascending row ids; those that are not `alive` were deleted or replaced since.

    `codes`: for the first pass, only beside vectors in single precision. `lists`: of a segment that is mapped from
    files; they propose candidates where a search need not be exact.
    """

    vectors: VectorStorage
    row_ids: RowIds
    alive: Mask
    payload: Payload | None = None
    codes: Codes | None = None
    lists: "InvertedLists | None" = None

    def __len__(self) -> int:
        return len(self.row_ids)

    @cached_property
    def count(self) -> int:
        """Rows that are alive."""
        return int(self.alive.sum())

    @property
    def nbytes(self) -> int:
        """Private memory: the pages of mapped files are shared."""
        row_ids = 0 if isinstance(self.row_ids, np.memmap) else self.row_ids.nbytes
        parts = (self.vectors, self.alive, self.payload, self.codes, self.lists)
        return row_ids + sum(part.nbytes for part in parts if part is not None)

    def with_codes(self) -> "Segment":
        """The same with codes where they pay."""
        coded = self.codes is None and isinstance(self.vectors, SingleVectors) and len(self) >= MIN_CODED_ROWS
        return replace(self, codes=encode(self.vectors.take(slice(None)))) if coded else self

    def without(self, rows: Any) -> "Segment":
        """The same less some rows (positions or a mask)."""
        alive = self.alive.copy()
        alive[rows] = False
        return replace(self, alive=alive)

    def mask_of(self, row_ids: RowIds) -> Mask:
        """Which rows have one of these row ids (ascending) and are alive."""
        mask = np.zeros(len(self), np.bool_)
        at = np.searchsorted(self.row_ids, row_ids)
        inside = at < len(self)
        at, row_ids = at[inside], row_ids[inside]
        mask[at[self.row_ids[at] == row_ids]] = True
        return mask & self.alive

    @cached_property
    def living(self) -> Selection | None:
        """The rows that are alive; None where all are."""
        return None if self.count == len(self) else Selection(self.alive)

    def candidates(
        self, queries: Vectors, k: int, selection: Selection | None = None, recall: float = EXACT
    ) -> list[Candidates]:
        """Candidates for each query among the rows that pass, by their positions in the segment.

        `selection`: rows that pass a filter and are alive; None: all that are alive. `recall`: the share of the k best
        that a search is to find on average.
        """
        if self.lists is not None and recall < EXACT:
            proposed = self.lists.candidates(queries, k, recall, selection or self.living)
            return [
                self._scored(query, k, rows) if rows is not None else self._by_scan(query[None], k, selection)[0]
                for query, rows in zip(queries, proposed, strict=True)
            ]
        if selection is None and self.codes is not None and k <= CODE_CANDIDATES // 2:
            return self._by_codes(queries, k, self.codes)
        return self._by_scan(queries, k, selection)

    def _scored(self, query: NDArray[np.float32], k: int, rows: Positions) -> Candidates:
        """The best of the rows that the inverted lists propose: approximate, so nothing is said of other rows."""
        scores, rows = largest(self.vectors.take(rows) @ query, rows, k + OVERSAMPLE)
        return Candidates(rows, scores, self.vectors.error)

    def _by_codes(self, queries: Vectors, k: int, codes: Codes) -> list[Candidates]:
        """A pass over codes, and over all vectors for the queries whose k best it does not make certain."""
        answers: list[Candidates | None] = []
        rows, upper_bounds, remaining = codes.candidates(queries, min(CODE_CANDIDATES, len(codes)))
        for query, positions, upper, bound in zip(queries, rows, upper_bounds, remaining.tolist(), strict=True):
            alive = self.alive[positions]
            positions, upper = positions[alive], upper[alive]
            first = k + OVERSAMPLE
            near = self.vectors.take(positions[:first]) @ query
            others = positions[first:][upper[first:] >= _kth(near, k) - TIE]
            scores = np.append(near, self.vectors.take(others) @ query)
            least = _kth(scores, k)
            certain = bound == -np.inf or least - TIE > bound
            # What was left out on the way scores less than the k-th by more than a tie.
            bound = max(bound, least - TIE if len(scores) < len(positions) else -np.inf)
            chosen = np.append(positions[:first], others)
            answers.append(Candidates(chosen, scores, self.vectors.error, bound) if certain else None)
        if unsure := [n for n, answer in enumerate(answers) if answer is None]:
            for n, answer in zip(unsure, self._by_scan(queries[unsure], k, None), strict=True):
                answers[n] = answer
        return [answer for answer in answers if answer is not None]

    def _by_scan(self, queries: Vectors, k: int, selection: Selection | None) -> list[Candidates]:
        mask, count = (self.alive, self.count) if selection is None else (selection.mask, selection.count)
        if not count:
            return [Candidates.none() for _ in queries]
        if count <= self.vectors.gather_below * len(mask):
            positions = np.flatnonzero(mask)
            answers = [
                largest(scores, positions, k + OVERSAMPLE) for scores in queries @ self.vectors.take(positions).T
            ]
        else:
            answers = self.vectors.nearest(queries, min(k + OVERSAMPLE, count), mask if count < len(mask) else None)
        error = self.vectors.error
        return [
            Candidates(positions, scores, error, float(scores.min()) + error if len(positions) < count else -np.inf)
            for scores, positions in answers
        ]


def single_segment(vectors: Vectors, row_ids: RowIds, payload: MemoryPayload) -> Segment:
    """A segment in single precision; damaged vectors are not alive."""
    damaged = is_damaged(vectors)
    if damaged.any():
        vectors = np.where(damaged[:, None], np.float32(0), vectors)
    storage = SingleVectors(np.ascontiguousarray(vectors, np.float32))
    return Segment(storage, np.asarray(row_ids, np.int64), ~damaged, payload).with_codes()


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """Segments of which each has at least twice the rows of all smaller ones that may be merged, half of them alive.

    Mapped segments are left as they are: merging would read them into memory.
    """
    mapped = [segment for segment in segments if segment.lists is not None and segment.count]
    remaining = sorted((segment for segment in segments if segment.lists is None and segment.count), key=len)
    remaining = [s if s.count * 2 > len(s) else _joined([s]) for s in remaining]
    small: list[Segment] = []
    for segment in remaining:
        rows = sum(part.count for part in small)
        if len(segment) > MAX_MERGED_ROWS or (small and len(segment) >= 2 * rows):
            break
        small.append(segment)
    if len(small) > 1:
        remaining = [_joined(small), *remaining[len(small) :]]
    return sorted([*mapped, *remaining], key=lambda segment: int(segment.row_ids[0]))


def _joined(segments: Sequence[Segment]) -> Segment:
    """One segment of the rows of several that are alive."""
    row_ids = np.concatenate([segment.row_ids[segment.alive] for segment in segments])
    vectors = [s.vectors if s.count == len(s) else s.vectors.select(np.flatnonzero(s.alive)) for s in segments]
    payloads = [s.payload.select(np.flatnonzero(s.alive)) for s in segments if isinstance(s.payload, MemoryPayload)]
    storage = vectors[0].joined(vectors[1:])
    payload = payloads[0].joined(payloads[1:]) if payloads else None
    if (np.diff(row_ids) < 0).any():
        order = np.argsort(row_ids)
        row_ids, storage = row_ids[order], storage.select(order)
        payload = None if payload is None else payload.select(order)
    return Segment(storage, row_ids, np.ones(len(row_ids), np.bool_), payload).with_codes()


def _kth(scores: NDArray[np.float32], k: int) -> float:
    """The k-th largest score, -inf where there are fewer."""
    return -np.inf if len(scores) < k else float(np.partition(scores, len(scores) - k)[-k])
