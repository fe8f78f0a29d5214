"""What reads and embeds the files of a sync: the threads of this process, or another engine (engine/)."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from lookalike.image import read, single_threaded_opencv
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.pipeline import batch_size, parallel
from lookalike.indexing.read_ahead import ReadAhead
from lookalike.indexing.worker import FileWorker, Outcome
from lookalike.tasks import TaskPool


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """Images that a worker wrote to the store itself, in files that are not committed yet (`store.append_files`).

    `files`: their description. `images`, `plain`: how many, and how many of them are plain.
    """

    files: str
    paths: Sequence[str]
    images: int
    plain: int


@dataclass(frozen=True, slots=True)
class FinishedBatch:
    """Files that were worked on: the outcomes that the sync has to apply, and what is written already."""

    outcomes: Sequence[Outcome]
    written: WrittenRows | None = None

    def __len__(self) -> int:
        return len(self.outcomes) + (0 if self.written is None else len(self.written.paths))


class Engine(Protocol):
    """Works on the files of a sync. A new one is one file: these methods."""

    def run(
        self, jobs: Iterator[FileJob], count: int, worker: FileWorker, stop: threading.Event
    ) -> Iterator[FinishedBatch]:
        """Work on `count` jobs and yield them as they finish, in any order.

        When `stop` is set, what is being worked on is finished and yielded, and nothing new starts.
        """
        ...

    def tasks(self) -> AbstractContextManager[TaskPool | None]:
        """Yield what optimizes a large store at the end; None: this process."""
        ...

    def for_collection(self, uri: str) -> "Engine":
        """Return the same engine for another collection."""
        ...


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Threads of this process, one for each core (pipeline.py)."""

    workers: int

    def run(
        self, jobs: Iterator[FileJob], count: int, worker: FileWorker, stop: threading.Event
    ) -> Iterator[FinishedBatch]:
        """See `Engine`."""
        with single_threaded_opencv(), ReadAhead(partial(read, limits=worker.limits)) as ahead:
            batch = batch_size(count, self.workers, worker.batch)
            for outcomes in parallel(ahead.jobs(jobs), worker, workers=self.workers, batch=batch, stop=stop):
                yield FinishedBatch(outcomes)

    def tasks(self) -> AbstractContextManager[TaskPool | None]:
        """See `Engine`."""
        return nullcontext()

    def for_collection(self, uri: str) -> "LocalEngine":
        """See `Engine`."""
        return self
