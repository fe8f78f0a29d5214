"""Build and extend the mapped index of a Lance data set: passes over its rows, in memory that does not grow with them.

All rows are indexed at first. Rows that come later are a segment of their own, in the same lists, until they are half
as many as the others or half of a segment was deleted: then all is built again, since the centroids were trained on
other rows.
"""

import logging
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image import single_threaded_blas
from lookalike.similarity import is_damaged
from lookalike.store.columns import ID, VECTOR
from lookalike.store.ivf import files
from lookalike.store.ivf.available_memory import available_memory
from lookalike.store.ivf.centroids import SAMPLE_PER_LIST, Centroids, list_count
from lookalike.store.ivf.lists import InvertedLists, write_lists
from lookalike.store.ivf.recall import RecallTable, measure
from lookalike.store.ivf.row_encoder import ENCODED_ROWS, RowBlock, RowEncoder, encode_block
from lookalike.store.ivf.vector_file import VECTORS, VectorFile, write_header
from lookalike.store.lance.arrow import types_of, vectors_out
from lookalike.store.lance.dataset_version import DatasetVersion
from lookalike.store.lance.refresh import IndexState, scan_fragments, stored_fragments
from lookalike.store.vector_storage import Mask
from lookalike.tasks import LocalTasks, TaskPool
from lookalike.text import counted
from lookalike.types import Vectors

if TYPE_CHECKING:
    import lance

MIN_ADDED_ROWS = 4096  # fewer new rows are read from Lance by each process that searches
MAX_ADDED = 0.5  # more new rows than this share of those indexed: build again
MIN_LIVING = 0.5  # a segment with a smaller share of its rows left is not retained
SECONDS_PER_NUMBER = 3e-7  # of building, on two cores: 80 s for 1,000,000 x 256
MAX_SEGMENTS = 8  # more are written as one
TRAINING_COPIES = 3  # of the sample in memory: as read, rotated, and in k-means
MIN_SAMPLE, MIN_SAMPLE_PER_LIST = 4096, 16  # rows to train on, however short memory is
_RECORD_ROWS = 16_384


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexTasks:
    """Encodes the rows of an index by tasks: of this machine, which has the vectors in a file, or of others, which read
    their blocks of `version` themselves.
    """

    tasks: TaskPool
    version: DatasetVersion | None = None

    def write_lists(
        self, path: Path, dataset: "lance.LanceDataset", fragments: Sequence[int], centroids: Centroids
    ) -> None:
        """Write the inverted lists of a segment in `path`, whose vectors are there."""
        vectors = VectorFile(path / VECTORS)
        remote = None if self.version is None else _FragmentReader(self.version, centroids.dim)
        blocks = list(_blocks([(n, dataset.get_fragment(n).count_rows()) for n in fragments]))
        with single_threaded_blas():
            encoded = self.tasks.map(encode_block, blocks, (remote or vectors, RowEncoder(centroids)))
            write_lists(path, encoded, len(vectors), centroids)


@dataclass(frozen=True)
class _FragmentReader:
    """Reads vectors from the data set. See `RowSource`."""

    version: DatasetVersion
    dim: int

    def read(self, block: RowBlock) -> Vectors:
        dataset = self.version.dataset
        scanner = dataset.scanner(
            columns=[VECTOR],
            fragments=[dataset.get_fragment(block.fragment)],
            offset=block.offset,
            limit=block.rows,
            batch_size=block.rows,
            scan_in_order=True,
        )
        return np.concatenate([_sound(batch, self.dim)[0] for batch in scanner.to_batches()])


def _blocks(fragments: Iterable[tuple[int, int]]) -> Iterator[RowBlock]:
    """The blocks of fragments, given with their rows. They are the same wherever they are encoded."""
    start = 0
    for fragment, rows in fragments:
        for offset in range(0, rows, ENCODED_ROWS):
            yield RowBlock(start + offset, min(ENCODED_ROWS, rows - offset), fragment, offset)
        start += rows


