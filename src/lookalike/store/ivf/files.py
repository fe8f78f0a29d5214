"""The index of a collection on disk: segments that are mapped, what each covers, and which of them are current.

    vector_index/manifest.json     which segments there are, what rows they cover, the recall that was measured
                 centroids-X/      rotation.npy, centroids.npy
                 segment-X/        vectors.npy, row_ids.npy, alive.npy, payload.arrow, by_id.npy,
                                   lists.bin, sizes.npy, list_of.npy

The manifest is replaced in one step after all that it names was written, so a reader sees a whole index or the one of
before. The index is a cache of what Lance holds: a missing, cut or foreign one is passed over, and rows that are newer
than it are read from Lance.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.file_lock import try_lock
from lookalike.store.columns import ID
from lookalike.store.ivf.centroids import Centroids
from lookalike.store.ivf.lists import InvertedLists
from lookalike.store.ivf.recall import RecallTable
from lookalike.store.payload import MappedPayload
from lookalike.store.segment import Segment
from lookalike.store.vector_storage import SingleVectors, load_faiss

FOLDER = "vector_index"
FORMAT = 1
_MANIFEST = "manifest.json"
_READ_AGAIN = 3  # a segment may be replaced between reading the manifest and opening it
_DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError)  # what reading a damaged index raises


@dataclass(frozen=True)
class SegmentEntry:
    """A segment that the manifest names: its folder, its rows, the state of each fragment that it covers, and Lance's
    number of each column.
    """

    folder: str
    rows: int
    fragments: Mapping[int, Any]
    columns: Mapping[str, int]


@dataclass(frozen=True)
class Manifest:
    """What an index consists of."""

    dim: int
    centroids: str
    recalls: RecallTable
    segments: tuple[SegmentEntry, ...] = ()
    built: float = field(default_factory=time.time)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "engine": engine_version(),
            "dim": self.dim,
            "centroids": self.centroids,
            "recall": self.recalls.to_json(),
            "segments": [asdict(s) for s in self.segments],
            "built": self.built,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, data: Any) -> "Manifest":
        """Raises KeyError, TypeError, ValueError."""
        if (data["format"], data["engine"]) != (FORMAT, engine_version()):
            raise ValueError(f"format {data['format']} by {data['engine']}")
        segments = tuple(
            SegmentEntry(s["folder"], s["rows"], {int(n): f for n, f in s["fragments"].items()}, s["columns"])
            for s in data["segments"]
        )
        if not segments:
            raise ValueError("no segments")
        recalls = RecallTable.from_json(data["recall"])
        return cls(data["dim"], data["centroids"], recalls, segments, data["built"], data["seconds"])


def engine_version() -> str:
    """FAISS and its version: another one may arrange the blocks of codes in another way."""
    return f"faiss {load_faiss().__version__}"


def read_manifest(folder: Path) -> Manifest | None:
    """Return what the index consists of; None if there is none, or one of another format."""
    try:
        return Manifest.from_json(json.loads((folder / _MANIFEST).read_text("utf-8")))
    except _DAMAGED:
        return None


def open_segments(folder: Path, dim: int) -> tuple[Manifest, list[Segment]] | None:
    """Map the current segments; None if there is no index of vectors (n, dim), or it is damaged."""
    for _ in range(_READ_AGAIN):
        manifest = read_manifest(folder)
        if manifest is None or manifest.dim != dim:
            return None
        try:
            centroids = Centroids.load(folder / manifest.centroids)
            return manifest, [_open_segment(folder / s.folder, s.rows, centroids, manifest) for s in manifest.segments]
        except _DAMAGED:
            continue
    return None


def _open_segment(folder: Path, rows: int, centroids: Centroids, manifest: Manifest) -> Segment:
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    row_ids = np.load(folder / "row_ids.npy", mmap_mode="r")
    alive = np.load(folder / "alive.npy")
    payload = _open_payload(folder)
    lists = InvertedLists(folder, centroids, manifest.recalls)
    shapes = {len(vectors), len(row_ids), len(alive), len(payload), len(lists), len(lists.list_of), rows}
    if len(shapes) != 1 or vectors.shape[1] != manifest.dim:
        raise ValueError(f"{folder} does not have the rows that the manifest says")
    return Segment(SingleVectors(vectors), row_ids, alive, payload, lists=lists)


def _open_payload(folder: Path) -> MappedPayload:
    import pyarrow as pa

    with pa.ipc.open_file(pa.memory_map(str(folder / "payload.arrow"))) as file:
        batches = [file.get_batch(n) for n in range(file.num_record_batches)]
    return MappedPayload.of(batches, np.load(folder / "by_id.npy", mmap_mode="r"), ID)


def publish(folder: Path, manifest: Manifest) -> None:
    """Make this the current index, and remove what no longer belongs to it."""
    temporary = folder / f"{_MANIFEST}.{uuid.uuid4().hex}"
    temporary.write_text(json.dumps(manifest.to_json()), "utf-8")
    os.replace(temporary, folder / _MANIFEST)
    clean(folder, manifest)


def clean(folder: Path, manifest: Manifest | None) -> None:
    """Remove what the manifest does not name: replaced segments, and what a killed process left behind."""
    current = {_MANIFEST, _LOCK} | ({manifest.centroids, *(s.folder for s in manifest.segments)} if manifest else set())
    for path in folder.iterdir():
        if path.name not in current:
            with suppress(OSError):  # a system that does not remove mapped files: the next time
                shutil.rmtree(path) if path.is_dir() else path.unlink()


_LOCK = "lock"


@contextmanager
def building(folder: Path) -> Iterator[bool]:
    """Hold the lock of the index; yields False if another process builds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _LOCK, "ab") as file:
        yield try_lock(file) is not False


@contextmanager
def new_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """A name within the index for a folder to be written; removed if the block fails."""
    path = folder / f"{prefix}-{uuid.uuid4().hex}"
    try:
        yield path
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(path)
        raise


def size_on_disk(folder: Path, manifest: Manifest) -> int:
    """Bytes of the files of an index."""
    names: Sequence[str] = [manifest.centroids, *(s.folder for s in manifest.segments)]
    return sum(path.stat().st_size for name in names for path in (folder / name).iterdir())
