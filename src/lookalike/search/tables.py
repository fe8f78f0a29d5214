"""A collection's rows as NumPy arrays, Arrow tables and data frames, and rows from vectors computed elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.errors import BadQuery, LookalikeError, ModelMismatch, nearest
from lookalike.indexing.plan import renamed_columns, superseded, user_columns
from lookalike.parts import dim_of, normalize_row_parts, part_of
from lookalike.search.arguments import metadata_list
from lookalike.search.large_array import empty_vectors
from lookalike.store.columns import text_order
from lookalike.text import now
from lookalike.types import AddReport, Card, Metadata, Store, Vectors

if TYPE_CHECKING:
    import pandas
    import pyarrow

ID, VECTOR = "id", "vector"
_MOVED_ROWS = 8192
COMMIT_ROWS = 16_384  # rows of one commit: 20 MB of vectors


def read_ids(store: Store, where: str | None) -> list[str]:
    """Return the ids of the rows that meet a condition, in order."""
    return sorted(str(image_id) for part in store.scan([ID], where=where) for image_id in part[ID])


def read_vectors(
    store: Store, where: str | None, card: Card, part: str | None = None, folder: str = ""
) -> tuple[list[str], Vectors]:
    """Return ids and vectors (n, dim) of the rows that meet a condition, ordered by id.

    So nothing computed from them depends on how rows are stored. `part`: only this part of the vectors. A large array
    is mapped from a temporary file in `folder` (see `empty_vectors`).
    """
    stored = np.concatenate([np.empty(0, object), *(part[ID] for part in store.scan([ID], where=where))])
    order = text_order(stored)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ids: list[str] = [str(image_id) for image_id in stored[order]]
    vectors = empty_vectors(len(ids), store.dim if part is None else dim_of(card, part), folder)
    present = np.zeros(len(ids), np.bool_)
    row_of: dict[str, int] = {}
    start = 0
    for batch in store.scan([ID, VECTOR], where=where):
        block = batch[VECTOR] if part is None else part_of(batch[VECTOR], card, part)
        stop = start + len(block)
        if np.array_equal(stored[start:stop], batch[ID]):
            rows = rank[start:stop]
        else:  # images that another process adds or removes between the two scans are left out
            row_of = row_of or {image_id: row for row, image_id in enumerate(ids)}
            rows = np.array([row_of.get(str(image_id), -1) for image_id in batch[ID]], np.int64)
        vectors[rows[rows >= 0]] = block[rows >= 0]
        present[rows[rows >= 0]] = True
        start = stop
    if present.all():
        return ids, vectors
    return [image_id for image_id, is_present in zip(ids, present, strict=True) if is_present], _retain(
        vectors, present
    )


def _retain(vectors: Vectors, mask: NDArray[np.bool_]) -> Vectors:
    """Move the rows of the mask to the front, a block at a time, and return them."""
    rows = np.flatnonzero(mask)
    for start in range(0, len(rows), _MOVED_ROWS):
        some = rows[start : start + _MOVED_ROWS]
        vectors[start : start + len(some)] = vectors[some]
    return vectors[: len(rows)]


def update_rows(store: Store, ids: Sequence[str], metadata: Sequence[Metadata] | Metadata) -> int:
    """Change metadata of existing images, in one commit; unknown ids are ignored. Returns how many were changed."""
    rows = metadata_list(metadata, len(ids))
    if renamed := {name: other for row in rows for name, other in renamed_columns(row).items()}:
        name, other = next(iter(renamed.items()))
        raise BadQuery(f"the column {name!r} is filled by Lookalike itself; choose another name, such as {other!r}")
    count = _known_count(store, ids)
    if count:
        store.update(ids, rows)
    return count


def add_vectors(
    store: Store, card: Card, ids: Sequence[str], vectors: ArrayLike, metadata: Sequence[Metadata] | Metadata | None
) -> AddReport:
    """Store vectors computed elsewhere, scaled to length 1; existing ids are replaced.

    Raises BadQuery, and ModelMismatch for vectors of another size.
    """
    started_at = time.monotonic()
    checked = _checked_vectors(vectors, ids, card)
    listed = metadata_list({} if metadata is None else metadata, len(ids))
    last = {image_id: n for n, image_id in enumerate(ids)}
    report = AddReport(failed=[superseded(image_id, image_id) for n, image_id in enumerate(ids) if last[image_id] != n])
    report.renamed_columns = {name: other for row in listed for name, other in renamed_columns(row).items()}
    order = sorted(last.values())
    ids, checked = [ids[n] for n in order], checked[order]
    rows = [user_columns(listed[n]) for n in order]
    builtin: Metadata = {"indexed": now(), "plain": False}
    for start in range(0, len(ids), COMMIT_ROWS):
        part = slice(start, start + COMMIT_ROWS)
        known, total = _known_count(store, ids[part]), len(ids[part])
        store.add(ids[part], checked[part], [{**row, **builtin} for row in rows[part]])
        report.changed += known
        report.added += total - known
    report.seconds = time.monotonic() - started_at
    return report


def _checked_vectors(vectors: ArrayLike, ids: Sequence[str], card: Card) -> Vectors:
    array = _numbers(vectors)
    if array.ndim == 1 and len(ids) == 1:
        array = array[None]
    if array.ndim != 2 or len(array) != len(ids):
        raise BadQuery(f"the vectors have the shape {array.shape}; pass one row for each of the {len(ids)} ids")
    if array.shape[1] != card.dim:
        raise ModelMismatch(
            f"the vectors have {array.shape[1]} numbers and {card.name} makes {card.dim}: another model made them, or "
            "they were reduced; add them to a collection of their own model"
        )
    for problem, wrong in (("is not finite", ~np.isfinite(array)), ("is zero", array == 0)):
        rows = wrong.any(axis=1) if problem == "is not finite" else wrong.all(axis=1)
        if rows.any():
            raise BadQuery(f"the vector of {ids[int(rows.argmax())]!r} {problem}; compute it again, or leave it out")
    return normalize_row_parts(array, card)


def _numbers(vectors: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError):
        raise BadQuery("the vectors are not a rectangular array of numbers; pass an array (n, dim)") from None


def _known_count(store: Store, ids: Sequence[str]) -> int:
    unique = list(dict.fromkeys(ids))
    parts = (unique[start : start + COMMIT_ROWS] for start in range(0, len(unique), COMMIT_ROWS))
    return sum(row is not None for part in parts for row in store.get(part, []))


def read_arrow(store: Store, where: str | None, columns: Sequence[str] | None) -> pyarrow.Table:
    """Return rows as an Arrow table, ordered by id: the id, then `columns`, by default all metadata but thumbnails."""
    import pyarrow as pa

    from lookalike.store.lance.arrow import TO_ARROW

    types = store.columns()
    names = _column_names(types, columns)
    vector = pa.field(VECTOR, pa.list_(pa.float32(), store.dim))
    fields = [vector if name == VECTOR else pa.field(name, TO_ARROW[types.get(name, str)]) for name in names]
    schema = pa.schema(fields)
    batches = [
        pa.record_batch([_arrow_array(part[field.name], field.type) for field in fields], schema=schema)
        for part in store.scan(names, where=where)
    ]
    return pa.Table.from_batches(batches, schema).sort_by(ID)


def _column_names(types: Mapping[str, type], columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return [ID, *(name for name, kind in types.items() if kind is not bytes)]
    for name in columns:
        if name not in types and name not in (ID, VECTOR):
            raise BadQuery(f"There is no column {name!r}; {nearest(name, [ID, VECTOR, *types])}.")
    return list(dict.fromkeys([ID, *columns]))


def _arrow_array(values: NDArray[Any], arrow_type: Any) -> Any:
    import pyarrow as pa

    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])
    # A scan returns a missing float as NaN.
    return pa.array(values, arrow_type, from_pandas=values.dtype.kind == "f")


def to_data_frame(table: pyarrow.Table) -> pandas.DataFrame:
    """Return an Arrow table as a pandas DataFrame. Raises LookalikeError if pandas is not installed."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise LookalikeError(
            "to_pandas needs pandas, which is not installed; install it with: pip install pandas, or use to_arrow"
        ) from None
    return table.to_pandas()
