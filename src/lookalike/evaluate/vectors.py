"""Embed the images of a ground truth with the indexing pipeline, with an optional cache in the run folder."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import LookalikeError
from lookalike.image import SourceFile, single_threaded_opencv
from lookalike.image.sources.files import is_remote
from lookalike.image.sources.path_text import to_path
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.pipeline import BATCH
from lookalike.indexing.worker import EmbeddedFile, FileWorker
from lookalike.tasks import LocalTasks, TaskPool, check_visible
from lookalike.types import Card, Embedder, Failure, Vectors

Progress = Callable[[int, int], None]
MAX_TASK = 64  # files of a task of another machine, a multiple of BATCH


@dataclass(frozen=True, slots=True)
class Embedded:
    """(n, dim) vectors, one row per requested image; zeros for images that `failed`, whose rows are `bad`."""

    vectors: Vectors
    bad: tuple[int, ...]
    failed: tuple[Failure, ...]


def embed_files(
    files: Sequence[SourceFile],
    embedder: Embedder,
    *,
    keep: Path | None = None,
    progress: Progress | None = None,
    tasks: TaskPool | None = None,
) -> Embedded:
    """Embed image files on all cores. `keep`: a folder that caches vectors for the next run, by model and file.

    `tasks`: what embeds them, by default this machine. Raises LookalikeError if another machine cannot read a folder.
    """
    cache = _VectorCache.open(keep, embedder.card)
    vectors = np.zeros((len(files), embedder.card.dim), np.float32)
    missing = []
    for row, file in enumerate(files):
        if (vector := cache.vectors.get(_file_key(file))) is not None:
            vectors[row] = vector
        else:
            missing.append(FileJob(file, str(row)))
    failed: dict[int, Failure] = {}
    done = len(files) - len(missing)
    for part in _embedded_parts(missing, embedder, tasks or LocalTasks()):
        done += len(part)
        if progress:
            progress(done, len(files))
        for row, vector, reason in part:
            if vector is None:
                failed[row] = Failure(files[row].path, reason)
            else:
                vectors[row] = cache.vectors[_file_key(files[row])] = vector
    if missing:
        cache.save()
    bad = tuple(sorted(failed))
    return Embedded(vectors, bad, tuple(failed[row] for row in bad))


EmbeddedRow: TypeAlias = tuple[int, NDArray[np.float32] | None, str]
"""The row of an image, and its vector or the reason why there is none."""


def _embedded_parts(jobs: Sequence[FileJob], embedder: Embedder, tasks: TaskPool) -> Iterator[list[EmbeddedRow]]:
    """Embed files in batches of BATCH, whatever the tasks are, so that the vectors are the same."""
    size = BATCH if tasks.is_local else BATCH * max(1, min(MAX_TASK, len(jobs) // (4 * tasks.workers)) // BATCH)
    parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    folders = visible_folders([job.file for job in jobs], tasks)
    work = _EmbedFiles(embedder, folders)
    with single_threaded_opencv():
        try:
            yield from tasks.map(_embed_part, parts, work)
        finally:
            work.close()


def visible_folders(files: Iterable[SourceFile], tasks: TaskPool) -> frozenset[str]:
    """Return the folders of files that this machine can read, if tasks run on others, which must read them too."""
    return frozenset() if tasks.is_local else frozenset(filter(os.path.isdir, map(folder_of, files)))


def folder_of(file: SourceFile) -> str:
    """Return the folder of a file or of its archive; "" for a remote one."""
    return "" if is_remote(file.path) else os.path.dirname(to_path(file.path.split("!/")[0]))


class _EmbedFiles:
    """What tasks share: the model. `folders`: with images, each of which this machine can read."""

    def __init__(self, embedder: Embedder, folders: frozenset[str]) -> None:
        self._embedder, self._folders = embedder, folders
        self._worker = FileWorker(embedder)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._embedder, self._folders)

    def embed(self, jobs: Sequence[FileJob]) -> list[EmbeddedRow]:
        check_visible(self._folders & {folder_of(job.file) for job in jobs})
        rows: list[EmbeddedRow] = []
        for start in range(0, len(jobs), BATCH):
            for outcome in self._worker(jobs[start : start + BATCH]):
                vector = outcome.vectors[0] if isinstance(outcome, EmbeddedFile) else None
                rows.append((int(outcome.job.id), vector, getattr(outcome, "reason", "unknown")))
        return rows

    def close(self) -> None:
        self._worker.close()


def _embed_part(work: _EmbedFiles, jobs: Sequence[FileJob]) -> list[EmbeddedRow]:
    """Embed some files: a task."""
    return work.embed(jobs)


def _file_key(file: SourceFile) -> str:
    """The key under which a file's vector is cached: it changes with the file."""
    return f"{file.path}|{file.size}|{file.mtime_ns}"


@dataclass(frozen=True, slots=True)
class _VectorCache:
    """Vectors of one model, cached in one file."""

    file: Path | None
    vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]

    @classmethod
    def open(cls, folder: Path | None, card: Card) -> "_VectorCache":
        if folder is None:
            return cls(None, {})
        # The same weights give other vectors with another preprocessing.
        model = hashlib.sha256(f"{card.sha256} {card.preprocessing} {card.dim}".encode()).hexdigest()[:16]
        file = folder / f"{model}.npz"
        try:
            with np.load(file, allow_pickle=False) as saved:
                return cls(file, dict(zip(saved["marks"].tolist(), saved["vectors"], strict=True)))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return cls(file, {})  # missing or incomplete: it will be written again

    def save(self) -> None:
        if self.file is None or not self.vectors:
            return
        # Written under another name first: a run killed here leaves the old file intact.
        temporary = self.file.with_suffix(f".{os.getpid()}.npz")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(temporary, marks=np.array(list(self.vectors)), vectors=np.stack(list(self.vectors.values())))
            temporary.replace(self.file)
        except OSError as error:
            raise LookalikeError(
                f"{self.file} cannot be written ({error.strerror}); choose another folder with -o"
            ) from None
