"""Workers that read, decode and embed, one a core, and hand their batches to a single writer.

The simplest design is also the fastest that was measured (docs/architecture.md): each worker runs small batches from
file to vector on one shared single-thread session, so that no core waits for another's stage.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar, cast

Job = TypeVar("Job")
Done = TypeVar("Done")

BATCH = 4  # as many as the network takes at once without loss


def default_workers() -> int:
    """One a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(
    jobs: Iterable[Job],
    work: Callable[[list[Job]], Done],
    *,
    workers: int,
    batch: int = BATCH,
    stop: threading.Event | None = None,
) -> Iterator[Done]:
    """Run `work` over batches of `jobs` in threads; results come as they finish, in any order.

    Memory is bounded: a worker waits while two results a worker are unread. When `stop` is set, the batches under way
    are finished and given, and no new one begins. An exception of a worker is raised here after all have ended.
    """
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


class _Run(Generic[Job, Done]):
    def __init__(
        self,
        jobs: Iterator[Job],
        work: Callable[[list[Job]], Done],
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

    def results(self, running: int) -> Iterator[Done]:
        failure: BaseException | None = None
        while running:
            item = self._out.get()
            if item is _END:
                running -= 1
            elif isinstance(item, BaseException):
                failure = failure or item
            else:
                yield cast(Done, item)
        if failure:
            raise failure

    def abandon(self) -> None:
        """Nobody reads any more: workers end after their batch instead of waiting for room."""
        self._abandoned.set()

    def _next(self) -> list[Job]:
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
