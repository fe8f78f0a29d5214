"""The vectors of a collection as immutable segments, in memory or mapped from files, searched by every caller alike.

A segment holds rows in one of three ways. In half precision it only proposes candidates, whose true scores the store
computes from what is on disk: 64 MB for 100,000 x 320, 3 ms a query on one core where Lance's scan takes 84. In single
precision, with ids and metadata, it answers by itself; four-bit codes (quantizer.py) then make the first pass. Mapped
from files beside the collection (ivf/) it does the same for millions of rows, with inverted lists for the first pass
and hardly any memory.

An index is never modified: a change makes another one that shares the segments it does not touch, so a search under
way keeps its own, and an added row costs a small segment. Small segments in memory are merged as in a log-structured
merge tree (O'Neil et al., 1996).
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.store.payload import MemoryPayload, Payload, object_array
from lookalike.store.rank import FLOAT32_ERROR, Candidates, best, exact_scores, is_complete
from lookalike.store.segment import EXACT, RowIds, Segment, merged, single_segment
from lookalike.store.selection import Selection
from lookalike.store.vector_storage import Mask, Positions
from lookalike.types import Hit, Metadata, Scalar, Vectors

S = TypeVar("S", bound=np.generic)

MAX_MASKS = 16  # filters whose masks are cached
MAX_ORDERS = 6  # columns whose order is kept: 8 bytes a row each
MAX_INSERTED = 50_000  # ids that are inserted into a sorted list one by one; more are sorted with it


class _CachedMask:
    """The mask of one filter, and the lock held while it is made."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.mask: Mask | None = None


class _MaskCache:
    """The masks of the last `MAX_MASKS` filters, and their selections of each segment's rows."""

    def __init__(self) -> None:
        self._masks: dict[str, _CachedMask] = {}
        self._selections: dict[int, tuple[Mask, list[Selection]]] = {}
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

    def selections(self, mask: Mask, offsets: NDArray[np.int64]) -> list[Selection]:
        """The selections of a mask, made once for as long as it is used."""
        with self._lock:
            known = self._selections.pop(id(mask), None)
            if known is None or known[0] is not mask:
                bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
                known = mask, [Selection(mask[start:stop]) for start, stop in bounds]
            while len(self._selections) >= MAX_MASKS:
                self._selections.pop(next(iter(self._selections)))
            self._selections[id(mask)] = known
            return known[1]


