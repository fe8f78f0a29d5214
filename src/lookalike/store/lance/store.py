"""A collection in a folder or an object store, stored by Lance: many processes, crash-safe, exact where possible."""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike import schema
from lookalike.errors import FormatMismatch, NoCollection, StoreFailed
from lookalike.store import columns as cols
from lookalike.store.ivf.recall import DEFAULT_RECALL
from lookalike.store.lance import search as lance_search
from lookalike.store.lance.arrow import column_out, one_of, vectors_out
from lookalike.store.lance.dataset_version import DatasetVersion
from lookalike.store.lance.engine import child, engine, is_remote, no_collection
from lookalike.store.lance.refresh import IndexContents, index_of_files, new_rows, refreshed, sample_payload
from lookalike.store.lance.table import LanceTable
from lookalike.store.rank import FLOAT32_ERROR, HALF_ERROR
from lookalike.store.segment import EXACT
from lookalike.store.vector_index import SearchRequest, VectorIndex, bytes_per_row
from lookalike.store.vector_storage import Mask
from lookalike.store.where import backticks, condition
from lookalike.tasks import TaskPool
from lookalike.types import Hit, Metadata, Row, Vectors

if TYPE_CHECKING:
    import lance

    from lookalike.store.lance.build_index import IndexTasks

FORMAT = 1
MEMORY_BYTES = 1 << 30  # 1.6 million rows of dim 320
MIN_QUERIES = 8  # so many queries at once pay for reading all vectors into memory
INDEX_ROWS = 100_000  # docs/store.md
KEEP = timedelta(minutes=10)
FOLDER = "vector_index"

_OBSOLETE = {"features": bytes}  # written by older versions, 85 kB an image; nothing reads it
_INDEXED = "_indexed_rows"  # a setting of older versions, which had Lance build an index
_ALL = IndexContents(metadata=True)
log = logging.getLogger(__name__)


