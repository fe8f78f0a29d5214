"""Files are read and embedded by the workers of a Ray cluster, which write their rows to the store themselves.

The driver plans, hands out batches of file names, and commits what workers have written: no image and no vector passes
through it, but those of files that were indexed before. Ray schedules, moves data and starts workers again.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from lookalike.embed.devices import AUTO, CPU, DEVICE_VARIABLE
from lookalike.engine.cluster import cause_of, connected, no_room
from lookalike.engine.ray_tasks import RayTasks
from lookalike.errors import LookalikeError
from lookalike.image import Limits, absolute_text
from lookalike.indexing.engine import FinishedBatch, LocalEngine, WrittenRows
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.rows import rows_of
from lookalike.indexing.worker import EmbeddedFile, FailedFile, FileWorker, Outcome
from lookalike.store import open_store, write_rows
from lookalike.types import Embedder, Store

BATCH = 256  # files: a file of the data set has as many rows
IN_WORK = 2  # batches a worker works on: one is embedded while the other is read or written
AHEAD = 3  # batches a worker has
TRIES = 3  # of a batch whose worker ended; then its files are worked on one by one
POLL_SECONDS = 0.5
START_SECONDS = 300.0  # without any worker
MAX_FAILED_STARTS = 20


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker needs besides the model: `uri` of the collection, and how files are read (see `FileWorker`).

    `device`: what $LOOKALIKE_DEVICE is there.
    """

    uri: str
    limits: Limits
    frames: int
    paths_by_hash: Mapping[str, Sequence[str]] = field(default_factory=dict)
    threads: int = 1
    device: str = CPU
    with_thumbnails: bool = True
    photo_columns: frozenset[str] = frozenset()


class _Worker:
    """Runs in a process of the cluster, and keeps the model between batches."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        os.environ[DEVICE_VARIABLE] = spec.device  # before the model arrives, which opens on it

    def ready(self, embedder: Embedder) -> None:
        """Open the collection. Here rather than above: what this raises arrives as it is."""
        spec = self._spec
        self._store = open_store(spec.uri)
        self._worker = FileWorker(
            embedder,
            spec.limits,
            spec.frames,
            spec.paths_by_hash,
            with_thumbnails=spec.with_thumbnails,
            photo_columns=spec.photo_columns,
        )

    def run(self, jobs: list[FileJob]) -> FinishedBatch:
        engine, outcomes = LocalEngine(self._spec.threads), list[Outcome]()
        for batch in engine.run(iter(jobs), len(jobs), self._worker, threading.Event()):
            outcomes += batch.outcomes
        return written(self._store, outcomes)


def written(store: Store, outcomes: Sequence[Outcome]) -> FinishedBatch:
    """Write the rows of new files, without committing them. The other outcomes stay as they are."""
    new: list[EmbeddedFile] = []
    rest: list[Outcome] = []
    for outcome in outcomes:
        if isinstance(outcome, EmbeddedFile) and outcome.job.new_id:
            new.append(outcome)
        else:
            rest.append(outcome)
    if not new:
        return FinishedBatch(outcomes)
    rows = [rows_of(file) for file in new]
    ids, columns = ([one for part in parts for one in part] for parts in zip(*rows, strict=True))
    files = write_rows(store, ids, np.concatenate([file.vectors for file in new]), columns)
    if files is None:
        return FinishedBatch(outcomes)
    paths = [file.job.file.path for file in new]
    return FinishedBatch(rest, WrittenRows(files, paths, len(ids), sum(bool(one["plain"]) for one in columns)))


@dataclass(frozen=True, slots=True)
class RayEngine:
    """See `Engine`. `uri`: of the collection, which all workers must reach. `address`: see `cluster.connected`.

    `workers`: processes, by default one for each core of the cluster; each has `threads` cores and `gpus`. `device`:
    what runs the model there (see `get_embedder`); "auto" is the CPU for workers without a GPU of their own.
    """

    uri: str
    address: str = "auto"
    workers: int | None = None
    threads: int = 1
    gpus: float = 0.0
    batch: int = BATCH
    device: str = AUTO

    @property
    def worker_device(self) -> str:
        """The device of a worker: a worker without a GPU of its own must not take one of the others'."""
        return CPU if self.device == AUTO and not self.gpus else self.device

    def run(
        self, jobs: Iterator[FileJob], count: int, worker: FileWorker, stop: threading.Event
    ) -> Iterator[FinishedBatch]:
        """See `Engine`. Raises LookalikeError if no worker can be started."""
        if not count:
            return
        if self.uri.startswith("memory:"):
            raise LookalikeError(
                "a collection in memory cannot be reached by other processes; name a folder or a bucket"
            )
        spec = WorkerSpec(
            self.uri if "://" in self.uri else absolute_text(self.uri),
            worker.limits,
            worker.frames,
            worker.paths_by_hash,
            self.threads,
            self.worker_device,
            worker.with_thumbnails,
            worker.photo_columns,
        )
        with connected(self.address, cores=self.workers and self.workers * self.threads) as ray:
            pool = _Pool(ray, self, spec, worker.embedder)
            try:
                yield from pool.run(jobs, count, stop)
            finally:
                pool.close()

    def tasks(self) -> RayTasks:
        """See `Engine`."""
        return RayTasks(self.address, cores=self.workers)

    def for_collection(self, uri: str) -> "RayEngine":
        """See `Engine`."""
        return replace(self, uri=uri)


