"""Run requests that arrive together in one call: items wait in a queue, threads take them in batches."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lookalike.errors import LookalikeError

In = TypeVar("In")
Out = TypeVar("Out")


GATHER_SECONDS = 0.05  # that a thread waits for items to work on beside others
LOOK_SECONDS = 0.002  # between looks at how many there are


class Busy(LookalikeError):
    """Too many requests are waiting."""


@dataclass(frozen=True, slots=True)
class _Item(Generic[In, Out]):
    item: In
    future: "asyncio.Future[Out]"
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[In, Out]):
    """Calls `work` with up to `max_items` waiting items; it returns a result or an exception for each, in order.

    No item waits for others: a free thread takes what is in the queue. While all threads are busy items accumulate, so
    batches grow with the load. `beside`: where a batch has costs of its own, so many items must wait before a thread
    takes one while another works, for a twentieth of a second at most.
    """

    def __init__(
        self,
        work: Callable[[Sequence[In]], Sequence["Out | BaseException"]],
        *,
        max_items: int,
        threads: int,
        max_waiting: int = 512,
        name: str = "batch",
        beside: int = 1,
    ) -> None:
        self._work, self._max_items, self._max_waiting = work, max_items, max_waiting
        self._queue: queue.SimpleQueue[_Item[In, Out] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        self._beside, self._working = beside, 0
        self._gathering, self._finished = threading.Lock(), threading.Condition()
        self.batches = self.items = 0
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        return self._queue.qsize()

    async def __call__(self, item: In) -> Out:
        """Return the result for one item. Raises Busy."""
        if self._queue.qsize() >= self._max_waiting:
            raise Busy(f"{self._max_waiting} requests are waiting already; try again in a moment")
        loop = asyncio.get_running_loop()
        waiting: _Item[In, Out] = _Item(item, loop.create_future(), loop)
        self._queue.put(waiting)
        return await waiting.future

    def close(self) -> None:
        """End the threads once the queue is empty."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            active = [item for item in batch if not item.future.cancelled()]
            try:
                if active:
                    self._process(active)
            finally:
                with self._finished:
                    self._working -= 1
                    self._finished.notify()

    def _next_batch(self) -> "list[_Item[In, Out]] | None":
        with self._gathering:
            first = self._queue.get()
            if first is None:
                return None
            end = time.monotonic() + GATHER_SECONDS
            with self._finished:
                while self._working and self._queue.qsize() + 1 < self._beside and time.monotonic() < end:
                    self._finished.wait(LOOK_SECONDS)
                self._working += 1
            return self._gathered(first)

    def _gathered(self, first: "_Item[In, Out]") -> "list[_Item[In, Out]]":
        batch = [first]
        while len(batch) < self._max_items:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._queue.put(None)  # for this thread's next turn
                break
            batch.append(more)
        return batch

    def _process(self, batch: "Sequence[_Item[In, Out]]") -> None:
        results: Sequence[Out | BaseException]
        try:
            results = self._work([waiting.item for waiting in batch])
        except BaseException as error:
            results = [error] * len(batch)
        self.batches += 1
        self.items += len(batch)
        pairs = list(zip(batch, results, strict=True))
        try:
            batch[0].loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:
            return  # the event loop has closed


def _settle(pairs: "Sequence[tuple[_Item[In, Out], Out | BaseException]]") -> None:
    for item, result in pairs:
        if item.future.done():
            continue
        if isinstance(result, BaseException):
            item.future.set_exception(result)
        else:
            item.future.set_result(result)
