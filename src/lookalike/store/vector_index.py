"""Vectors in memory: immutable segments that are built, refreshed and searched, exactly, by every caller alike.

A segment holds rows in one of two precisions. In half precision it only proposes candidates, whose true scores the
store computes from what is on disk: 64 MB for 100,000 x 320, 3 ms a query on one core where Lance's scan takes 84. In
single precision, with ids and metadata, it answers by itself; four-bit codes (quantizer.py) then make the first pass.

An index is never modified: a change makes another one that shares the segments it does not touch, so a search under
way keeps its own, and an added row costs a small segment. Small segments are merged as in a log-structured merge tree
(O'Neil et al., 1996). What a segment needs of its vectors is the protocol VectorStorage: memory-mapped vectors, or an
inverted file, are another class beside the two here.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import is_damaged
from lookalike.store.quantizer import Codes, encode
from lookalike.store.rank import DECIMALS, FLOAT32_ERROR, HALF_ERROR, Candidates, best, exact_scores, is_complete
from lookalike.types import Hit, Metadata, Scalar, Vectors

RowIds: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Positions: TypeAlias = NDArray[np.int64]
S = TypeVar("S", bound=np.generic)

MIN_CODED_ROWS = 10_000  # rows from which a pass over codes is cheaper than reading all vectors
CODE_CANDIDATES = 2000  # of such a pass: of 100,000 made vectors the twelve best are certain for all of 64 queries
OVERSAMPLE = 20  # more candidates than requested: among them the exact scores decide
TIE = 2 * FLOAT32_ERROR + 10.0**-DECIMALS  # scores in single precision that may be equal ones
MAX_MERGED_ROWS = 65_536  # a segment of more rows is merged with no other: copying it would stall a writer
MAX_MASKS = 16  # filters whose masks are cached
_BLOCK = 4096  # rows at a time: their scores stay in the cache
_OBJECT_BYTES, _POSITION_BYTES = 60, 140  # of a short text or a number; of an entry in the table of positions
_SAMPLE = 1000


class VectorStorage(Protocol):
    """The vectors of a segment.

    `error`: how far a score computed from them may be off. `gather_below`: the share of rows that pass a filter below
    which gathering them beats scanning all.
    """

    error: float
    gather_below: float

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def take(self, rows: Any) -> NDArray[np.float32]:
        """Rows (n, dim) of single precision; `rows` is a slice or an array of positions."""
        ...

    def select(self, rows: Positions) -> "VectorStorage":
        """A storage of these rows."""
        ...

    def joined(self, others: "Sequence[VectorStorage]") -> "VectorStorage":
        """A storage of these rows and, behind them, those of others of the same class."""
        ...

    def nearest(self, queries: Vectors, k: int, mask: Mask | None) -> list[tuple[NDArray[np.float32], Positions]]:
        """For each query the scores and positions of the k best rows that pass; at least k pass."""
        ...


class HalfVectors:
    """Vectors in half precision, scanned by FAISS."""

    error = HALF_ERROR
    gather_below = 0.1

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def of(cls, blocks: Iterator[Vectors], dim: int) -> "HalfVectors":
        """The rows of all blocks, each (n, dim)."""
        faiss = _faiss()
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for block in blocks:
            index.add(_sound(block))
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        return len(self) * int(self._index.d) * 2

    @property
    def _codes(self) -> NDArray[np.uint8]:
        codes: NDArray[np.uint8] = _faiss().rev_swig_ptr(self._index.codes.data(), self.nbytes)
        return codes.reshape(-1, self._index.d * 2)

    def take(self, rows: Any) -> NDArray[np.float32]:
        return np.asarray(self._codes.view(np.float16)[rows], np.float32)

    def select(self, rows: Positions) -> "HalfVectors":
        return self._of_codes([self._codes[rows]])

    def joined(self, others: Sequence[VectorStorage]) -> "HalfVectors":
        return self._of_codes([self._codes, *(other._codes for other in others if isinstance(other, HalfVectors))])

    def _of_codes(self, parts: Sequence[NDArray[np.uint8]]) -> "HalfVectors":
        faiss = _faiss()
        index = faiss.IndexScalarQuantizer(self._index.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.add_sa_codes(np.ascontiguousarray(np.concatenate(parts)))
        return HalfVectors(index)

    def nearest(self, queries: Vectors, k: int, mask: Mask | None) -> list[tuple[NDArray[np.float32], Positions]]:
        if mask is None:
            answers = [self._index.search(query[None], k) for query in queries]
        else:
            faiss = _faiss()
            params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little")))
            answers = [self._index.search(query[None], k, params=params) for query in queries]
        return [(scores[0], positions[0]) for scores, positions in answers]


class SingleVectors:
    """Vectors in single precision, compared by blocked matrix products."""

    error = FLOAT32_ERROR
    gather_below = 0.25

    def __init__(self, array: Vectors) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes)

    def take(self, rows: Any) -> NDArray[np.float32]:
        return np.asarray(self.array[rows])

    def select(self, rows: Positions) -> "SingleVectors":
        return SingleVectors(self.array[rows])

    def joined(self, others: Sequence[VectorStorage]) -> "SingleVectors":
        return SingleVectors(np.concatenate([self.array, *(other.take(slice(None)) for other in others)]))

    def nearest(self, queries: Vectors, k: int, mask: Mask | None) -> list[tuple[NDArray[np.float32], Positions]]:
        return nearest_by_product(queries, self.array, k, mask)


@dataclass(frozen=True, eq=False)
class Payload:
    """Ids (n,) and metadata columns (n,), as arrays of Python objects."""

    ids: NDArray[np.object_]
    columns: Mapping[str, NDArray[np.object_]]

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Position of each id within the segment."""
        return {image_id: position for position, image_id in enumerate(self.ids.tolist())}

    @cached_property
    def nbytes(self) -> int:
        """An estimate: pointers, distinct objects of a sample, and the table of positions."""
        each = sum(8 + _OBJECT_BYTES * _distinct_share(values) for values in self.columns.values())
        return round(len(self.ids) * (each + 8 + _OBJECT_BYTES + _POSITION_BYTES))

    def select(self, rows: Positions) -> "Payload":
        return Payload(self.ids[rows], {name: values[rows] for name, values in self.columns.items()})

    def joined(self, others: "Sequence[Payload]") -> "Payload":
        names = dict.fromkeys(name for part in (self, *others) for name in part.columns)
        return Payload(
            np.concatenate([self.ids, *(other.ids for other in others)]),
            {name: np.concatenate([part.column(name) for part in (self, *others)]) for name in names},
        )

    def without_columns(self, names: Collection[str]) -> "Payload":
        return Payload(self.ids, {name: values for name, values in self.columns.items() if name not in names})

    def column(self, name: str) -> NDArray[np.object_]:
        values = self.columns.get(name)
        return np.full(len(self.ids), None, object) if values is None else values


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows with ascending row ids; those that are not `alive` were deleted or replaced since.

    `codes`: for the first pass, only beside vectors in single precision.
    """

    vectors: VectorStorage
    row_ids: RowIds
    alive: Mask
    payload: Payload | None = None
    codes: Codes | None = None

    def __len__(self) -> int:
        return len(self.row_ids)

    @cached_property
    def count(self) -> int:
        """Rows that are alive."""
        return int(self.alive.sum())

    @property
    def nbytes(self) -> int:
        parts = (self.vectors, self.row_ids, self.alive, self.payload, self.codes)
        return sum(part.nbytes for part in parts if part is not None)

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

    def candidates(self, queries: Vectors, k: int, mask: Mask | None) -> list[Candidates]:
        """Candidates for each query among the rows that pass, by their positions in the segment."""
        if mask is None:
            mask, count = self.alive, self.count
            if self.codes is not None and k <= CODE_CANDIDATES // 2:
                return self._by_codes(queries, k, self.codes)
        else:
            count = int(mask.sum())
        return self._by_scan(queries, k, mask, count)

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
            for n, answer in zip(unsure, self._by_scan(queries[unsure], k, self.alive, self.count), strict=True):
                answers[n] = answer
        return [answer for answer in answers if answer is not None]

    def _by_scan(self, queries: Vectors, k: int, mask: Mask, count: int) -> list[Candidates]:
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


class _CachedMask:
    """The mask of one filter, and the lock held while it is made."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.mask: Mask | None = None


