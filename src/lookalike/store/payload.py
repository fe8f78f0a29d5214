"""Ids and metadata of the rows of a segment: Python objects in memory, or Arrow arrays mapped from a file."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.store.vector_storage import Mask, Positions
from lookalike.types import Scalar

_OBJECT_BYTES, _POSITION_BYTES = 60, 140  # of a short text or a number; of an entry in the table of positions
_SAMPLE = 1000


class Payload(Protocol):
    """Ids and metadata columns of n rows."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def nbytes(self) -> int:
        """Private memory."""
        ...

    def __len__(self) -> int: ...

    def position(self, image_id: str) -> int | None:
        """Position of an id within the segment, None where there is none."""
        ...

    def order(self) -> Positions:
        """Positions (n,) of all rows by id."""
        ...

    def ids_at(self, rows: Any) -> NDArray[np.object_]:
        """Ids at an array of positions, or where a mask is true."""
        ...

    def metadata(self, row: int) -> dict[str, Scalar]:
        """All columns of a row."""
        ...

    def values(self, name: str, rows: Mask) -> list[Scalar]:
        """A column where `rows` is true; None where a row has no value."""
        ...

    def counts(self, name: str, rows: Mask, prefix: int = 0) -> "Counter[Scalar]":
        """How often each value of a column occurs where `rows` is true; None is not counted.

        `prefix`: of a text only so many characters count.
        """
        ...

    def arrow_ids(self) -> list[Any]:
        """The ids (n,) as Arrow arrays, one after the other."""
        ...

    def arrow(self, name: str) -> list[Any]:
        """A column (n,) as Arrow arrays, one after the other; nulls where a row has no value."""
        ...

    def present(self, name: str) -> Mask:
        """Which rows (n,) have a value in a column."""
        ...

    def true(self, name: str) -> Mask:
        """Which rows (n,) have the value True in a column."""
        ...

    def containing(self, text: str) -> Mask:
        """Which rows (n,) have an id that contains a text, ignoring case."""
        ...

    def without_columns(self, names: Collection[str]) -> "Payload": ...


