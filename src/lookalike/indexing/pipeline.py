"""Worker threads that read, decode and embed, one per core, and pass their results to a single writer.

This design is the simplest and the fastest of those measured (docs/architecture.md): each worker takes small batches
from file to vector with one shared single-thread session, so no core waits for a stage on another core.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Generic, TypeVar, cast

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

BATCH = 8  # files: decoding and the network take turns in the cache less often; 16 gain nothing


def default_workers() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def batch_size(jobs: int, workers: int, largest: int = BATCH) -> int:
    """Return how many jobs a worker takes at a time: fewer than `largest` where that would leave other workers idle."""
    return max(1, min(largest, jobs // (4 * workers)))


def parallel(
    jobs: Iterable[JobT],
    work: Callable[[list[JobT]], ResultT],
    *,
    workers: int,
    batch: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[ResultT]:
    """Run `work` over batches of `jobs` in threads and yield the results as they finish, in any order.

    `batch`: how many jobs a worker takes at a time; by default as `batch_size`, if the number of jobs is known.
    Memory is bounded: a worker waits while two results per worker are unread. When `stop` is set, running batches are
    finished and yielded, and no new one starts. An exception in a worker is raised here after all workers have ended.
    """
    if batch is None:
        batch = batch_size(len(jobs), workers) if isinstance(jobs, Sized) else BATCH
    run = _Run(iter(jobs), work, batch, stop or threading.Event(), queue.Queue(maxsize=2 * workers))
    threads = [threading.Thread(target=run.worker, name=f"lookalike-{n}", daemon=True) for n in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield from run.results(len(threads))
    finally:
        run.abandon()
        for thread in threads:
            thread.join()


_END = object()


class _Run(Generic[JobT, ResultT]):
    def __init__(
        self,
        jobs: Iterator[JobT],
        work: Callable[[list[JobT]], ResultT],
        batch: int,
        stop: threading.Event,
        out: "queue.Queue[object]",
    ) -> None:
        self._jobs, self._work, self._batch, self._stop, self._out = jobs, work, batch, stop, out
        self._lock = threading.Lock()
        self._abandoned = threading.Event()

    def worker(self) -> None:
        try:
            while chunk := self._next():
                self._put(self._work(chunk))
        except BaseException as error:
            self._stop.set()
            self._put(error)
        finally:
            self._put(_END)

    def results(self, running: int) -> Iterator[ResultT]:
        failure: BaseException | None = None
        while running:
            item = self._out.get()
            if item is _END:
                running -= 1
            elif isinstance(item, BaseException):
                failure = failure or item
            else:
                yield cast(ResultT, item)
        if failure:
            raise failure

    def abandon(self) -> None:
        """Stop reading results: workers end after their batch instead of waiting for space in the queue."""
        self._abandoned.set()

    def _next(self) -> list[JobT]:
        with self._lock:
            idle = self._stop.is_set() or self._abandoned.is_set()
            return [] if idle else list(islice(self._jobs, self._batch))

    def _put(self, item: object) -> None:
        while not self._abandoned.is_set():
            try:
                self._out.put(item, timeout=0.2)
                break
            except queue.Full:
                continue