def update_index(
    dataset: "lance.LanceDataset", folder: Path, dim: int, parts: Sequence[int], runner: IndexTasks | None = None
) -> bool:
    """Build the index, extend it, or leave it as it is; False if another process does it at the moment.

    `runner`: what encodes the rows, by default this machine. Raises OSError; the index of before is then still there.
    """
    runner = runner or IndexTasks(LocalTasks())
    with files.building(folder) as alone:
        if not alone:
            return False
        opened = files.open_segments(folder, dim)
        manifest = None if opened is None else opened[0]
        files.clean(folder, manifest)
        state = IndexState.of(dataset)
        if manifest is None or _is_outdated(dataset, manifest, state, parts):
            manifest = _build(dataset, folder, parts, state, runner)
        else:
            manifest = _extend(dataset, folder, manifest, state, runner)
        if manifest is not None:
            files.publish(folder, manifest)
        return True


def _is_outdated(
    dataset: "lance.LanceDataset", manifest: files.Manifest, state: IndexState, parts: Sequence[int]
) -> bool:
    """Whether the centroids no longer fit: other parts, too many rows that came later, too few that are left."""
    first, *others = manifest.segments
    living = [_living(dataset, segment, state) for segment in manifest.segments]
    later = dataset.count_rows() - sum(living) + sum(segment.rows for segment in others)
    parts_changed = manifest.recalls.parts != tuple(parts)
    return parts_changed or later > MAX_ADDED * first.rows or living[0] < MIN_LIVING * first.rows


def _living(dataset: "lance.LanceDataset", segment: files.SegmentEntry, state: IndexState) -> int:
    """Rows of a segment that are still rows of the data set."""
    return _count(dataset, _current(segment, state))


def _current(segment: files.SegmentEntry, state: IndexState) -> set[int]:
    """The fragments of a segment whose vectors are as they were."""
    return state.same_vectors(stored_fragments(segment.fragments))


def _count(dataset: "lance.LanceDataset", fragments: Iterable[int]) -> int:
    return sum(dataset.get_fragment(n).count_rows() for n in fragments)


def _extend(
    dataset: "lance.LanceDataset", folder: Path, manifest: files.Manifest, state: IndexState, runner: IndexTasks
) -> files.Manifest | None:
    """Write new rows as a segment, with those of small and of mostly deleted segments; None if there are none."""
    first, *others = manifest.segments
    retained = [s for s in others if _living(dataset, s, state) >= max(1, MIN_LIVING * s.rows)]
    new = state.fragments.keys() - {n for s in (first, *retained) for n in _current(s, state)}
    rows = _count(dataset, new)
    if rows < MIN_ADDED_ROWS and len(retained) == len(others):
        return None
    # As in a log-structured merge tree: no segment is smaller than what came after it.
    while retained and (retained[-1].rows <= rows or len(retained) >= MAX_SEGMENTS):
        new |= _current(retained.pop(), state)
        rows = _count(dataset, new)
    segments = [first, *retained]
    if rows >= MIN_ADDED_ROWS:
        log.info("adding %s images to the search index", f"{rows:,}")
        with files.new_folder(folder, "segment") as path:
            centroids = Centroids.load(folder / manifest.centroids)
            alive = _write_rows(dataset, path, sorted(new), centroids.dim)
            runner.write_lists(path, dataset, sorted(new), centroids)
            segments.append(_entry(path, len(alive), sorted(new), state))
    return replace(manifest, segments=tuple(segments), built=time.time())


def _build(
    dataset: "lance.LanceDataset", folder: Path, parts: Sequence[int], state: IndexState, runner: IndexTasks
) -> files.Manifest:
    rows, dim = dataset.count_rows(), int(dataset.schema.field(VECTOR).type.list_size)
    minutes = math.ceil(rows * dim * SECONDS_PER_NUMBER / 60)
    log.info("building the search index of %s images, about %s", f"{rows:,}", counted(minutes, "minute"))
    started = time.monotonic()
    with files.new_folder(folder, "centroids") as centroids_path, files.new_folder(folder, "segment") as path:
        alive = _write_rows(dataset, path, sorted(state.fragments), dim)
        vectors = VectorFile(path / VECTORS)
        centroids = _trained(vectors)
        centroids.save(centroids_path)
        runner.write_lists(path, dataset, sorted(state.fragments), centroids)
        recalls = measure(InvertedLists(path, centroids, RecallTable(())), vectors, alive, parts)
    entry = _entry(path, len(alive), sorted(state.fragments), state)
    seconds = round(time.monotonic() - started, 1)
    return files.Manifest(dim, centroids_path.name, recalls, (entry,), seconds=seconds)


