"""Vectors of the pictures of a ground truth, by indexing's pipeline; kept in the run folder if there is one."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.errors import LookalikeError
from lookalike.image import Found
from lookalike.indexing.pipeline import default_workers, parallel
from lookalike.indexing.plan import FileJob
from lookalike.indexing.worker import EmbeddedFile, FileWorker
from lookalike.types import Card, Embedder, Failure, Vectors

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Embedded:
    """(n, dim) vectors, a row a picture asked for; zeros for each that `failed`, whose rows are `bad`. `reused`: how
    many came from the run folder."""

    vectors: Vectors
    bad: tuple[int, ...]
    failed: tuple[Failure, ...]
    reused: int = 0


def embed_pictures(
    pictures: Sequence[Found], embedder: Embedder, *, keep: Path | None = None, progress: Progress | None = None
) -> Embedded:
    """Embed picture files on all cores. `keep`: a folder where vectors stay for the next run, by model and file."""
    known = _Kept.open(keep, embedder.card)
    vectors = np.zeros((len(pictures), embedder.card.dim), np.float32)
    wanted = []
    for row, picture in enumerate(pictures):
        if (vector := known.vectors.get(_mark(picture))) is not None:
            vectors[row] = vector
        else:
            wanted.append(FileJob(picture, str(row)))
    failed: dict[int, Failure] = {}
    done = len(pictures) - len(wanted)
    with FileWorker(embedder) as worker:
        for outcomes in parallel(wanted, worker, workers=default_workers()):
            done += len(outcomes)
            if progress:
                progress(done, len(pictures))
            for outcome in outcomes:
                row = int(outcome.job.id)
                if isinstance(outcome, EmbeddedFile):
                    vectors[row] = outcome.vectors[0]
                    known.vectors[_mark(pictures[row])] = outcome.vectors[0]
                else:
                    failed[row] = Failure(pictures[row].path, getattr(outcome, "reason", "unknown"))
    if wanted:
        known.save()
    bad = tuple(sorted(failed))
    return Embedded(vectors, bad, tuple(failed[row] for row in bad), len(pictures) - len(wanted))


def _mark(picture: Found) -> str:
    """What a file must still be for its vector to be used again."""
    return f"{picture.path}|{picture.size}|{picture.mtime_ns}"


@dataclass(frozen=True, slots=True)
class _Kept:
    """Vectors of one model, in one file."""

    file: Path | None
    vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]

    @classmethod
    def open(cls, folder: Path | None, card: Card) -> "_Kept":
        if folder is None:
            return cls(None, {})
        # The same weights with another preprocessing give other vectors.
        model = hashlib.sha256(f"{card.sha256} {card.preprocessing} {card.dim}".encode()).hexdigest()[:16]
        file = folder / f"{model}.npz"
        try:
            with np.load(file, allow_pickle=False) as kept:
                return cls(file, dict(zip(kept["marks"].tolist(), kept["vectors"], strict=True)))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return cls(file, {})  # not there, or half-written: it is made again

    def save(self) -> None:
        if self.file is None or not self.vectors:
            return
        # Under another name first: a run killed here leaves the old file whole.
        draft = self.file.with_suffix(f".{os.getpid()}.npz")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(draft, marks=np.array(list(self.vectors)), vectors=np.stack(list(self.vectors.values())))
            draft.replace(self.file)
        except OSError as error:
            raise LookalikeError(f"{self.file} cannot be written ({error.strerror}); choose another -o") from None