@dataclass(slots=True)
class _Task:
    jobs: list[FileJob]
    actor: int
    tries: int = 1


class _Pool:
    """Workers of a cluster, and the batches they have.

    A worker gets batches once it is ready: where the cluster has no room for it, it waits, and the others work.
    """

    def __init__(self, ray: Any, engine: RayEngine, spec: WorkerSpec, embedder: Embedder) -> None:
        self._ray, self._engine = ray, engine
        self._spec, self._embedder = ray.put(spec), ray.put(embedder)
        self._remote = ray.remote(_Worker).options(
            num_cpus=engine.threads, num_gpus=engine.gpus, max_restarts=0, max_task_retries=0, max_concurrency=IN_WORK
        )
        self._actors: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}  # workers that are not ready yet, by the reference that waits for them
        self._tasks: dict[Any, _Task] = {}
        self._again: list[tuple[list[FileJob], int]] = []  # batches whose worker ended, and how often
        self._next, self._failed_starts = 0, 0

    def run(self, jobs: Iterator[FileJob], count: int, stop: threading.Event) -> Iterator[FinishedBatch]:
        cores = self._ray.cluster_resources().get("CPU", 1)
        requested = self._engine.workers or max(1, int(cores / self._engine.threads))
        workers = max(1, min(requested, -(-count // self._engine.batch)))
        size = max(1, min(self._engine.batch, -(-count // (4 * workers))))
        batches = iter(lambda: list(islice(jobs, size)), [])
        last = time.monotonic()
        while True:
            while len(self._actors) < workers:
                self._start()
            is_done = self._hand_out(batches, stop)
            if is_done and not self._tasks:
                return
            waiting = [*self._tasks, *self._starting]
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=POLL_SECONDS)
            if ready or self._tasks:
                last = time.monotonic()
            elif time.monotonic() - last > START_SECONDS:
                raise no_room(self._ray, cores=self._engine.threads, gpus=self._engine.gpus, seconds=START_SECONDS)
            for reference in ready:
                if reference in self._starting:
                    self._started(reference)
                else:
                    yield from self._finished(reference)

    def close(self) -> None:
        """End all workers."""
        for number in list(self._actors):
            self._end(number)

    def _end(self, number: int) -> None:
        """End a worker, if it has not ended: it would keep its cores."""
        if (actor := self._actors.pop(number, None)) is not None:
            with suppress(Exception):
                self._ray.kill(actor)

    def _start(self) -> None:
        self._next += 1
        actor = self._actors[self._next] = self._remote.remote(self._spec)
        self._starting[actor.ready.remote(self._embedder)] = self._next

    def _started(self, reference: Any) -> None:
        """Give a worker work from now on; forget one that could not start. Raises LookalikeError if none can."""
        number = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._end(number)
            self._failed_starts += 1
            if isinstance(error, self._ray.exceptions.RayTaskError) or self._failed_starts > MAX_FAILED_STARTS:
                raise cause_of(error) from error

    def _hand_out(self, batches: Iterator[list[FileJob]], stop: threading.Event) -> bool:
        """Give every worker that is ready its batches. Returns True when no batch is left to give."""
        while not stop.is_set():
            number, load = self._least_loaded()
            # A batch whose worker ended again and again has a worker to itself: it must not cost another one its try.
            if load >= AHEAD or (load and self._again and self._again[-1][1] >= TRIES - 1):
                return False
            jobs, tries = self._again.pop() if self._again else (next(batches, []), 0)
            if not jobs:
                return True
            self._tasks[self._actors[number].run.remote(jobs)] = _Task(jobs, number, tries + 1)
        return True

    def _least_loaded(self) -> tuple[int, int]:
        """Return the worker with the fewest batches, and how many it has; one that is not ready is full."""
        loads = dict.fromkeys(self._actors, 0) | dict.fromkeys(self._starting.values(), AHEAD)
        for task in self._tasks.values():
            if task.actor in loads:
                loads[task.actor] += AHEAD if task.tries >= TRIES else 1
        return min(loads.items(), key=lambda item: item[1])

    def _finished(self, reference: Any) -> Iterator[FinishedBatch]:
        task = self._tasks.pop(reference)
        try:
            yield self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # the worker's own code raised it
            raise cause_of(error) from error
        except self._ray.exceptions.RayError as error:
            self._end(task.actor)
            yield from self._retry(task, error)

    def _retry(self, task: _Task, error: Exception) -> Iterator[FinishedBatch]:
        """Work on a batch again whose worker ended: as a whole, then file by file; a single file fails in the end."""
        if task.tries < TRIES:
            self._again.append((task.jobs, task.tries))
        elif len(task.jobs) > 1:
            self._again += [([job], TRIES - 1) for job in task.jobs]
        else:
            reason = f"ended the process that read it ({type(error).__name__})"
            yield FinishedBatch([FailedFile(replace(job, content=None), reason, retry=True) for job in task.jobs])
