"""Rows keyed by a text column in one Lance data set: upsert, update, delete; columns that are added and widened.

Every change is one commit of Lance: another process sees all of it or nothing, also after kill -9.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import NoCollection, ReadOnly, StoreFailed
from lookalike.store import columns as cols
from lookalike.store.columns import TEMPORARY
from lookalike.store.lance.dataset_version import DatasetVersion
from lookalike.store.lance.engine import (
    create_dataset,
    engine,
    is_conflict,
    load_lance,
    open_dataset,
    translated,
    with_retries,
)
from lookalike.tasks import TaskPool
from lookalike.types import Metadata, Scalar

if TYPE_CHECKING:
    import lance

    from lookalike.store.lance.fragments import Appender

T = TypeVar("T")
MAX_TRIES = 20  # five concurrent writers of the same ids needed 4 (tests/store/test_processes.py)
COMPACT_EVERY = 64  # commits; each file adds .1 ms to an upsert: over 500 upserts of 100 rows, 10 grew to 61 ms
FILE_ROWS = 16_384  # a file of so many rows (200 MB with thumbnails) is not merged again by each run
MERGED_ROWS = 64  # batch size of merging; Lance's default took 500 MB more at 50,000 rows with thumbnails
KEEP_REPLACED = timedelta(minutes=10)
SMALL_ROWS = 4096  # smaller files are merged every COMPACT_EVERY commits, larger ones by `tidy` alone
NEW, OLD = TEMPORARY  # suffixes of a column whose type changes


class LanceTable:
    """One data set, created by `create` or the first `put`. `dim` adds a vector column."""

    def __init__(
        self,
        uri: str,
        key: str = "path",
        *,
        dim: int | None = None,
        read_only: bool = False,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self.uri, self.key, self.dim, self.read_only = uri, key, dim, read_only
        self._options = with_retries(uri, storage_options)
        self._dataset: lance.LanceDataset | None = None
        self._writing = threading.RLock()
        self._upserts = 0
        self._appender: Appender | None = None

    # reading

    @property
    def storage_options(self) -> Mapping[str, str] | None:
        """What the object store is opened with."""
        return self._options

    @property
    def version(self) -> int:
        """The number of the latest version that any process committed; 0 before the first."""
        try:
            return int(self.latest().version)
        except NoCollection:
            return 0

    def latest(self) -> "lance.LanceDataset":
        """Return the latest version that any process committed; a check takes 10 us. Raises NoCollection."""
        dataset = self._dataset
        if dataset is None:
            dataset = open_dataset(self.uri, self._options)
        with engine(self.uri):
            newest = dataset.latest_version
            if newest != dataset.version:
                # A new object: concurrent searches in other threads keep the version they started with.
                dataset = dataset.checkout_version(newest)
        self._dataset = dataset
        return dataset

    def types(self) -> dict[str, type]:
        from lookalike.store.lance.arrow import types_of

        return types_of(self.latest().schema, self.key)

    def all(self, columns: Sequence[str] | None = None) -> list[dict[str, Scalar]]:
        """Return all rows, sorted by key. `columns`: only the key and these, of those that the table has."""
        try:
            dataset = self.latest()
        except NoCollection:
            return []
        with engine(self.uri):
            names = [name for name in self.types() if columns is None or name in columns]
            rows: list[dict[str, Scalar]] = dataset.to_table(columns=[self.key, *names]).to_pylist()
        return sorted(rows, key=lambda row: str(row[self.key]))

    def arrays(self, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the key and these columns, of those that the table has: see `ColumnTable`."""
        from lookalike.store.lance.arrow import filled_array

        try:
            dataset = self.latest()
        except NoCollection:
            return {self.key: np.empty(0, object)}
        with engine(self.uri):
            names = [self.key, *(name for name in self.types() if name in columns)]
            table = dataset.to_table(columns=names)
            return {name: filled_array(table[name]) for name in names}

    # writing

    def replace(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Replace all rows and columns, in one commit; what was replaced is deleted once readers have finished."""
        from lookalike.store.lance.arrow import batches, schema

        self._writable()
        others = {name: _kind(values) for name, values in columns.items() if name != self.key}
        arrow_schema = schema(self.key, others)
        try:
            self.latest()
        except NoCollection:
            self.create(others)

        def change(_: "lance.LanceDataset") -> None:
            reader = batches(columns, arrow_schema)
            load_lance().write_dataset(
                reader, self.uri, schema=arrow_schema, mode="overwrite", storage_options=self._options
            )

        self._commit(change)
        self._commit(lambda dataset: dataset.cleanup_old_versions(older_than=KEEP_REPLACED))

    def create(self, types: Mapping[str, type]) -> None:
        from lookalike.store.lance.arrow import schema

        self._writable()
        create_dataset(self.uri, schema(self.key, types, self.dim), self._options)

    def put(self, rows: Sequence[Metadata]) -> None:
        """Insert or replace rows by key, in one commit; the last row of a key wins."""
        self._writable()
        if not rows:
            return
        types = cols.widened({self.key: str}, rows, reserved=())
        del types[self.key]
        try:
            self.latest()
        except NoCollection:
            self.create(types)
        others = [{name: value for name, value in row.items() if name != self.key} for row in rows]
        self.upsert([str(row[self.key]) for row in rows], others)

    def upsert(self, keys: Sequence[str], rows: Sequence[Metadata], vectors: Any = None) -> None:
        """Insert or replace, in one commit. `vectors` (n, dim) are those of the rows; `rows` do not contain the key."""
        self._writable()
        last = list({key: at for at, key in enumerate(keys)}.values())
        chosen = [rows[at] for at in last]
        picked = None if vectors is None else vectors[last]

        def change(dataset: "lance.LanceDataset") -> None:
            self._widen(dataset, rows)
            table = self._table([keys[at] for at in last], chosen, dataset.schema, picked)
            self._merge(dataset).when_not_matched_insert_all().execute(table)

        self._commit(change)
        self._count_commit()

    def _count_commit(self) -> None:
        """Merge small files now and then."""
        self._upserts += 1
        if self._upserts % COMPACT_EVERY == 0:
            self._commit(lambda dataset: _merge_files(dataset, SMALL_ROWS))

    def write_files(self, keys: Sequence[str], rows: Sequence[Metadata], vectors: Any) -> str | None:
        """Write new rows to files that `append` commits, in whichever process. Returns their description.

        None if the data set has no column, or a narrower one, for a value. Until the commit, nobody sees the rows.
        """
        from lookalike.store.lance.arrow import types_of
        from lookalike.store.lance.fragments import write_fragments

        self._writable()
        dataset = self.latest()
        known = types_of(dataset.schema, self.key)
        if cols.widened(known, rows, reserved=(self.key, cols.VECTOR)) != known:
            return None
        with engine(self.uri):
            return write_fragments(dataset, self._table(keys, rows, dataset.schema, vectors), self._options)

    def begin_append(self) -> "Appender":
        """Note which rows are there: what `append` adds from now on was planned without others' later ones."""
        from lookalike.store.lance.fragments import Appender

        self._appender = Appender(self.latest(), self.key)
        return self._appender

    def append(self, descriptions: Sequence[str]) -> None:
        """Commit what `write_files` wrote, in one commit.

        A row is left out if another process has added one of the same key since `begin_append`.
        """
        from lookalike.store.lance.fragments import fits

        self._writable()
        appender = self._appender or self.begin_append()
        latest = self.latest()
        current = [text for text in descriptions if fits(latest, text)]
        if current:
            self._commit(lambda dataset: appender.commit(dataset, current, self._options))
            self._count_commit()
        for text in descriptions:
            if text not in current:
                self._insert(text)

    def _insert(self, description: str) -> None:
        """Insert the rows of files that were written before a column was widened: in them, it would be empty."""
        from lookalike.store.lance.arrow import vectors_out
        from lookalike.store.lance.fragments import read_fragments

        for table in read_fragments(self.uri, description, self._options):
            vectors = None if self.dim is None else vectors_out(table[cols.VECTOR], self.dim)
            names = [name for name in table.column_names if name not in (self.key, cols.VECTOR)]
            self.upsert(table[self.key].to_pylist(), table.select(names).to_pylist(), vectors)

    def remove_repeated(self) -> int:
        """Delete all rows but one of each key. Returns their number."""
        from lookalike.store.lance.fragments import remove_repeated

        return self.commit(lambda dataset: remove_repeated(dataset, self.key))

    def update(self, keys: Sequence[str], rows: Sequence[Metadata]) -> None:
        """Change the named columns of existing rows, in one commit."""
        self._writable()
        merged: dict[str, dict[str, Scalar]] = {}
        for key, row in zip(keys, rows, strict=True):
            merged.setdefault(key, {}).update(row)
        names = {name: None for row in merged.values() for name in row}
        if not names:
            return

        def change(dataset: "lance.LanceDataset") -> None:
            self._widen(dataset, rows)
            known = [name for name in names if name in dataset.schema.names]
            filled = self._filled(dataset, merged, known)
            table = self._table(list(filled), list(filled.values()), dataset.schema, None, known)
            # rewrite_columns does not touch vectors or their index: 13 ms instead of 59 at 100,000 rows.
            if filled and known:
                self._merge(dataset).write_mode("rewrite_columns").execute(table)

        self._commit(change)

    def remove(self, keys: Sequence[str]) -> int:
        """Delete rows, in one commit. Returns their number."""
        from lookalike.store.lance.arrow import one_of

        self._writable()
        if not keys:
            return 0
        where = one_of(self.key, list(dict.fromkeys(keys)))
        try:
            return self._commit(lambda dataset: int(dataset.delete(where)["num_deleted_rows"]))
        except NoCollection:
            return 0

    def note(self, changes: Mapping[str, str]) -> None:
        """Commit entries of the data set's metadata; entries of other processes are not affected."""
        self._writable()
        self._commit(lambda dataset: dataset.update_metadata(dict(changes)))

    def drop(self, columns: Mapping[str, type]) -> None:
        """Drop columns of these names and types, in one commit; `tidy` frees their space."""
        self._writable()
        types = self.types()
        if present := [name for name, kind in columns.items() if types.get(name) is kind]:
            self._commit(lambda dataset: dataset.drop_columns(present))

    def tidy(self, keep: timedelta, tasks: TaskPool | None = None) -> None:
        """Merge small files, and drop versions older than `keep`. `tasks`: what merges, by default this thread."""
        self._writable()
        try:
            self._commit(lambda dataset: _merge_files(dataset, FILE_ROWS, self._options, tasks))
            self._commit(lambda dataset: dataset.cleanup_old_versions(older_than=keep or timedelta(microseconds=1)))
        except NoCollection:
            return

    def commit(self, change: "Callable[[lance.LanceDataset], T]") -> T:
        self._writable()
        return self._commit(change)

    def _writable(self) -> None:
        if self.read_only:
            reason, hint = "it was opened for reading only", "open it without read_only"
            raise ReadOnly(reason, subject=self.uri, location=self.uri, hint=hint)

    def _commit(self, change: "Callable[[lance.LanceDataset], T]") -> T:
        """Apply a change to the latest version; on a conflict with another process, again from the start."""
        with self._writing:
            for _ in range(MAX_TRIES):
                latest = self.latest()
                with engine(self.uri):
                    # The object that writes moves to the new version; objects of readers must not.
                    dataset = latest.checkout_version(latest.version)
                try:
                    result = change(dataset)
                except Exception as error:
                    if is_conflict(error):
                        conflict = error
                        continue
                    if isinstance(error, (OSError, ValueError, RuntimeError)):
                        raise translated(error, self.uri) from error
                    raise
                self._dataset = dataset
                return result
        reason = "other processes kept writing to it; nothing was changed"
        raise StoreFailed(reason, subject=self.uri, location=self.uri, hint="try again") from conflict

    def _merge(self, dataset: "lance.LanceDataset") -> "lance.MergeInsertBuilder":
        # With an index on the key, merge_insert misses concurrent inserts (lance#9238).
        merge = dataset.merge_insert(self.key).when_matched_update_all()
        return merge.use_index(False).conflict_retries(MAX_TRIES)  # noqa: FBT003

    def _table(
        self,
        keys: Sequence[str],
        rows: Sequence[Metadata],
        arrow_schema: Any,
        vectors: Any,
        names: Sequence[str] | None = None,
    ) -> Any:
        """Return rows as an Arrow table with the data set's columns, or with those named."""
        import pyarrow as pa

        from lookalike.store.lance.arrow import column_in, kind_of, vectors_in

        arrays = {self.key: pa.array(keys, pa.string())}
        if vectors is not None:
            arrays[cols.VECTOR] = vectors_in(vectors)
        for field in arrow_schema:
            if field.name not in (self.key, cols.VECTOR) and (names is None or field.name in names):
                arrays[field.name] = column_in(rows, field.name, kind_of(field.type)).cast(field.type)
        return pa.table(list(arrays.values()), schema=pa.schema([arrow_schema.field(name) for name in arrays]))

    def _filled(
        self, dataset: "lance.LanceDataset", rows: Mapping[str, Metadata], names: Sequence[str]
    ) -> dict[str, dict[str, Scalar]]:
        """Return existing rows with all of `names`; values that `rows` does not change are the stored ones."""
        from lookalike.store.lance.arrow import one_of

        stored = dataset.to_table(columns=[self.key, *names], filter=one_of(self.key, list(rows))).to_pylist()
        return {row[self.key]: {**row, **rows[row[self.key]]} for row in stored}

    def _widen(self, dataset: "lance.LanceDataset", rows: Sequence[Metadata]) -> None:
        """Add and widen columns so that the data set can hold these rows."""
        from lookalike.store.lance.arrow import field, types_of

        known = types_of(dataset.schema, self.key)
        types = cols.widened(known, rows, reserved=(self.key, cols.VECTOR))
        if new := [field(name, kind) for name, kind in types.items() if name not in known]:
            dataset.add_columns(new)
        for name, kind in types.items():
            if name in known and known[name] is not kind:
                self._change_type(dataset, name, kind)

    def _change_type(self, dataset: "lance.LanceDataset", name: str, kind: type) -> None:
        """Change a column's type: add it under another name, swap the names in one commit, drop the old one."""
        lance = load_lance()
        import pyarrow as pa

        from lookalike.store.lance.arrow import column_in, field

        new, old = name + NEW, name + OLD
        if leftovers := [column for column in (new, old) if column in dataset.schema.names]:  # of a killed process
            dataset.drop_columns(leftovers)

        def convert(batch: Any) -> Any:
            return pa.record_batch([column_in(batch.to_pylist(), name, kind)], names=[new])

        before = dataset.version
        dataset.add_columns(lance.batch_udf(output_schema=pa.schema([field(new, kind)]))(convert), read_columns=[name])
        added = dataset.version
        dataset.alter_columns({"path": name, "name": old}, {"path": new, "name": name})
        if (added, dataset.version) != (before + 1, before + 2):
            self._carry_over(dataset, name, kind, dataset.checkout_version(before), dataset.version)
        dataset.drop_columns([old])

    def _carry_over(
        self, dataset: "lance.LanceDataset", name: str, kind: type, before: "lance.LanceDataset", swapped: int
    ) -> None:
        """Copy to the new column what other processes wrote to the old one while the new one was being computed.

        `before`: the version that was converted; `swapped`: the version from which all writes go to the new column.
        """
        import pyarrow as pa

        from lookalike.store.lance.arrow import column_in

        known = _values(before, self.key, name)
        at_swap = dataset.checkout_version(swapped)
        old = _values(at_swap, self.key, name + OLD)
        written = {key: value for key, value in old.items() if key not in known or known[key] != value}
        converted = _values(at_swap, self.key, name)
        for _ in range(MAX_TRIES):
            dataset.checkout_latest()
            current = _values(dataset, self.key, name)
            late = {key: value for key, value in written.items() if key in current and current[key] == converted[key]}
            if not late:
                return
            rows = [{name: value} for value in late.values()]
            table = pa.table({self.key: pa.array(list(late), pa.string()), name: column_in(rows, name, kind)})
            try:
                self._merge(dataset).conflict_retries(0).execute(table)
            except Exception as error:
                if not is_conflict(error):
                    raise
            else:
                return
        reason = f"other processes kept writing to it; the column {name} lacks some of their values"
        raise StoreFailed(reason, subject=self.uri, location=self.uri)


def _kind(values: Sequence[Any] | NDArray[Any]) -> type:
    """The Python type of the values of a column; text for an empty list."""
    if isinstance(values, np.ndarray) or len(values):
        array = values if isinstance(values, np.ndarray) else np.asarray(values[:1])
        return {"b": bool, "i": int, "u": int, "f": float}.get(array.dtype.kind, str)
    return str


def _values(dataset: "lance.LanceDataset", key: str, name: str) -> dict[str, Any]:
    """Return a column by key."""
    table = dataset.to_table(columns=[key, name])
    return dict(zip(table[key].to_pylist(), table[name].to_pylist(), strict=True))


def _merge_files(
    dataset: "lance.LanceDataset", rows: int, options: Mapping[str, str] | None = None, tasks: TaskPool | None = None
) -> None:
    """Merge adjacent files with fewer than `rows` rows; files without deleted rows are copied byte for byte.

    Copying takes a quarter of the time of rewriting and 50 MB instead of 250 (50,000 rows with thumbnails). `tasks`:
    what merges, by default this thread, one group of files after the other.
    """
    load_lance()
    from lance.optimize import Compaction

    settings = {"target_rows_per_fragment": rows, "batch_size": MERGED_ROWS, "num_threads": 1}
    plan = Compaction.plan(dataset, {**settings, "compaction_mode": "try_binary_copy"})
    if tasks is None:
        merged = [group.execute(dataset) for group in plan.tasks]
    else:
        version = DatasetVersion(dataset.uri, int(dataset.version), options)
        merged = list(tasks.map(_merge_group, plan.tasks, version))
    if merged:
        Compaction.commit(dataset, merged)


def _merge_group(version: DatasetVersion, group: Any) -> Any:
    """Merge a group of files: a task."""
    return group.execute(version.dataset)
