"""A side table as columns: of a table with a row for each of millions of images, rows as mappings would take gigabytes.

A store of an extension need not offer it: its tables are then read and written by rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lookalike.store.columns import text_order
from lookalike.types import Table

_ROWS = 50_000  # written at a time to a table without columns


@runtime_checkable
class ColumnTable(Protocol):
    """A table that is read and written by columns, such as those of Lance."""

    def arrays(self, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The key and these columns of all rows, in any order: texts as objects, numbers as they are; 0 for none."""
        ...

    def replace(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Replace all rows and columns, in one commit. The key is one of the columns, its values differ."""
        ...


def read_columns(table: Table, key: str, columns: Mapping[str, type]) -> dict[str, NDArray[Any]]:
    """Return the key and these columns of all rows, ordered by key; a missing value is "" or 0."""
    kinds = {key: str, **columns}
    if isinstance(table, ColumnTable):
        stored = table.arrays(list(columns))
    else:
        rows = table.all(list(columns))
        stored = {name: _array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    count = len(stored.get(key, ()))
    arrays = {name: stored[name] if name in stored else _array([None] * count, kind) for name, kind in kinds.items()}
    keys = arrays[key]
    if not (keys[1:] >= keys[:-1]).all():
        order = text_order(keys)
        arrays = {name: values[order] for name, values in arrays.items()}
    return arrays


def replace_rows(table: Table, key: str, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Replace what a table holds by columns of equal length, one of which is its key."""
    if isinstance(table, ColumnTable):
        table.replace(columns)
        return
    keys = set(columns[key])
    for start in range(0, len(keys), _ROWS):
        part = [np.asarray(values[start : start + _ROWS]).tolist() for values in columns.values()]
        table.put([dict(zip(columns, row, strict=True)) for row in zip(*part, strict=True)])
    table.remove([str(row[key]) for row in table.all([]) if row[key] not in keys])


def _array(values: Sequence[Any], kind: type) -> NDArray[Any]:
    filled = [kind() if value is None else kind(value) for value in values]
    return np.array(filled, object if kind is str else kind)
