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
from lookalike.store.vector_index import (
    HalfVectors,
    Payload,
    Segment,
    VectorIndex,
    object_array,
    single_segment,
    without_nan,
)
from lookalike.types import Vectors

if TYPE_CHECKING:
    import lance

FRAGMENT_BITS = 32
_SAMPLE_RUNS, _SAMPLE_RUN = 8, 256
_BLOCK = 8192  # rows decoded at once: 10 MB at dim 320


class FragmentState(NamedTuple):
    """What tells whether a fragment changed."""

    vector_file: str
    files: tuple[str, ...]
    deleted: int


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
    old = old or VectorIndex(state={})
    change = _Change(dataset, contents, old.state)
    segments = [change.applied(segment) for segment in old.segments]
    if change.new:
        segments.append(_read(dataset, change.new, contents))
    return old.with_segments(segments, dataset.version, change.now)


def sample_payload(dataset: "lance.LanceDataset", contents: IndexContents) -> Payload:
    """Ids and metadata of some rows: a few runs, spread over the data set, since each run costs a read."""
    import pyarrow as pa

    names, rows = contents.columns(dataset), dataset.count_rows()
    starts = range(0, rows, max(rows // _SAMPLE_RUNS, _SAMPLE_RUN))
    runs = [dataset.scanner(columns=[ID, *names], limit=_SAMPLE_RUN, offset=start).to_table() for start in starts]
    empty = dataset.schema.empty_table().select([ID, *names])
    return _payload_of(pa.concat_tables([empty, *runs]), names)


class _Change:
    """From the fragments of an older version to those of `dataset`."""

    def __init__(
        self, dataset: "lance.LanceDataset", contents: IndexContents, before: Mapping[int, FragmentState]
    ) -> None:
        self._dataset, self._contents, self._before = dataset, contents, before
        self._columns = set(contents.columns(dataset))
        self._fragments = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
        vector_field = next(field.id() for field in dataset.lance_schema.fields() if field.name() == VECTOR)
        self.now = {number: _state(fragment.metadata, vector_field) for number, fragment in self._fragments.items()}
        self._same = {n for n, state in self.now.items() if n in before and before[n].vector_file == state.vector_file}
        self.new = [self._fragments[number] for number in sorted(self.now.keys() - self._same)]

    def applied(self, segment: Segment) -> Segment:
        """The segment with what was deleted and what was written to its metadata."""
        numbers = segment.row_ids >> FRAGMENT_BITS
        own = np.unique(numbers[segment.alive]).tolist()
        for number in own:
            if number not in self._same:
                segment = segment.without(numbers == number)
            elif self.now[number].deleted != self._before[number].deleted:
                segment = segment.without((numbers == number) & ~segment.mask_of(self._remaining(number)))
        remaining = [number for number in own if number in self._same]
        if segment.payload is not None and (dropped := segment.payload.columns.keys() - self._columns):
            segment = replace(segment, payload=segment.payload.without_columns(dropped))
        if segment.payload is None or all(self._before[n].files == self.now[n].files for n in remaining):
            return segment
        return replace(segment, payload=self._payload(segment, remaining))

    def _remaining(self, number: int) -> NDArray[np.int64]:
        """The row ids of a fragment, ascending."""
        scanner = self._dataset.scanner(columns=[], fragments=[self._fragments[number]], with_row_id=True)
        return np.sort(scanner.to_table()["_rowid"].to_numpy().astype(np.int64))

    def _payload(self, segment: Segment, numbers: Sequence[int]) -> Payload:
        """Ids and metadata of a segment, read again."""
        fragments = [self._fragments[number] for number in numbers]
        row_ids, payload = _rows(self._dataset, fragments, self._contents.columns(self._dataset))
        return payload.select(np.searchsorted(row_ids, segment.row_ids).clip(0, len(row_ids) - 1))


def _state(metadata: Any, vector_field: int) -> FragmentState:
    files = tuple(file.path for file in metadata.files)
    vector_file = next(file.path for file in metadata.files if vector_field in file.fields)
    return FragmentState(vector_file, files, metadata.deletion_file.num_deleted_rows if metadata.deletion_file else 0)


def _rows(
    dataset: "lance.LanceDataset", fragments: Sequence[Any], columns: Sequence[str]
) -> tuple[NDArray[np.int64], Payload]:
    scanner = dataset.scanner(columns=[ID, *columns], fragments=list(fragments), with_row_id=True, scan_in_order=True)
    table = scanner.to_table()
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
    for batch in _scan(dataset, fragments, [VECTOR, ID, *names]):
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
        for batch in _scan(dataset, fragments, [VECTOR]):
            row_ids.append(batch["_rowid"].to_numpy().astype(np.int64))
            yield vectors_out(batch[VECTOR], dim)

    vectors = HalfVectors.of(blocks(), dim)
    ids = np.concatenate(row_ids)
    return Segment(vectors, ids, np.ones(len(ids), np.bool_))


def _scan(dataset: "lance.LanceDataset", fragments: Sequence[Any], columns: list[str]) -> Iterator[Any]:
    scanner = dataset.scanner(
        columns=columns,
        fragments=list(fragments),
        with_row_id=True,
        batch_size=_BLOCK,
        scan_in_order=True,
        batch_readahead=2,
    )
    yield from scanner.to_batches()


def _payload_of(table: Any, names: Sequence[str]) -> Payload:
    return Payload(object_array(table[ID].to_pylist()), {name: _values(table[name]) for name in names})


def _values(column: Any) -> NDArray[np.object_]:
    """A column as Python values; a number that is not one means there is none."""
    import pyarrow as pa

    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        values = without_nan(values)
    return object_array(values)