@dataclass(frozen=True, eq=False)
class MemoryPayload:
    """Ids (n,) and metadata columns (n,), as arrays of Python objects."""

    ids: NDArray[np.object_]
    columns: Mapping[str, NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Position of each id within the segment."""
        return {image_id: position for position, image_id in enumerate(self.ids.tolist())}

    @cached_property
    def nbytes(self) -> int:
        """An estimate: pointers, distinct objects of a sample, and the table of positions."""
        each = sum(8 + _OBJECT_BYTES * _distinct_share(values) for values in self.columns.values())
        return round(len(self.ids) * (each + 8 + _OBJECT_BYTES + _POSITION_BYTES))

    def position(self, image_id: str) -> int | None:
        return self.positions.get(image_id)

    def order(self) -> Positions:
        return np.argsort(self.ids, kind="stable") if len(self.ids) else np.empty(0, np.int64)

    def ids_at(self, rows: Any) -> NDArray[np.object_]:
        return np.asarray(self.ids[rows])

    def metadata(self, row: int) -> dict[str, Scalar]:
        return {name: values[row] for name, values in self.columns.items()}

    def values(self, name: str, rows: Mask) -> list[Scalar]:
        values: list[Scalar] = self.column(name)[rows].tolist()
        return values

    def counts(self, name: str, rows: Mask, prefix: int = 0) -> "Counter[Scalar]":
        counts = Counter(_beginning(value, prefix) for value in self.values(name, rows))
        del counts[None]
        return counts

    def arrow_ids(self) -> list[Any]:
        import pyarrow as pa

        return [pa.array(self.ids, pa.large_string())]

    def arrow(self, name: str) -> list[Any]:
        import pyarrow as pa

        return [pa.array(self.column(name).tolist())]

    def present(self, name: str) -> Mask:
        return np.array([value is not None for value in self.column(name)], np.bool_)

    def true(self, name: str) -> Mask:
        return np.array([value is True for value in self.column(name)], np.bool_)

    def containing(self, text: str) -> Mask:
        text = text.casefold()
        return np.array([text in image_id.casefold() for image_id in self.ids.tolist()], np.bool_)

    def select(self, rows: Positions) -> "MemoryPayload":
        return MemoryPayload(self.ids[rows], {name: values[rows] for name, values in self.columns.items()})

    def joined(self, others: "Sequence[MemoryPayload]") -> "MemoryPayload":
        names = dict.fromkeys(name for part in (self, *others) for name in part.columns)
        return MemoryPayload(
            np.concatenate([self.ids, *(other.ids for other in others)]),
            {name: np.concatenate([part.column(name) for part in (self, *others)]) for name in names},
        )

    def without_columns(self, names: Collection[str]) -> "MemoryPayload":
        return MemoryPayload(self.ids, {name: values for name, values in self.columns.items() if name not in names})

    def column(self, name: str) -> NDArray[np.object_]:
        values = self.columns.get(name)
        return np.full(len(self.ids), None, object) if values is None else values


@dataclass(frozen=True, eq=False)
class MappedPayload:
    """Ids and metadata in Arrow arrays, which a file holds; a row is read when it is a hit.

    `ids`: one array for each batch of rows. `batches`: one table for each run of rows that begins at `starts`. `by_id`
    (n,): positions by id. `in_memory`: where those tables begin whose rows changed since.
    """

    ids: Sequence[Any]
    id_starts: Sequence[int]
    batches: Sequence[Any]
    starts: Sequence[int]
    by_id: NDArray[np.integer[Any]]
    in_memory: frozenset[int] = frozenset()

    @classmethod
    def of(cls, batches: Sequence[Any], by_id: NDArray[np.integer[Any]], id_name: str) -> Self:
        """`batches`: Arrow record batches with ids and metadata."""
        starts = np.cumsum([0, *(len(batch) for batch in batches)])[:-1].tolist()
        columns = [batch.drop_columns([id_name]) for batch in batches]
        return cls([batch[id_name] for batch in batches], starts, columns, starts, by_id)

    def __len__(self) -> int:
        return len(self.by_id)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for batch in self.batches for name in batch.schema.names))

    @property
    def nbytes(self) -> int:
        starts = zip(self.starts, self.batches, strict=True)
        return sum(batch.get_total_buffer_size() for start, batch in starts if start in self.in_memory)

    def position(self, image_id: str) -> int | None:
        at = bisect_left(self.by_id, image_id, key=lambda row: self._id(int(row)))
        row = int(self.by_id[at]) if at < len(self) else None
        return row if row is not None and self._id(row) == image_id else None

    def order(self) -> Positions:
        return np.asarray(self.by_id, np.int64)

    def ids_at(self, rows: Any) -> NDArray[np.object_]:
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        ids = np.empty(len(rows), object)
        if len(rows) < _SAMPLE:
            ids[:] = [self._id(row) for row in rows.tolist()]
            return ids
        import pyarrow as pa

        ids[:] = pa.chunked_array(self.ids).take(pa.array(rows)).to_pylist()
        return ids

    def metadata(self, row: int) -> dict[str, Scalar]:
        n = bisect_right(self.starts, row) - 1
        row -= self.starts[n]
        if n not in self._present:
            columns = zip(self.batches[n].schema.names, self.batches[n].columns, strict=True)
            self._present[n] = [(name, column) for name, column in columns if column.null_count < len(column)]
        metadata = self._no_values.copy()
        for name, column in self._present[n]:
            metadata[name] = _scalar(column[row].as_py())
        return metadata

    @cached_property
    def _present(self) -> dict[int, list[tuple[str, Any]]]:
        """The columns of each batch that was read, without those that have no value in it."""
        return {}

    @cached_property
    def _no_values(self) -> dict[str, Scalar]:
        return dict.fromkeys(self.names)

    def values(self, name: str, rows: Mask) -> list[Scalar]:
        values: list[Scalar] = []
        for start, batch in zip(self.starts, self.batches, strict=True):
            passing = rows[start : start + len(batch)]
            if name not in batch.schema.names:
                values += [None] * int(passing.sum())
            elif passing.any():
                values += map(_scalar, batch[name].filter(_boolean(passing)).to_pylist())
        return values

    def arrow_ids(self) -> list[Any]:
        import pyarrow as pa

        return [ids.cast(pa.large_string()) for ids in self.ids]

    def arrow(self, name: str) -> list[Any]:
        import pyarrow as pa

        return [batch[name] if name in batch.schema.names else pa.nulls(len(batch)) for batch in self.batches]

    def counts(self, name: str, rows: Mask, prefix: int = 0) -> "Counter[Scalar]":
        import pyarrow as pa
        import pyarrow.compute as pc

        counts: Counter[Scalar] = Counter()
        for start, batch in zip(self.starts, self.batches, strict=True):
            if name in batch.schema.names:
                column = batch[name]
                if prefix and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                    column = pc.utf8_slice_codeunits(column, 0, prefix)
                passing = column.filter(_boolean(rows[start : start + len(batch)]))
                for entry in passing.value_counts().to_pylist():
                    counts[_scalar(entry["values"])] += entry["counts"]
        del counts[None]
        return counts

    def present(self, name: str) -> Mask:
        return self._mask(name, lambda column: column.is_valid())

    def true(self, name: str) -> Mask:
        import pyarrow as pa

        def is_true(column: Any) -> Any:
            return column.fill_null(False) if pa.types.is_boolean(column.type) else pa.array([False] * len(column))  # noqa: FBT003

        return self._mask(name, is_true)

    def containing(self, text: str) -> Mask:
        import pyarrow.compute as pc

        text = text.casefold()
        mask = np.zeros(len(self), np.bool_)
        for start, ids in zip(self.id_starts, self.ids, strict=True):
            matches = _bools(pc.match_substring(pc.ascii_lower(ids), text))
            for row in np.flatnonzero(~_bools(pc.string_is_ascii(ids))).tolist():  # Arrow does not fold their case
                matches[row] = text in ids[row].as_py().casefold()
            mask[start : start + len(ids)] = matches
        return mask

    def _mask(self, name: str, test: Callable[[Any], Any]) -> Mask:
        """Where a column passes a test, which takes and returns an Arrow array."""
        mask = np.zeros(len(self), np.bool_)
        for start, batch in zip(self.starts, self.batches, strict=True):
            if name in batch.schema.names:
                mask[start : start + len(batch)] = _bools(test(batch[name]))
        return mask

    def without_columns(self, names: Collection[str]) -> "MappedPayload":
        batches = [batch.drop_columns([n for n in batch.schema.names if n in names]) for batch in self.batches]
        return replace(self, batches=batches)

    def replaced(self, start: int, table: Any) -> "MappedPayload":
        """The same with other metadata of the rows from `start` on; `table`: an Arrow record batch, without ids."""
        stop = start + len(table)
        batches, starts = [], []
        for begin, batch in zip(self.starts, self.batches, strict=True):
            end = begin + len(batch)
            for a, b in ((begin, min(end, start)), (max(begin, stop), end)):  # what lies before, and behind
                if a < b:
                    batches.append(batch.slice(a - begin, b - a))
                    starts.append(a)
        at = bisect_right(starts, start)
        batches.insert(at, table)
        starts.insert(at, start)
        return replace(self, batches=batches, starts=starts, in_memory=self.in_memory | {start})

    def _id(self, row: int) -> str:
        n = bisect_right(self.id_starts, row) - 1
        image_id: str = self.ids[n][row - self.id_starts[n]].as_py()
        return image_id


def _beginning(value: Scalar, prefix: int) -> Scalar:
    return value[:prefix] if prefix and isinstance(value, str) else value


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
    return [_scalar(value) for value in values]


def _scalar(value: Any) -> Any:
    return None if value != value else value  # noqa: PLR0124 - only NaN differs from itself


def _bools(array: Any) -> Mask:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)


def _boolean(mask: Mask) -> Any:
    import pyarrow as pa

    return pa.array(mask)


def _distinct_share(values: NDArray[np.object_]) -> float:
    sample = values[:: max(1, len(values) // _SAMPLE)].tolist()
    return len(set(map(id, sample))) / max(len(sample), 1)
