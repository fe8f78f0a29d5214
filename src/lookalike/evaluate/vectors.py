"""Embed the images of a ground truth with the indexing pipeline, with an optional cache in the run folder."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.errors import LookalikeError
from lookalike.image import SourceFile
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.pipeline import default_workers, parallel
from lookalike.indexing.worker import EmbeddedFile, FileWorker
from lookalike.types import Card, Embedder, Failure, Vectors

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Embedded:
    """(n, dim) vectors, one row per requested image; zeros for images that `failed`, whose rows are `bad`."""

    vectors: Vectors
    bad: tuple[int, ...]
    failed: tuple[Failure, ...]


def embed_files(
    files: Sequence[SourceFile], embedder: Embedder, *, keep: Path | None = None, progress: Progress | None = None
) -> Embedded:
    """Embed image files on all cores. `keep`: a folder that caches vectors for the next run, by model and file."""
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
    with FileWorker(embedder) as intake:
        for outcomes in parallel(missing, intake, workers=default_workers()):
            done += len(outcomes)
            if progress:
                progress(done, len(files))
            for outcome in outcomes:
                row = int(outcome.job.id)
                if isinstance(outcome, EmbeddedFile):
                    vectors[row] = outcome.vectors[0]
                    cache.vectors[_file_key(files[row])] = outcome.vectors[0]
                else:
                    failed[row] = Failure(files[row].path, getattr(outcome, "reason", "unknown"))
    if missing:
        cache.save()
    bad = tuple(sorted(failed))
    return Embedded(vectors, bad, tuple(failed[row] for row in bad))


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