class _MaskCache:
    """The masks of the last `MAX_MASKS` filters."""

    def __init__(self) -> None:
        self._masks: dict[str, _CachedMask] = {}
        self._lock = Lock()  # never held while a mask is made

    @property
    def nbytes(self) -> int:
        with self._lock:
            masks = [cached.mask for cached in self._masks.values()]
        return sum(mask.nbytes for mask in masks if mask is not None)

    def get(self, key: str, make: Callable[[], Mask]) -> Mask:
        with self._lock:
            if key not in self._masks:
                while len(self._masks) >= MAX_MASKS:
                    self._masks.pop(next(iter(self._masks)))
                self._masks[key] = _CachedMask()
            cached = self._masks[key]
        with cached.lock:
            if cached.mask is None:
                cached.mask = make()
            return cached.mask


@dataclass(frozen=True)
class SearchRequest:
    """One search: a unit vector (dim,), the number of hits, which rows pass (None: all), and what to leave out."""

    vector: NDArray[np.float32]
    k: int
    mask: Mask | None = None
    exclude: frozenset[str] = frozenset()
    min_score: float | None = None


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """The segments of one version of a collection. A position counts rows over all segments.

    `state`: what the store needs to refresh it.
    """

    segments: tuple[Segment, ...] = ()
    version: int = 0
    state: Any = None
    _masks: _MaskCache = field(default_factory=_MaskCache)

    def __len__(self) -> int:
        return sum(segment.count for segment in self.segments)

    def __bool__(self) -> bool:
        return True

    @property
    def nbytes(self) -> int:
        """All of it: vectors, codes, ids, metadata (estimated), cached masks."""
        return sum(segment.nbytes for segment in self.segments) + self._masks.nbytes

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(segments + 1,) position of each segment's first row, and the number of all rows."""
        return np.cumsum([0, *map(len, self.segments)], dtype=np.int64)

    @cached_property
    def _starts(self) -> list[int]:
        return [int(offset) for offset in self.offsets[:-1]]

    # changes

    def with_segments(self, segments: Sequence[Segment], version: int, state: Any = None) -> "VectorIndex":
        """Another version, of these segments; small and half-empty ones are merged."""
        return VectorIndex(tuple(merged(segments)), version, state)

    def add(self, ids: Sequence[str], vectors: Vectors, rows: Sequence[Metadata], version: int) -> "VectorIndex":
        """Insert or replace rows, in single precision with their metadata; row ids are counted on."""
        start = max((int(segment.row_ids[-1]) + 1 for segment in self.segments if len(segment)), default=0)
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: object_array([row.get(name) for row in rows]) for name in names}
        new = single_segment(vectors, np.arange(start, start + len(ids)), Payload(object_array(ids), columns))
        return self.with_segments([*self._without(ids), new], version)

    def remove(self, ids: Sequence[str], version: int) -> "VectorIndex":
        """Remove rows; unknown ids are ignored."""
        return self.with_segments(self._without(ids), version)

    def _without(self, ids: Sequence[str]) -> list[Segment]:
        remaining = []
        for segment in self.segments:
            positions = _positions(segment)
            rows = [positions[image_id] for image_id in ids if image_id in positions]
            remaining.append(segment.without(rows) if rows else segment)
        return remaining

    # rows

    def position(self, image_id: str) -> int | None:
        """Position of an image, None where there is none of that id."""
        for offset, segment in zip(self._starts, self.segments, strict=True):
            row = _positions(segment).get(image_id)
            if row is not None and segment.alive[row]:
                return offset + row
        return None

    def __contains__(self, image_id: str) -> bool:
        return self.position(image_id) is not None

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        position = self.position(image_id)
        return None if position is None else self.vectors_at(np.array([position]))[0]

    def metadata(self, image_id: str) -> Metadata | None:
        position = self.position(image_id)
        return None if position is None else self.hit(position, 0.0).metadata

    def hit(self, position: int, score: float) -> Hit:
        """The image at a position as a hit."""
        segment, row = self._locate(position)
        assert segment.payload is not None
        columns = segment.payload.columns
        metadata = {name: columns[name][row] if name in columns else None for name in self.column_names}
        return Hit(segment.payload.ids[row], score, metadata)

    def ids_at(self, positions: Positions) -> NDArray[np.object_]:
        return self._gather(positions, lambda segment, rows: _payload(segment).ids[rows], np.empty(0, object))

    def vectors_at(self, positions: Positions) -> NDArray[np.float32]:
        """(n, dim) in single precision."""
        return self._gather(positions, lambda segment, rows: segment.vectors.take(rows), np.empty((0, 0), np.float32))

    def row_ids_at(self, positions: Positions) -> RowIds:
        return self._gather(positions, lambda segment, rows: segment.row_ids[rows], np.empty(0, np.int64))

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for s in self.segments if s.payload for name in s.payload.columns))

    @cached_property
    def alive(self) -> Positions:
        """Positions of all rows that are alive, ascending."""
        parts = [np.flatnonzero(s.alive) + offset for offset, s in zip(self._starts, self.segments, strict=True)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    @cached_property
    def order(self) -> Positions:
        """Positions of all rows that are alive, by id: how a collection is listed."""
        return self.alive[np.argsort(self.ids_at(self.alive), kind="stable")] if len(self.alive) else self.alive

    def ids(self) -> list[str]:
        """The ids of all rows that are alive, in the order of `alive` and `column`."""
        return [image_id for s in self.segments for image_id in _payload(s).ids[s.alive].tolist()]

    def column(self, name: str) -> list[Scalar]:
        """A metadata column of all rows that are alive; None where a row has no value."""
        return [value for s in self.segments for value in _payload(s).column(name)[s.alive].tolist()]

    def damaged_ids(self) -> list[str]:
        """Ids of rows that are left out because their vectors hold no numbers; they were stored as zeros."""
        damaged = []
        for segment in self.segments:
            gone = np.flatnonzero(~segment.alive)
            if segment.payload is not None and len(gone):
                damaged += segment.payload.ids[gone[~segment.vectors.take(gone).any(axis=1)]].tolist()
        return damaged

    # masks

    def mask_of_ids(self, ids: Sequence[str]) -> Mask:
        """Which rows (by position) have one of these ids and are alive."""
        mask = np.zeros(int(self.offsets[-1]), np.bool_)
        for offset, segment in zip(self._starts, self.segments, strict=True):
            positions = _positions(segment)
            rows = [positions[image_id] for image_id in ids if image_id in positions]
            mask[offset : offset + len(segment)][rows] = True
            mask[offset : offset + len(segment)] &= segment.alive
        return mask

    def mask_of_row_ids(self, row_ids: RowIds) -> Mask:
        """Which rows (by position) have one of these row ids and are alive."""
        row_ids = np.sort(row_ids)
        return np.concatenate([np.zeros(0, np.bool_), *(segment.mask_of(row_ids) for segment in self.segments)])

    def cached_mask(self, key: str, make: Callable[[], Mask]) -> Mask:
        """The mask of a filter, made once a version: requests with the same filter wait for it, others do not."""
        return self._masks.get(key, make)

    # searches

    def candidates(self, queries: Vectors, k: int, mask: Mask | None = None) -> list[Candidates]:
        """For each query the k best rows that pass by the segments' own scores, by position."""
        parts = []
        for offset, segment in zip(self._starts, self.segments, strict=True):
            part = None if mask is None else mask[offset : offset + len(segment)]
            parts.append([c.shifted(offset) for c in segment.candidates(queries, k, part)])
        return [Candidates.joined([part[n] for part in parts]) for n in range(len(queries))]

    def blocks(self, mask: Mask | None = None, rows: int = 8192) -> Iterator[tuple[Positions, NDArray[np.float32]]]:
        """All rows that pass, some thousands at a time, by position."""
        for offset, segment in zip(self._starts, self.segments, strict=True):
            chosen = np.flatnonzero(segment.alive if mask is None else mask[offset : offset + len(segment)])
            for start in range(0, len(chosen), rows):
                some = chosen[start : start + rows]
                yield some + offset, segment.vectors.take(some)

    def blocks_by_row_id(self, mask: Mask | None = None) -> Iterator[tuple[RowIds, NDArray[np.float32]]]:
        """All rows that pass, some thousands at a time, by row id."""
        return ((self.row_ids_at(positions), vectors) for positions, vectors in self.blocks(mask))

    def search(self, requests: Sequence[SearchRequest]) -> list[list[Hit]]:
        """The hits of each request, best first, ties by id; exact. Needs single precision, ids and metadata."""
        answers: list[list[Hit]] = [[] for _ in requests]
        groups: dict[int | None, list[int]] = {}
        for n, request in enumerate(requests):
            groups.setdefault(None if request.mask is None else id(request.mask), []).append(n)
        for group in groups.values():
            some = [requests[n] for n in group]
            k = max(request.k + len(request.exclude) for request in some)
            candidates = self.candidates(np.stack([request.vector for request in some]), k, some[0].mask)
            for n, request, proposed in zip(group, some, candidates, strict=True):
                answers[n] = self._hits(request, proposed)
        return answers

    def _hits(self, request: SearchRequest, candidates: Candidates) -> list[Hit]:
        k = request.k + len(request.exclude)
        positions, bound = candidates.pruned(k)
        if not len(positions):
            return []
        scores = exact_scores(request.vector, self.vectors_at(positions))
        if not is_complete(scores, k, bound):  # more rows tie with the last than were proposed: compare all
            positions = self.alive if request.mask is None else np.flatnonzero(request.mask)
            near = np.concatenate([block @ request.vector for _, block in self.blocks(request.mask)])
            positions, _ = Candidates(positions, near, FLOAT32_ERROR, -np.inf).pruned(k)
            scores = exact_scores(request.vector, self.vectors_at(positions))
        ids = self.ids_at(positions)
        floor = -2.0 if request.min_score is None else request.min_score
        ranked = [n for n in best(scores, ids, k) if ids[n] not in request.exclude and scores[n] >= floor]
        return [self.hit(int(positions[n]), float(scores[n])) for n in ranked[: request.k]]

    def _locate(self, position: int) -> tuple[Segment, int]:
        n = bisect_right(self._starts, position) - 1
        return self.segments[n], position - self._starts[n]

    def _gather(
        self, positions: Positions, of: Callable[[Segment, Positions], NDArray[S]], empty: NDArray[S]
    ) -> NDArray[S]:
        """What `of` returns for the rows of each segment, put together in the order of `positions`."""
        if len(self.segments) == 1:
            return of(self.segments[0], positions)
        numbers = np.searchsorted(self.offsets, positions, side="right") - 1
        gathered: NDArray[S] | None = None
        for n in np.unique(numbers).tolist():
            chosen = numbers == n
            values = of(self.segments[n], positions[chosen] - self.offsets[n])
            if gathered is None:
                gathered = np.empty((len(positions), *values.shape[1:]), values.dtype)
            gathered[chosen] = values
        return empty if gathered is None else gathered


def bytes_per_row(dim: int, sample: Payload | None = None) -> float:
    """Estimate what each row adds to the `nbytes` of an index, before it is loaded.

    With a `sample` of the rows' ids and metadata: in single precision, with codes. Without: in half precision, and
    vectors alone. Room for `MAX_MASKS` masks is included.
    """
    row_id, alive = 8, 1
    if sample is None:
        return 2 * dim + row_id + alive + MAX_MASKS
    payload = sample.nbytes / max(len(sample.ids), 1)
    return 4 * dim + (dim + 1) / 2 + row_id + alive + payload + MAX_MASKS


def single_segment(vectors: Vectors, row_ids: RowIds, payload: Payload) -> Segment:
    """A segment in single precision; damaged vectors are not alive."""
    damaged = is_damaged(vectors)
    if damaged.any():
        vectors = np.where(damaged[:, None], np.float32(0), vectors)
    storage = SingleVectors(np.ascontiguousarray(vectors, np.float32))
    return Segment(storage, np.asarray(row_ids, np.int64), ~damaged, payload).with_codes()


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """Segments of which each has at least twice the rows of all smaller ones that may be merged, half of them alive."""
    remaining = sorted((segment for segment in segments if segment.count), key=len)
    remaining = [s if s.count * 2 > len(s) else _joined([s]) for s in remaining]
    small: list[Segment] = []
    for segment in remaining:
        rows = sum(part.count for part in small)
        if len(segment) > MAX_MERGED_ROWS or (small and len(segment) >= 2 * rows):
            break
        small.append(segment)
    if len(small) > 1:
        remaining = [_joined(small), *remaining[len(small) :]]
    return sorted(remaining, key=lambda segment: int(segment.row_ids[0]))


def _joined(segments: Sequence[Segment]) -> Segment:
    """One segment of the rows of several that are alive."""
    row_ids = np.concatenate([segment.row_ids[segment.alive] for segment in segments])
    vectors = [s.vectors if s.count == len(s) else s.vectors.select(np.flatnonzero(s.alive)) for s in segments]
    payloads = [s.payload.select(np.flatnonzero(s.alive)) for s in segments if s.payload is not None]
    storage = vectors[0].joined(vectors[1:])
    payload = payloads[0].joined(payloads[1:]) if payloads else None
    if (np.diff(row_ids) < 0).any():
        order = np.argsort(row_ids)
        row_ids, storage = row_ids[order], storage.select(order)
        payload = None if payload is None else payload.select(order)
    return Segment(storage, row_ids, np.ones(len(row_ids), np.bool_), payload).with_codes()


def nearest_by_product(
    queries: Vectors, vectors: Vectors, k: int, mask: Mask | None = None
) -> list[tuple[NDArray[np.float32], Positions]]:
    """Scores and positions of the k best of each query by one matrix product a block of rows.

    The k-th score of the first block is a floor that few later rows reach, so hardly anything is copied or sorted.
    """
    if len(queries) == 1:
        scores = vectors @ queries[0]
        if mask is not None:
            scores[~mask] = -np.inf
        top = np.argpartition(scores, len(scores) - k)[-k:]
        return [(scores[top], top)]
    first = min(len(vectors), max(_BLOCK, 4 * k))
    floor = np.full((len(queries), 1), -np.inf, np.float32)
    parts = []
    for start, stop in pairwise([0, *range(first, len(vectors), _BLOCK), len(vectors)]):
        scores = queries @ vectors[start:stop].T
        if mask is not None and not mask[start:stop].all():
            scores[:, ~mask[start:stop]] = -np.inf
        if start == 0:
            floor = np.partition(scores, first - k, axis=1)[:, first - k, None]
        reached = np.flatnonzero((scores >= floor) & (scores > -np.inf) if mask is not None else scores >= floor)
        if len(reached):
            which, rows = np.divmod(reached, scores.shape[1])
            parts.append((which, rows + start, scores.ravel()[reached]))
    which, rows, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    own = [np.flatnonzero(which == n) for n in range(len(queries))]
    ordered = [at[np.argsort(-values[at], kind="stable")[:k]] for at in own]
    return [(values[at], rows[at]) for at in ordered]


def _kth(scores: NDArray[np.float32], k: int) -> float:
    """The k-th largest score, -inf where there are fewer."""
    return -np.inf if len(scores) < k else float(np.partition(scores, len(scores) - k)[-k])


def largest(scores: NDArray[Any], positions: Positions, k: int) -> tuple[NDArray[Any], Positions]:
    """The k largest scores, unordered, with their positions."""
    if len(scores) <= k:
        return scores, positions
    top = np.argpartition(scores, len(scores) - k)[-k:]
    return scores[top], positions[top]


def object_array(values: Sequence[Any]) -> NDArray[np.object_]:
    """Python values as an array (n,); equal values of a column with few are one object."""
    array = np.empty(len(values), object)
    if len(values) > _SAMPLE:
        distinct = {value: value for value in values[:_SAMPLE]}
        if len(distinct) < _SAMPLE // 10:
            values = [distinct.setdefault(value, value) for value in values]
    array[:] = values
    return array


def without_nan(values: Sequence[Any]) -> list[Any]:
    """Values of a column with None for NaN: a number that is missing."""
    return [None if value != value else value for value in values]  # noqa: PLR0124 - only NaN differs from itself


def _distinct_share(values: NDArray[np.object_]) -> float:
    sample = values[:: max(1, len(values) // _SAMPLE)].tolist()
    return len(set(map(id, sample))) / max(len(sample), 1)


def _sound(vectors: Vectors) -> Vectors:
    """Damaged vectors as zeros: their true score, -1, is what the store computes."""
    damaged = is_damaged(vectors)
    return np.where(damaged[:, None], np.float32(0), vectors) if damaged.any() else vectors


def _payload(segment: Segment) -> Payload:
    if segment.payload is None:
        raise ValueError("this index holds no ids")
    return segment.payload


def _positions(segment: Segment) -> Mapping[str, int]:
    return _payload(segment).positions


def _faiss() -> Any:
    """FAISS, without the types of its stubs, which do not know its Python constructors."""
    import faiss

    return faiss