def _entry(path: Path, rows: int, fragments: Sequence[int], state: IndexState) -> files.SegmentEntry:
    return files.SegmentEntry(path.name, rows, {n: state.fragments[n]._asdict() for n in fragments}, state.columns)


def _trained(vectors: VectorFile) -> Centroids:
    """Train the centroids on a sample: a smaller one, and fewer of them, if memory is short."""
    lists = list_count(len(vectors))
    count = min(len(vectors), lists * SAMPLE_PER_LIST)
    affordable = available_memory() // (2 * TRAINING_COPIES * vectors.shape[1] * np.dtype(np.float32).itemsize)
    if affordable < count:
        smaller = max(MIN_SAMPLE, affordable)
        log.warning(
            "memory is short: the search index is trained on %s images instead of %s; searches may take longer",
            f"{min(smaller, count):,}",
            f"{count:,}",
        )
        count = min(count, smaller)
        lists = max(1, min(lists, count // MIN_SAMPLE_PER_LIST))
    rows = np.sort(np.random.default_rng(0).choice(len(vectors), count, replace=False))
    return Centroids.train(vectors.take(rows), lists)


def _write_rows(dataset: "lance.LanceDataset", path: Path, fragments: Sequence[int], dim: int) -> NDArray[np.bool_]:
    """Write vectors, row ids, ids and metadata of fragments in the order of their row ids. Returns which are sound."""
    import pyarrow as pa

    path.mkdir()
    parts = [dataset.get_fragment(n) for n in fragments]
    rows = sum(part.count_rows() for part in parts)
    row_ids, alive = np.empty(rows, np.int64), np.empty(rows, np.bool_)
    names = [ID, *(name for name, kind in types_of(dataset.schema, ID).items() if kind is not bytes)]
    schema = pa.schema([dataset.schema.field(name) for name in names])
    start = 0
    with (
        pa.OSFile(str(path / "payload.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
        open(path / VECTORS, "wb") as vectors,
    ):
        write_header(vectors, rows, dim)
        for fragment in parts:
            payload = []
            for batch in scan_fragments(dataset, [fragment], [VECTOR, *names]):
                stop = start + len(batch)
                block, damaged = _sound(batch, dim)
                vectors.write(block.tobytes())
                row_ids[start:stop] = batch["_rowid"].to_numpy().astype(np.int64)
                alive[start:stop] = ~damaged
                payload.append(batch.select(names))
                start = stop
            writer.write_table(pa.Table.from_batches(payload, schema).combine_chunks(), _RECORD_ROWS)
    if (np.diff(row_ids) <= 0).any():
        raise OSError("the rows were not read in the order of their row ids")
    np.save(path / "row_ids.npy", row_ids)
    np.save(path / "alive.npy", alive)
    np.save(path / "by_id.npy", _by_id(path))
    return alive


def _sound(batch: Any, dim: int) -> tuple[Vectors, Mask]:
    """The vectors of a batch, damaged ones as zeros, and which are damaged."""
    block = vectors_out(batch[VECTOR], dim)
    damaged = is_damaged(block)
    return np.where(damaged[:, None], np.float32(0), block), damaged


def _by_id(path: Path) -> NDArray[np.integer[Any]]:
    """Positions of all rows by id: by its UTF-8 bytes, which is the order of Python's texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with pa.ipc.open_file(pa.memory_map(str(path / "payload.arrow"))) as file:
        ids = pa.chunked_array([file.get_batch(n)[ID] for n in range(file.num_record_batches)], pa.string())
    order: NDArray[np.integer[Any]] = pc.sort_indices(ids).to_numpy()
    return order.astype(np.uint32 if len(order) < 2**32 else np.int64)


def remove_index(folder: Path) -> None:
    """Delete the index."""
    shutil.rmtree(folder, ignore_errors=True)
