"""Conversion between rows of Python values and Arrow tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lookalike.store import columns as cols
from lookalike.store.where import quote_text
from lookalike.types import Scalar

TO_ARROW: dict[type, Any] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
}
_BATCH = 65_536  # rows
# Without this mark, two processes that insert the same new id at once leave two rows (lance-format/lance#8949).
PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}


def field(name: str, kind: type) -> Any:
    return pa.field(name, TO_ARROW[kind])


def schema(key: str, types: Mapping[str, type], dim: int | None = None) -> Any:
    """Return the schema of the key, the vector if there is one, and the metadata columns."""
    vector = [pa.field(cols.VECTOR, pa.list_(pa.float32(), dim), nullable=False)] if dim else []
    key_field = pa.field(key, pa.string(), nullable=False, metadata=PRIMARY_KEY)
    return pa.schema([key_field, *vector, *(field(name, kind) for name, kind in types.items())])


def types_of(arrow_schema: Any, key: str) -> dict[str, type]:
    """Return the metadata columns of a data set, without its key and its vector."""
    fields = [f for f in arrow_schema if f.name not in (key, cols.VECTOR) and not f.name.endswith(cols.TEMPORARY)]
    return {f.name: kind_of(f.type) for f in fields}


def kind_of(arrow_type: Any) -> type:
    """Return the Python type closest to a column's (another writer such as lance-ray may use int32 or large_string)."""
    if pa.types.is_boolean(arrow_type):
        return bool
    if pa.types.is_integer(arrow_type):
        return int
    if pa.types.is_floating(arrow_type):
        return float
    return bytes if pa.types.is_binary(arrow_type) or pa.types.is_large_binary(arrow_type) else str


def vectors_in(vectors: NDArray[Any]) -> Any:
    flat = np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), vectors.shape[1])


def vectors_out(column: Any, dim: int) -> NDArray[np.float32]:
    """Return a vector column as (n, dim) float32, without a copy if it is one chunk."""
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(chunk, pa.ChunkedArray):  # an empty one stays chunked
        return np.empty((0, dim), dtype=np.float32)
    flat: NDArray[np.float32] = chunk.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, dim)


def column_in(rows: Sequence[Mapping[str, Scalar]], name: str, kind: type) -> Any:
    return pa.array([cols.coerce(row.get(name), kind, name) for row in rows], TO_ARROW[kind])


def column_out(column: Any, name: str, kind: type, dim: int | None) -> NDArray[Any]:
    """Return one column of a scan as an array."""
    if name == cols.VECTOR:
        return vectors_out(column, dim or 0).copy()
    return cols.as_array(column.to_pylist(), kind)


def filled_array(column: Any) -> NDArray[Any]:
    """Return a column as an array; a missing value is "" or 0."""
    kind = kind_of(column.type)
    return np.asarray(column.fill_null(kind()).to_numpy(zero_copy_only=False))


def batches(columns: Mapping[str, Sequence[Any] | NDArray[Any]], arrow_schema: Any) -> Any:
    """Return a reader of columns of equal length, some rows at a time."""
    count = len(next(iter(columns.values())))

    def parts() -> Iterator[Any]:
        for start in range(0, count, _BATCH):
            arrays = [pa.array(columns[f.name][start : start + _BATCH], f.type) for f in arrow_schema]
            yield pa.record_batch(arrays, schema=arrow_schema)

    return pa.RecordBatchReader.from_batches(arrow_schema, parts())


def one_of(key: str, keys: Sequence[str]) -> str:
    """Return the condition that the key is one of these (at least one)."""
    return f"`{key}` IN ({', '.join(map(quote_text, keys))})"
