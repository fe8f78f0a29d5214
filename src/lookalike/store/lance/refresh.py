"""The vector index of a Lance data set: read once, then brought to each new version by its new files alone.

A row id is the number of a fragment, then the row's place in it. A fragment whose vector file is the same holds the
same vectors; rows deleted since are found by the row ids that remain, changed metadata by its other files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.store.columns import ID, VECTOR
from lookalike.store.lance.arrow import types_of, vectors_out
from lookalike.store.payload import MappedPayload, MemoryPayload, object_array, without_nan
from lookalike.store.segment import RowIds, Segment, single_segment
from lookalike.store.vector_index import VectorIndex
from lookalike.store.vector_storage import HalfVectors
from lookalike.types import Vectors

if TYPE_CHECKING:
    import lance

    from lookalike.store.ivf.files import Manifest

FRAGMENT_BITS = 32
_SAMPLE_RUNS, _SAMPLE_RUN = 8, 256
_BLOCK = 8192  # rows decoded at once: 10 MB at dim 320


class FragmentState(NamedTuple):
    """What tells whether a fragment changed."""

    vector_file: str
    files: tuple[str, ...]
    deleted: int


@dataclass(frozen=True)
class IndexState:
    """What an index was read from: the state of each fragment, and Lance's number of each column.

    A column that is dropped and comes back under its name has another number, and none of its earlier values.
    """

    fragments: Mapping[int, FragmentState]
    columns: Mapping[str, int]

    @classmethod
    def of(cls, dataset: "lance.LanceDataset") -> "IndexState":
        columns = {field.name(): field.id() for field in dataset.lance_schema.fields()}
        fragments = dataset.get_fragments()
        return cls({f.fragment_id: _fragment_state(f.metadata, columns[VECTOR]) for f in fragments}, columns)

    def gone(self, before: Mapping[str, int]) -> set[str]:
        """Names of earlier columns that this state has not, or not as the same column."""
        return {name for name, number in before.items() if self.columns.get(name) != number}

    def same_vectors(self, before: Mapping[int, FragmentState]) -> set[int]:
        """Fragments whose vectors are those of an earlier state."""
        now = self.fragments.items()
        return {n for n, state in now if n in before and before[n].vector_file == state.vector_file}


@dataclass(frozen=True)
class IndexContents:
    """What an index holds: half precision and nothing else, or single precision with ids and all metadata columns but
    those with bytes and those in `skip`.
    """

    metadata: bool = False
    skip: frozenset[str] = frozenset()

    def columns(self, dataset: "lance.LanceDataset") -> list[str]:
        types = types_of(dataset.schema, ID)
        return [name for name, kind in types.items() if kind is not bytes and name not in self.skip]


def refreshed(old: VectorIndex | None, dataset: "lance.LanceDataset", contents: IndexContents) -> VectorIndex:
    """The index of this version, with the segments of an older one that are still true."""
    if old is not None and old.version == dataset.version:
        return old
    old = old or VectorIndex(state=IndexState({}, {}))
    change = _Change(dataset, contents, old.state)
    segments = [change.applied(segment) for segment in old.segments]
    if change.new:
        segments.append(_read(dataset, change.new, contents))
    return old.with_segments(segments, dataset.version, change.state)


def index_of_files(opened: "tuple[Manifest, Sequence[Segment]]", contents: IndexContents) -> VectorIndex:
    """The index that files hold, as a version to be refreshed, without columns that `contents` leaves out."""
    manifest, segments = opened
    states = [IndexState(stored_fragments(s.fragments), s.columns) for s in manifest.segments]
    fragments = {n: fragment for state in states for n, fragment in state.fragments.items()}
    last = IndexState(fragments, states[-1].columns)
    own = []
    for segment, state in zip(segments, states, strict=True):
        if replaced := [n for n, fragment in state.fragments.items() if fragments[n] != fragment]:  # by a later segment
            segment = segment.without(np.isin(segment.row_ids >> FRAGMENT_BITS, replaced))
        assert segment.payload is not None
        gone = contents.skip | last.gone(state.columns)
        own.append(replace(segment, payload=segment.payload.without_columns(gone)))
    return VectorIndex(tuple(own), 0, last)


def stored_fragments(stored: Mapping[int, Any]) -> dict[int, FragmentState]:
    """The states of fragments as a manifest has them."""
    return {n: FragmentState(s["vector_file"], tuple(s["files"]), s["deleted"]) for n, s in stored.items()}


def new_rows(index: VectorIndex, dataset: "lance.LanceDataset") -> int:
    """How many rows a refresh of the index would read."""
    state = IndexState.of(dataset)
    new = state.fragments.keys() - state.same_vectors(index.state.fragments)
    return sum(dataset.get_fragment(n).count_rows() for n in new)


def sample_payload(dataset: "lance.LanceDataset", contents: IndexContents) -> MemoryPayload:
    """Ids and metadata of some rows: a few runs, spread over the data set, since each run costs a read."""
    import pyarrow as pa

    names, rows = contents.columns(dataset), dataset.count_rows()
    starts = range(0, rows, max(rows // _SAMPLE_RUNS, _SAMPLE_RUN))
    runs = [dataset.scanner(columns=[ID, *names], limit=_SAMPLE_RUN, offset=start).to_table() for start in starts]
    empty = dataset.schema.empty_table().select([ID, *names])
    return _payload_of(pa.concat_tables([empty, *runs]), names)


class _Change:
    """From the fragments of an older version to those of `dataset`."""

    def __init__(self, dataset: "lance.LanceDataset", contents: IndexContents, before: IndexState) -> None:
        self._dataset, self._contents, self._before = dataset, contents, before.fragments
        self._fragments = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
        self.state = IndexState.of(dataset)
        self._now, self._gone = self.state.fragments, self.state.gone(before.columns)
        self._same = self.state.same_vectors(before.fragments)
        self.new = [self._fragments[number] for number in sorted(self._now.keys() - self._same)]

    def applied(self, segment: Segment) -> Segment:
        """The segment with what was deleted and what was written to its metadata."""
        alive = segment.alive.copy()
        fragments = {number: rows for number, rows in _fragments(segment.row_ids) if alive[rows].any()}
        for number, rows in fragments.items():
            if number not in self._same:
                alive[rows] = False
            elif self._now[number].deleted != self._before[number].deleted:
                alive[rows] &= np.isin(segment.row_ids[rows], self._remaining(number), assume_unique=True)
        if (alive != segment.alive).any():
            segment = replace(segment, alive=alive)
        if segment.payload is None:
            return segment
        if self._gone:
            segment = replace(segment, payload=segment.payload.without_columns(self._gone))
            assert segment.payload is not None
        changed = [n for n in fragments if n in self._same and self._before[n].files != self._now[n].files]
        if not changed:
            return segment
        if isinstance(segment.payload, MappedPayload):
            return replace(segment, payload=self._replaced(segment, segment.payload, fragments, changed))
        remaining = [number for number in fragments if number in self._same]
        return replace(segment, payload=self._payload(segment, remaining))

    def _replaced(
        self, segment: Segment, payload: MappedPayload, fragments: Mapping[int, slice], changed: Sequence[int]
    ) -> MappedPayload:
        """A mapped payload with the metadata of changed fragments, read again."""
        import pyarrow as pa

        names = self._contents.columns(self._dataset)
        for number in changed if names else ():
            rows = fragments[number]
            table = _scanner(self._dataset, [self._fragments[number]], names).to_table()
            at = np.searchsorted(table["_rowid"].to_numpy().astype(np.int64), segment.row_ids[rows])
            gone = ~segment.alive[rows]  # of rows that are not read: no values
            indices = pa.array(np.where(gone, 0, at), mask=gone)
            (batch,) = table.select(names).take(indices).combine_chunks().to_batches()
            payload = payload.replaced(rows.start, batch)
        return payload

    def _remaining(self, number: int) -> NDArray[np.int64]:
        """The row ids of a fragment, ascending."""
        scanner = self._dataset.scanner(columns=[], fragments=[self._fragments[number]], with_row_id=True)
        return np.sort(scanner.to_table()["_rowid"].to_numpy().astype(np.int64))

    def _payload(self, segment: Segment, numbers: Sequence[int]) -> MemoryPayload:
        """Ids and metadata of a segment, read again."""
        fragments = [self._fragments[number] for number in numbers]
        row_ids, payload = _rows(self._dataset, fragments, self._contents.columns(self._dataset))
        return payload.select(np.searchsorted(row_ids, segment.row_ids).clip(0, len(row_ids) - 1))


def _fragment_state(metadata: Any, vector_field: int) -> FragmentState:
    files = tuple(file.path for file in metadata.files)
    vector_file = next(file.path for file in metadata.files if vector_field in file.fields)
    return FragmentState(vector_file, files, metadata.deletion_file.num_deleted_rows if metadata.deletion_file else 0)


def _fragments(row_ids: RowIds) -> Iterator[tuple[int, slice]]:
    """The number of each fragment with rows among these, ascending, and where they are."""
    start = 0
    while start < len(row_ids):
        number = int(row_ids[start]) >> FRAGMENT_BITS
        stop = start + int(np.searchsorted(row_ids[start:], (number + 1) << FRAGMENT_BITS))
        yield number, slice(start, stop)
        start = stop


def _rows(
    dataset: "lance.LanceDataset", fragments: Sequence[Any], columns: Sequence[str]
) -> tuple[NDArray[np.int64], MemoryPayload]:
    table = _scanner(dataset, fragments, [ID, *columns]).to_table()
    return table["_rowid"].to_numpy().astype(np.int64), _payload_of(table, columns)


def _read(dataset: "lance.LanceDataset", fragments: Sequence[Any], contents: IndexContents) -> Segment:
    dim = dataset.schema.field(VECTOR).type.list_size
    if not contents.metadata:
        return _read_half(dataset, fragments, dim)
    rows = sum(fragment.count_rows() for fragment in fragments)
    vectors = np.empty((rows, dim), np.float32)
    names = contents.columns(dataset)
    row_ids: list[NDArray[np.int64]] = []
    parts: list[Any] = []
    start = 0
    for batch in scan_fragments(dataset, fragments, [VECTOR, ID, *names]):
        vectors[start : start + len(batch)] = vectors_out(batch[VECTOR], dim)
        start += len(batch)
        row_ids.append(batch["_rowid"].to_numpy().astype(np.int64))
        parts.append(batch.select([ID, *names]))
    import pyarrow as pa

    payload = _payload_of(pa.Table.from_batches(parts, dataset.schema.empty_table().select([ID, *names]).schema), names)
    segment = single_segment(vectors[:start], np.concatenate([np.empty(0, np.int64), *row_ids]), payload)
    payload.positions  # noqa: B018 - made now, not in the first request
    return segment


def _read_half(dataset: "lance.LanceDataset", fragments: Sequence[Any], dim: int) -> Segment:
    row_ids = [np.empty(0, np.int64)]

    def blocks() -> Iterator[Vectors]:
        for batch in scan_fragments(dataset, fragments, [VECTOR]):
            row_ids.append(batch["_rowid"].to_numpy().astype(np.int64))
            yield vectors_out(batch[VECTOR], dim)

    vectors = HalfVectors.of(blocks(), dim)
    ids = np.concatenate(row_ids)
    return Segment(vectors, ids, np.ones(len(ids), np.bool_))


def scan_fragments(dataset: "lance.LanceDataset", fragments: Sequence[Any], columns: list[str]) -> Iterator[Any]:
    yield from _scanner(dataset, fragments, columns).to_batches()


def _scanner(dataset: "lance.LanceDataset", fragments: Sequence[Any], columns: Sequence[str]) -> Any:
    return dataset.scanner(
        columns=list(columns),
        fragments=list(fragments),
        with_row_id=True,
        batch_size=_BLOCK,
        scan_in_order=True,
        batch_readahead=2,
    )


def _payload_of(table: Any, names: Sequence[str]) -> MemoryPayload:
    return MemoryPayload(object_array(table[ID].to_pylist()), {name: _values(table[name]) for name in names})


def _values(column: Any) -> NDArray[np.object_]:
    """A column as Python values; a number that is not one means there is none."""
    import pyarrow as pa

    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        values = without_nan(values)
    return object_array(values)