class LanceStore:
    """One collection. Searches use the latest version that any process committed.

    `memory_bytes`: memory for the vectors once a process searches more than once; 0 keeps none. `index_rows`: from how
    many rows on `optimize` builds an index of files beside the collection, which every search then uses. `keep`: how
    long `optimize` keeps old versions for searches that other processes are running.
    """

    def __init__(
        self,
        uri: str,
        *,
        read_only: bool = False,
        storage_options: Mapping[str, str] | None = None,
        memory_bytes: int = MEMORY_BYTES,
        index_rows: int | None = None,
        keep: timedelta = KEEP,
    ) -> None:
        self.uri = uri
        self._read_only, self._options = read_only, storage_options
        self._memory_bytes, self._keep = memory_bytes, keep
        self._index_rows = INDEX_ROWS if index_rows is None else index_rows
        self._index_folder = index_folder(uri)
        self._rows = LanceTable(child(uri, "images"), cols.ID, read_only=read_only, storage_options=storage_options)
        self._tables: dict[str, LanceTable] = {}
        self._half: VectorIndex | None = None  # vectors alone, in half precision: for searches of this class
        self._full: VectorIndex | None = None  # with ids and metadata: `memory_index`
        self._contents = IndexContents()
        self._mapped: dict[IndexContents, _Mapped] = {}
        self._sampled: tuple[tuple[object, ...], float] | None = None  # what a row takes in memory, and its basis
        self._refreshing = threading.Lock()
        self._searches = 0
        self._rows.dim = self._dim = _dim(self._open())
        self._check_format()

    @classmethod
    def create(
        cls,
        uri: str,
        dim: int,
        columns: Mapping[str, type] | None = None,
        *,
        storage_options: Mapping[str, str] | None = None,
        **options: Any,
    ) -> "LanceStore":
        """Create an empty collection, or open an existing one."""
        rows = LanceTable(child(uri, "images"), cols.ID, dim=dim, storage_options=storage_options)
        rows.create(cols.check_declared(columns or {}))
        store = cls(uri, storage_options=storage_options, **options)
        if schema.FORMAT.name not in store.settings:
            store.set_settings({schema.FORMAT.name: str(FORMAT)})
        return store

    def _open(self) -> "lance.LanceDataset":
        try:
            return self._rows.latest()
        except NoCollection as error:
            raise no_collection(self.uri) from error

    def _check_format(self) -> None:
        # Absent if the process was killed between creation and the first commit.
        written = self.settings.get(schema.FORMAT.name, "1")
        if not written.isdigit() or int(written) > FORMAT:
            raise FormatMismatch(
                f"it has format {written}, and this Lookalike reads up to format {FORMAT}",
                subject=self.uri,
                location=self.uri,
                hint="install a newer one with: pip install -U lookalike",
            )

    @property
    def dataset(self) -> "lance.LanceDataset":
        """The latest version of the rows."""
        return self._rows.latest()

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def settings(self) -> Mapping[str, str]:
        dataset = self._rows.latest()
        with engine(self.uri):
            return {name: value for name, value in dataset.metadata.items() if name != _INDEXED}

    @property
    def version(self) -> int:
        dataset = self._rows.latest()
        with engine(self.uri):
            return int(dataset.version)

    @property
    def failures(self) -> LanceTable:
        return self.table(schema.FAILURES.name, schema.FAILURES.key)

    def table(self, name: str, key: str = "path") -> LanceTable:
        if name not in self._tables:
            uri = child(self.uri, name)
            self._tables[name] = LanceTable(uri, key, read_only=self._read_only, storage_options=self._options)
        return self._tables[name]

    def columns(self) -> Mapping[str, type]:
        return self._rows.types()

    def set_settings(self, changes: Mapping[str, str]) -> None:
        self._rows.note(changes)

    def add(self, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]) -> None:
        cols.check_batch(self._dim, ids, vectors, metadata)
        if len(ids):
            self._rows.upsert(ids, metadata, vectors)

    def write_files(self, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]) -> str | None:
        """See `store.write_rows`."""
        cols.check_batch(self._dim, ids, vectors, metadata)
        return self._rows.write_files(ids, metadata, vectors)

    def begin_append(self) -> None:
        """See `store.begin_append`."""
        self._rows.begin_append()

    def append(self, files: Sequence[str]) -> None:
        """See `store.append_files`."""
        self._rows.append(files)

    def remove_repeated(self) -> int:
        """See `store.remove_repeated`."""
        return self._rows.remove_repeated()

    def update(self, ids: Sequence[str], metadata: Sequence[Metadata]) -> None:
        self._rows.update(ids, metadata)

    def drop_columns(self, names: Sequence[str]) -> int:
        types = self.columns()
        gone = {name: types[name] for name in names if name in types}
        self._rows.drop(gone)
        return len(gone)

    def delete(self, ids: Sequence[str]) -> int:
        return self._rows.remove(ids)

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> list[Row | None]:
        dataset, names = self._latest(columns)
        if not len(ids):
            return []
        with engine(self.uri):
            table = self._rows_of(dataset, ids, [cols.ID, cols.VECTOR, *names])
        vectors = vectors_out(table[cols.VECTOR], self._dim)
        metadata = table.select(names).to_pylist() if names else [{} for _ in vectors]
        rows = {
            id: Row(id, vector.copy(), row)
            for id, vector, row in zip(table[cols.ID].to_pylist(), vectors, metadata, strict=True)
        }
        return [rows.get(id) for id in ids]

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]:
        queries = cols.check_queries(self._dim, queries, k)
        dataset, names = self._latest(columns)
        sql = self._condition(dataset, where)
        if not len(queries):
            return []
        recall = DEFAULT_RECALL if recall is None else recall
        with engine(self.uri, where):
            if index := self._mapped_index(dataset, _ALL):
                return self._search_mapped(index, dataset, queries, k, sql, names, recall)
            propose = self._propose(dataset, sql, len(queries))
            return lance_search.Reader(dataset, names).search(queries, k, propose)

    def _search_mapped(
        self, index: VectorIndex, dataset: "lance.LanceDataset", queries: Vectors, k: int, sql: str | None,
        names: Sequence[str], recall: float,
    ) -> list[list[Hit]]:  # fmt: skip
        mask = self._mask(index, dataset, sql)
        types = self._types(dataset)
        if any(types[name] is bytes for name in names):
            propose = lance_search.from_memory(index, mask, recall)
            return lance_search.Reader(dataset, names).search(queries, k, propose)
        answers = index.search([SearchRequest(query, k, mask, recall=recall) for query in queries])
        return [[Hit(h.id, h.score, {name: h.metadata.get(name) for name in names}) for h in hits] for hits in answers]

    def within(
        self, queries: Vectors, min_score: float, *, where: str | None = None, columns: Sequence[str] | None = None
    ) -> list[list[Hit]]:
        queries = cols.check_queries(self._dim, queries)
        dataset, names = self._latest(columns)
        sql = self._condition(dataset, where)
        if not len(queries):
            return []
        with engine(self.uri, where):
            if index := self._mapped_index(dataset, _ALL) or self._in_memory(dataset, len(queries)):
                blocks, error = index.blocks_by_row_id(self._mask(index, dataset, sql)), HALF_ERROR
            else:
                blocks, error = lance_search.blocks(dataset, sql), FLOAT32_ERROR
            candidates = lance_search.scan_above(blocks, queries, min_score - error)
            return lance_search.Reader(dataset, names).within(queries, candidates, min_score)

    def scan(
        self, columns: Sequence[str], *, where: str | None = None, batch: int = 8192
    ) -> Iterator[dict[str, NDArray[Any]]]:
        dataset = self._rows.latest()
        types = {cols.ID: str, cols.VECTOR: float, **self._types(dataset)}
        names = cols.select_columns(columns, self._types(dataset), also=(cols.ID, cols.VECTOR))
        sql = self._condition(dataset, where)
        with engine(self.uri, where):
            scanner = dataset.scanner(columns=names, filter=sql, batch_size=batch, batch_readahead=2)
            for part in scanner.to_batches():
                if len(part):
                    yield {name: column_out(part[name], name, types[name], self._dim) for name in names}

    def sample_vectors(self, count: int) -> Vectors:
        """Return the vectors (at most `count`, dim) of rows that are spread evenly."""
        dataset = self._rows.latest()
        with engine(self.uri):
            total = dataset.count_rows()
            rows = np.linspace(0, total, min(count, total), endpoint=False, dtype=np.int64)
            table = dataset.take(rows.tolist(), columns=[cols.VECTOR])
        return vectors_out(table[cols.VECTOR].combine_chunks(), self._dim)

    def optimize(self, tasks: TaskPool | None = None) -> None:
        """See `Store.optimize`. `tasks`: what merges files and encodes rows, by default this machine."""
        self._rows.drop(_OBSOLETE)
        self._rows.tidy(self._keep, tasks)
        for table in self._tables.values():
            table.tidy(self._keep)
        self._update_index(tasks)

    def __len__(self) -> int:
        dataset = self._rows.latest()
        with engine(self.uri):
            return int(dataset.count_rows())

    def close(self) -> None:
        self._half = self._full = None
        self._mapped = {}

    def memory_index(self, *, skip_columns: frozenset[str] = frozenset(), max_bytes: int) -> VectorIndex | None:
        """All rows of the latest version in memory, in single precision, with ids and metadata but for columns of
        bytes and `skip_columns`.

        None where the index would exceed `max_bytes` with all that its `nbytes` counts, estimated by a sample of the
        rows. Kept: the next call reads what was committed since.
        """
        dataset = self._rows.latest()
        with engine(self.uri):
            contents = IndexContents(metadata=True, skip=skip_columns)
            if index := self._mapped_index(dataset, contents, max_bytes):
                return index
            if dataset.count_rows() * self._bytes_per_row(dataset, contents) > max_bytes:
                self._full = None
                return None
            with self._refreshing:
                if self._contents != contents:
                    self._full = None
                if self._full is None or self._full.version < dataset.version:
                    self._full, self._contents = refreshed(self._full, dataset, contents), contents
                return self._full

    def index_facts(self) -> "IndexFacts | None":
        """What the index of files covers and costs; None if there is none."""
        from lookalike.store.ivf.files import open_segments, size_on_disk

        if (opened := open_segments(self._index_folder, self._dim)) is None:
            return None
        manifest, segments = opened
        dataset = self._rows.latest()
        with engine(self.uri):
            rows = dataset.count_rows()
            added = new_rows(index_of_files(opened, _ALL), dataset)
        effort = manifest.recalls.effort(np.ones(self._dim, np.float32), 10, DEFAULT_RECALL)
        return IndexFacts(
            folder=str(self._index_folder),
            indexed=rows - added,
            images=rows,
            lists=len(segments[0].lists.centroids) if segments and segments[0].lists else 0,
            probes=None if effort is None else effort.probes,
            recall=DEFAULT_RECALL if effort is not None else EXACT,
            bytes=size_on_disk(self._index_folder, manifest),
            built=datetime.fromtimestamp(manifest.built, UTC).isoformat(timespec="seconds"),
            seconds=manifest.seconds,
        )

    def drop_index(self) -> bool:
        """Delete the index of files. Returns whether there was one."""
        from lookalike.store.ivf.files import read_manifest
        from lookalike.store.lance.build_index import remove_index

        existed = read_manifest(self._index_folder) is not None
        remove_index(self._index_folder)
        return existed

    def passing_mask(self, index: VectorIndex, where: str) -> Mask:
        """Which rows of an index of this store meet a condition. Raises BadFilter."""
        dataset = self._rows.latest()
        sql = self._condition(dataset, where)
        assert sql is not None
        with engine(self.uri, where):
            if dataset.version != index.version:  # merged files have other row ids
                dataset = dataset.checkout_version(index.version)
            return index.mask_of_row_ids(lance_search.passing_rows(dataset, sql))

    def _bytes_per_row(self, dataset: "lance.LanceDataset", contents: IndexContents) -> float:
        """Estimate what a row takes in memory: again whenever the columns change or the rows have doubled."""
        state = (*contents.columns(dataset), dataset.count_rows().bit_length())
        if self._sampled is None or self._sampled[0] != state:
            self._sampled = state, bytes_per_row(self._dim, sample_payload(dataset, contents))
        return self._sampled[1]

    def _latest(self, columns: Sequence[str] | None) -> "tuple[lance.LanceDataset, list[str]]":
        dataset = self._rows.latest()
        return dataset, cols.select_columns(columns, self._types(dataset))

    def _types(self, dataset: "lance.LanceDataset") -> dict[str, type]:
        from lookalike.store.lance.arrow import types_of

        return types_of(dataset.schema, cols.ID)

    def _condition(self, dataset: "lance.LanceDataset", where: str | None) -> str | None:
        if where is None:
            return None
        return condition(where, {cols.ID: str, **self._types(dataset)}, backticks)

    def _propose(self, dataset: "lance.LanceDataset", sql: str | None, queries: int) -> lance_search.Propose:
        """Return the source of candidates: the vectors in memory, or all rows on disk."""
        if index := self._in_memory(dataset, queries):
            return lance_search.from_memory(index, self._mask(index, dataset, sql), EXACT)
        return lance_search.exactly(dataset, sql)

    def _mapped_index(
        self, dataset: "lance.LanceDataset", contents: IndexContents, max_bytes: int | None = None
    ) -> VectorIndex | None:
        """Return the index of files, with what was committed since in memory.

        None if there is none, or if so much was committed since that reading it would take more than `max_bytes`.
        """
        from lookalike.store.ivf.files import open_segments

        with self._refreshing:
            state = _manifest_state(self._index_folder)
            known = self._mapped.get(contents)
            if known is None or known.manifest_state != state:
                opened = None if state is None else open_segments(self._index_folder, self._dim)
                if state is not None and opened is None:
                    log.warning(
                        "the search index in %s is damaged or of another version, and is not used; "
                        "build it again with: lookalike optimize -c %s",
                        self._index_folder,
                        self.uri,
                    )
                known = _Mapped(None if opened is None else index_of_files(opened, contents), state)
            if (index := known.index) is not None and index.version != dataset.version:
                limit = self._memory_bytes if max_bytes is None else max_bytes
                added = new_rows(index, dataset)
                if added and added * self._bytes_per_row(dataset, contents) > limit:
                    return None
                known = _Mapped(refreshed(index, dataset, contents), state)
            self._mapped[contents] = known
            return known.index

    def _rows_of(self, dataset: "lance.LanceDataset", ids: Sequence[str], columns: list[str]) -> Any:
        """Read the rows of these ids: by the index, or by a scan of all ids."""
        if (index := self._mapped_index(dataset, _ALL)) is None:
            return dataset.to_table(columns=columns, filter=one_of(cols.ID, ids))
        positions = [index.position(image_id) for image_id in dict.fromkeys(ids)]
        known = np.array([position for position in positions if position is not None], np.int64)
        return dataset._take_rows(index.row_ids_at(known).tolist(), columns=columns)

    def _in_memory(self, dataset: "lance.LanceDataset", queries: int) -> VectorIndex | None:
        """Return the vectors of this version in memory, from the second search on and if they fit."""
        self._searches += 1
        full = self._full
        if full is not None and full.version == dataset.version:
            return full
        if self._searches == 1 and queries < MIN_QUERIES:
            return None
        if dataset.count_rows() * bytes_per_row(self._dim) > self._memory_bytes:
            self._half = None
            return None
        with self._refreshing:
            if self._half is None or self._half.version < dataset.version:
                self._half = refreshed(self._half, dataset, IndexContents())
            return self._half if self._half.version == dataset.version else None

    def _mask(self, index: VectorIndex, dataset: "lance.LanceDataset", sql: str | None) -> Mask | None:
        if sql is None:
            return None
        return index.cached_mask(sql, lambda: index.mask_of_row_ids(lance_search.passing_rows(dataset, sql)))

    def _update_index(self, tasks: TaskPool | None) -> None:
        """Build the index of files once there are enough rows; later, add the new rows to it."""
        from lookalike.store.ivf.files import read_manifest
        from lookalike.store.lance.build_index import remove_index, update_index

        dataset = self._rows.latest()
        with engine(self.uri):
            rows = dataset.count_rows()
        retained = rows >= max(1, self._index_rows // 2) and read_manifest(self._index_folder) is not None
        if rows < self._index_rows and not retained:
            remove_index(self._index_folder)
            return
        try:
            with engine(self.uri):
                runner = None if tasks is None else self._index_tasks(dataset, tasks)
                update_index(dataset, self._index_folder, self._dim, part_dims(self.settings), runner)
        except MemoryError as error:
            reason = "there is not enough memory to build its index"
            raise StoreFailed(reason, subject=self.uri, location=self.uri, hint="free some and try again") from error

    def _index_tasks(self, dataset: "lance.LanceDataset", tasks: TaskPool) -> "IndexTasks":
        from lookalike.store.lance.build_index import IndexTasks

        if tasks.is_local:
            return IndexTasks(tasks)
        return IndexTasks(tasks, DatasetVersion(self._rows.uri, int(dataset.version), self._rows.storage_options))


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """The index of a collection: how many of its images it covers, and what a search of ten hits does.

    `recall`: the share of them that it finds on average, by default, in `probes` of `lists`. `bytes`: on disk.
    `seconds`: what building it took.
    """

    folder: str
    indexed: int
    images: int
    lists: int
    probes: int | None
    recall: float
    bytes: int
    built: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Mapped:
    """An index of files as it was opened, None if there is none, and the state of its manifest then."""

    index: VectorIndex | None
    manifest_state: tuple[int, int] | None


def _manifest_state(folder: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder / "manifest.json")
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def index_folder(uri: str) -> Path:
    """The folder with the index of a collection: within it, or in the user's cache for one in an object store."""
    if not is_remote(uri):
        return Path(uri) / FOLDER
    from platformdirs import user_cache_dir

    cache = Path(user_cache_dir("lookalike", appauthor=False))
    return cache / FOLDER / hashlib.sha256(uri.encode()).hexdigest()[:16]


def part_dims(settings: Mapping[str, str]) -> tuple[int, ...]:
    """The dims of the parts of the model's vectors, by its card: queries may ask about one of them."""
    card = json.loads(settings.get(schema.CARD.name) or "{}")
    return tuple(int(part["dim"]) for part in card.get("parts", ()))


def _dim(dataset: "lance.LanceDataset") -> int:
    return int(dataset.schema.field(cols.VECTOR).type.list_size)
