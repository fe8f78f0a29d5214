"""Give the images of a collection vectors of another model: those that have none of it, or one of other content."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lookalike._version import __version__
from lookalike.image import SourceFile
from lookalike.image.sources.files import is_present
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.plan import FAILURES, SyncPlan
from lookalike.indexing.sync import SyncOptions, execute
from lookalike.indexing.worker import FileWorker
from lookalike.store import begin_append
from lookalike.types import AddReport, Metadata, Scalar, Store

_COLUMNS = ("id", "path", "root", "size", "mtime_ns", "sha256", "frame", "frames")
_DELETED_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class _Contents:
    """Which images a store has: hashes of their ids, and of their ids with the hash of their content, sorted."""

    ids: NDArray[np.int64]
    versions: NDArray[np.int64]

    @classmethod
    def of(cls, store: Store) -> "_Contents":
        parts = list(store.scan(["id", "sha256"]))
        ids = [_hashes(part["id"]) for part in parts]
        versions = [_hashes(part["id"], part["sha256"]) for part in parts]
        none = np.empty(0, np.int64)
        return cls(np.sort(np.concatenate([none, *ids])), np.sort(np.concatenate([none, *versions])))


def embed_again(
    images: Store, vectors: Store, worker: FileWorker, options: SyncOptions, *, folder: str | None = None
) -> AddReport:
    """Embed the files of all images that have no vector in `vectors`, or one of other content.

    Vectors of other content, and those of images that are gone, are removed first, so that no search ever finds an
    image by what it showed before. Files whose folder or drive is missing are left for the next call, as are those that
    were changed since they were indexed. Closes `worker`. `folder`: see `sync`.
    """
    started_at = time.monotonic()
    if options.engine is not None:
        begin_append(vectors)
    plan, removed = SyncPlan(), _remove_outdated(images, vectors)
    failures = {str(row["path"]): row for row in vectors.table(FAILURES).all()}
    plan.failures = set(failures)
    for job in _missing(images, _Contents.of(vectors)):
        if not _failed_before(job.file, failures.get(job.file.path)):
            plan.jobs.append(job)
    report = execute(
        vectors, replace(worker, with_thumbnails=False, photo_columns=frozenset()), plan, options, folder=folder
    )
    report.removed += removed
    report.seconds = time.monotonic() - started_at
    return report


def _missing(images: Store, known: _Contents) -> Iterator[FileJob]:
    """Yield each file with an image that is not known, or has other content than when it was embedded."""
    present = cache(is_present)
    names = [name for name in _COLUMNS if name == "id" or name in images.columns()]
    queued: set[str] = set()  # of files with several frames, which have several rows
    for part in images.scan(names):
        unknown = ~_contains(known.versions, _hashes(part["id"], part["sha256"]))
        for row in np.flatnonzero(unknown).tolist():
            facts = {name: part[name][row] for name in names}
            if not facts["path"] or (facts["root"] and not present(facts["root"])):
                continue
            base = _base_id(facts)
            if int(facts["frames"] or 1) > 1:
                if base in queued:
                    continue
                queued.add(base)
            is_new = not _contains(known.ids, _hashes(np.array([base], object)))[0]
            yield FileJob(_file(facts), base, None, is_new, sha256=str(facts["sha256"] or ""))


def _base_id(facts: Metadata) -> str:
    """Return the id of the first frame of a row's file."""
    image_id, frame = str(facts["id"]), int(facts["frame"] or 0)
    return image_id.removesuffix(f"#{frame}") if frame else image_id


def _file(facts: Metadata) -> SourceFile:
    size, mtime_ns = int(facts["size"] or 0), int(facts["mtime_ns"] or 0)
    return SourceFile(str(facts["path"]), str(facts["root"] or ""), str(facts["id"]), size, mtime_ns)


def _failed_before(file: SourceFile, failure: Metadata | None) -> bool:
    if failure is None or failure["retry"] or failure["version"] != __version__:
        return False
    return (failure["size"], failure["mtime_ns"]) == (file.size, file.mtime_ns)


def _remove_outdated(images: Store, vectors: Store) -> int:
    """Remove the vectors of images that are gone or have other content. Returns how many images are gone."""
    known = _Contents.of(images)
    outdated: list[str] = []
    gone = 0
    for part in vectors.scan(["id", "sha256"]):
        wrong = ~_contains(known.versions, _hashes(part["id"], part["sha256"]))
        outdated += map(str, part["id"][wrong])
        gone += int((~_contains(known.ids, _hashes(part["id"]))).sum())
    for start in range(0, len(outdated), _DELETED_TOGETHER):
        vectors.delete(outdated[start : start + _DELETED_TOGETHER])
    return gone


def _hashes(*columns: NDArray[np.object_] | Sequence[Scalar]) -> NDArray[np.int64]:
    return np.fromiter((hash(values) for values in zip(*columns, strict=True)), np.int64, len(columns[0]))


def _contains(ordered: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values are among those of a sorted array."""
    if not len(ordered):
        return np.zeros(len(values), np.bool_)
    return np.asarray(ordered[np.searchsorted(ordered, values).clip(max=len(ordered) - 1)] == values)