@dataclass(frozen=True)
class SearchRequest:
    """One search: a unit vector (dim,), the number of hits, which rows pass (None: all), and what to leave out.

    `recall`: the share of the k best that are found on average, where inverted lists make less than all worthwhile.
    """

    vector: NDArray[np.float32]
    k: int
    mask: Mask | None = None
    exclude: frozenset[str] = frozenset()
    min_score: float | None = None
    recall: float = EXACT


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """The segments of one version of a collection. A position counts rows over all segments.

    `state`: what the store needs to refresh it.
    """

    segments: tuple[Segment, ...] = ()
    version: int = 0
    state: Any = None
    _masks: _MaskCache = field(default_factory=_MaskCache)
    _sorted: dict[tuple[str, bool], Positions] = field(default_factory=dict)
    _sorting: Lock = field(default_factory=Lock)

    def __len__(self) -> int:
        return sum(segment.count for segment in self.segments)

    def __bool__(self) -> bool:
        return True

    @property
    def nbytes(self) -> int:
        """Private memory: vectors, codes, ids, metadata (estimated), cached masks. Pages of files are not counted."""
        orders = sum(order.nbytes for order in [*self._sorted.values()])
        return sum(segment.nbytes for segment in self.segments) + self._masks.nbytes + orders

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
        new = single_segment(vectors, np.arange(start, start + len(ids)), MemoryPayload(object_array(ids), columns))
        return self.with_segments([*self._without(ids), new], version)

    def remove(self, ids: Sequence[str], version: int) -> "VectorIndex":
        """Remove rows; unknown ids are ignored."""
        return self.with_segments(self._without(ids), version)

    def _without(self, ids: Sequence[str]) -> list[Segment]:
        remaining = []
        for segment in self.segments:
            rows = _rows_of(segment, ids)
            remaining.append(segment.without(rows) if rows else segment)
        return remaining

    # rows

    def position(self, image_id: str) -> int | None:
        """Position of an image, None where there is none of that id."""
        for offset, segment in zip(self._starts, self.segments, strict=True):
            row = _payload(segment).position(image_id)
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
        payload = _payload(segment)
        metadata = payload.metadata(row)
        if len(self.segments) > 1:
            metadata = {name: metadata.get(name) for name in self.column_names}
        return Hit(str(payload.ids_at(np.array([row]))[0]), score, metadata)

    def ids_at(self, positions: Positions) -> NDArray[np.object_]:
        return self._gather(positions, lambda segment, rows: _payload(segment).ids_at(rows), np.empty(0, object))

    def vectors_at(self, positions: Positions) -> NDArray[np.float32]:
        """(n, dim) in single precision."""
        return self._gather(positions, lambda segment, rows: segment.vectors.take(rows), np.empty((0, 0), np.float32))

    def row_ids_at(self, positions: Positions) -> RowIds:
        return self._gather(positions, lambda segment, rows: segment.row_ids[rows], np.empty(0, np.int64))

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for s in self.segments if s.payload for name in s.payload.names))

    @cached_property
    def alive(self) -> Positions:
        """Positions of all rows that are alive, ascending."""
        parts = [np.flatnonzero(s.alive) + offset for offset, s in zip(self._starts, self.segments, strict=True)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    @cached_property
    def order(self) -> Positions:
        """Positions of all rows that are alive, by id: how a collection is listed."""
        parts = []
        for offset, segment in zip(self._starts, self.segments, strict=True):
            rows = _payload(segment).order()
            rows = rows if segment.count == len(segment) else rows[segment.alive[rows]]
            parts.append(rows + offset if offset else rows)
        parts = [part for part in sorted(parts, key=len) if len(part)]
        return self._merged_by_id(parts) if parts else np.empty(0, np.int64)

    def _merged_by_id(self, parts: Sequence[Positions]) -> Positions:
        """One order of several: the smaller ones are inserted into the largest, or all are sorted if they are many."""
        *small, largest = parts
        count = sum(map(len, small))
        if count > MAX_INSERTED:
            import pyarrow as pa
            import pyarrow.compute as pc

            together = np.concatenate(parts)
            ids = pa.array(self.ids_at(together), pa.large_string())
            return np.asarray(together[pc.sort_indices(ids).to_numpy()])
        if not count:
            return largest
        added = np.concatenate(small)
        ids = self.ids_at(added)
        by_id = np.argsort(ids, kind="stable")
        return np.insert(largest, [self._insertion_point(largest, image_id) for image_id in ids[by_id]], added[by_id])

    def _insertion_point(self, order: Positions, image_id: str) -> int:
        """How many of the images at these positions, which are sorted by id, come before an id."""
        return bisect_left(order, image_id, key=lambda position: self.ids_at(np.array([position]))[0])

    def ids(self) -> list[str]:
        """The ids of all rows that are alive, in the order of `alive` and `column`."""
        return [image_id for s in self.segments for image_id in _payload(s).ids_at(s.alive).tolist()]

    def column(self, name: str) -> list[Scalar]:
        """A metadata column of all rows that are alive; None where a row has no value."""
        return [value for s in self.segments for value in _payload(s).values(name, s.alive)]

    def present(self, name: str) -> tuple[list[str], list[Scalar]]:
        """Ids and values of a column, of the rows that are alive and have a value."""
        ids: list[str] = []
        values: list[Scalar] = []
        for segment in self.segments:
            payload = _payload(segment)
            rows = payload.present(name) & segment.alive
            ids += payload.ids_at(rows).tolist()
            values += payload.values(name, rows)
        return ids, values

    def counts(self, name: str, mask: Mask | None = None, prefix: int = 0) -> "Counter[Scalar]":
        """How often each value of a column occurs in rows that are alive; None is not counted.

        `mask`: only these rows, by position. `prefix`: of a text only so many characters count.
        """
        parts = zip(self._starts, self.segments, strict=True)
        rows = ((s, s.alive if mask is None else s.alive & mask[start : start + len(s)]) for start, s in parts)
        return sum((_payload(segment).counts(name, alive, prefix) for segment, alive in rows), Counter())

    def sorted_by(self, name: str, *, descending: bool = False) -> Positions:
        """Positions of all rows that are alive by a column, then by id; those without a value are last.

        The order of the last few columns is kept.
        """
        key = (name, descending)
        with self._sorting:
            if key not in self._sorted:
                while len(self._sorted) >= MAX_ORDERS:
                    self._sorted.pop(next(iter(self._sorted)))
                self._sorted[key] = self._order_by(name, descending=descending)
            return self._sorted[key]

    def _order_by(self, name: str, *, descending: bool) -> Positions:
        import pyarrow as pa
        import pyarrow.compute as pc

        chunks = [chunk for segment in self.segments for chunk in _payload(segment).arrow(name)]
        kinds = {str(chunk.type): chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)}
        if not kinds:
            return self.order
        # A column that was widened has two types until its index is built again.
        common = next(iter(kinds.values())) if len(kinds) == 1 else pa.string()
        if len(kinds) > 1 and all(pa.types.is_integer(one) or pa.types.is_floating(one) for one in kinds.values()):
            common = pa.float64()
        if pa.types.is_boolean(common):
            common = pa.int8()
        values = pa.chunked_array([chunk.cast(common) for chunk in chunks]).take(pa.array(self.order))
        direction = "descending" if descending else "ascending"
        at = pc.array_sort_indices(values.combine_chunks(), order=direction, null_placement="at_end")
        return np.asarray(self.order[at.to_numpy().astype(np.int64)])

    def folders(self, below: str, positions: Positions) -> "Counter[str]":
        """How many of these rows, ordered by id, lie in each folder right below one; those in none of them count as "".

        `below`: a beginning of ids that ends with a slash, or "".
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        chunks = [chunk for segment in self.segments for chunk in _payload(segment).arrow_ids()]
        ids = pa.chunked_array(chunks, pa.large_string()).take(pa.array(positions)).combine_chunks()
        start, stop = _run(ids, below, 0)
        ids = ids.slice(start, stop - start)
        # An id that begins with a slash is that of a path: its first folder is "/home".
        rest = pc.utf8_ltrim(pc.utf8_slice_codeunits(ids, len(below), None), "/")
        inside = ids.filter(pc.match_substring(rest, "/"))
        counts = Counter({"": len(ids) - len(inside)})
        at = 0
        while at < len(inside):  # one step for each folder: its images follow one another
            rest_of_id = inside[at].as_py()[len(below) :]
            slashes = len(rest_of_id) - len(rest_of_id.lstrip("/"))
            name = rest_of_id[:slashes] + rest_of_id[slashes:].partition("/")[0]
            _, end = _run(inside, f"{below}{name}/", at)
            counts[name] += end - at
            at = end
        return +counts

    def count_true(self, name: str) -> int:
        """How many rows that are alive have the value True in a column."""
        return sum(int((_payload(s).true(name) & s.alive).sum()) for s in self.segments)

    def containing(self, text: str) -> Mask:
        """Which rows (by position) have an id that contains a text, ignoring case, and are alive."""
        parts = [_payload(segment).containing(text) & segment.alive for segment in self.segments]
        return np.concatenate([np.zeros(0, np.bool_), *parts])

    def damaged_ids(self) -> list[str]:
        """Ids of rows that are left out because their vectors hold no numbers; they were stored as zeros."""
        damaged = []
        for segment in self.segments:
            gone = np.flatnonzero(~segment.alive)
            if segment.payload is not None and len(gone):
                damaged += segment.payload.ids_at(gone[~segment.vectors.take(gone).any(axis=1)]).tolist()
        return damaged

    # masks

    def mask_of_ids(self, ids: Sequence[str]) -> Mask:
        """Which rows (by position) have one of these ids and are alive."""
        mask = np.zeros(int(self.offsets[-1]), np.bool_)
        for offset, segment in zip(self._starts, self.segments, strict=True):
            mask[offset : offset + len(segment)][_rows_of(segment, ids)] = True
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

    def candidates(self, queries: Vectors, k: int, mask: Mask | None = None, recall: float = EXACT) -> list[Candidates]:
        """For each query the k best rows that pass by the segments' own scores, by position."""
        selections = [None] * len(self.segments) if mask is None else self._masks.selections(mask, self.offsets)
        parts = []
        for offset, segment, selection in zip(self._starts, self.segments, selections, strict=True):
            parts.append([c.shifted(offset) for c in segment.candidates(queries, k, selection, recall)])
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
        """The hits of each request, best first, ties by id. Needs single precision, ids and metadata."""
        answers: list[list[Hit]] = [[] for _ in requests]
        groups: dict[tuple[int | None, float], list[int]] = {}
        for n, request in enumerate(requests):
            groups.setdefault((None if request.mask is None else id(request.mask), request.recall), []).append(n)
        for group in groups.values():
            some = [requests[n] for n in group]
            k = max(request.k + len(request.exclude) for request in some)
            queries = np.stack([request.vector for request in some])
            candidates = self.candidates(queries, k, some[0].mask, some[0].recall)
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
    payload = sample.nbytes / max(len(sample), 1)
    return 4 * dim + (dim + 1) / 2 + row_id + alive + payload + MAX_MASKS


def _payload(segment: Segment) -> Payload:
    if segment.payload is None:
        raise ValueError("this index holds no ids")
    return segment.payload


def _run(ids: Any, beginning: str, start: int) -> tuple[int, int]:
    """Where the ids (an Arrow array, ordered) with a beginning start and end, from `start` on."""
    rows = range(len(ids))
    first = bisect_left(rows, beginning, start, key=lambda row: ids[row].as_py())
    last = bisect_right(rows, beginning, first, key=lambda row: ids[row].as_py()[: len(beginning)])
    return first, last


def _rows_of(segment: Segment, ids: Sequence[str]) -> list[int]:
    """Positions of these ids, of those that the segment has."""
    payload = _payload(segment)
    return [row for row in map(payload.position, ids) if row is not None]
