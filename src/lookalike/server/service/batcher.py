"""Work that is cheaper together: what waits at the same time is done in one call, in a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lookalike.errors import LookalikeError

In = TypeVar("In")
Out = TypeVar("Out")


class Busy(LookalikeError):
    """More is waiting than the server will keep."""


@dataclass(frozen=True, slots=True)
class _Asked(Generic[In, Out]):
    item: In
    future: "asyncio.Future[Out]"
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[In, Out]):
    """`work` gets what has gathered, at most `most`, and returns one result (or exception) for each, in order.

    Nothing waits for company: a thread that is free takes what is there. While all threads are busy, work gathers, so
    batches grow with the load by themselves.
    """

    def __init__(
        self,
        work: Callable[[Sequence[In]], Sequence["Out | BaseException"]],
        *,
        most: int,
        threads: int,
        waiting: int = 512,
        name: str = "batch",
    ) -> None:
        self._work, self._most, self._waiting = work, most, waiting
        self._queue: queue.SimpleQueue[_Asked[In, Out] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        self.batches = self.items = 0
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        return self._queue.qsize()

    async def __call__(self, item: In) -> Out:
        """The result for one item. Raises Busy when too much is waiting."""
        if self._queue.qsize() >= self._waiting:
            raise Busy(f"{self._waiting} requests are waiting already; try again in a moment")
        loop = asyncio.get_running_loop()
        asked: _Asked[In, Out] = _Asked(item, loop.create_future(), loop)
        self._queue.put(asked)
        return await asked.future

    def close(self) -> None:
        """Let the threads end after what is queued."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self) -> None:
        while (batch := self._gathered()) is not None:
            wanted = [asked for asked in batch if not asked.future.cancelled()]
            if wanted:
                self._answer(wanted)

    def _gathered(self) -> "list[_Asked[In, Out]] | None":
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._most:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._queue.put(None)  # for this thread, when it comes round
                break
            batch.append(more)
        return batch

    def _answer(self, batch: "Sequence[_Asked[In, Out]]") -> None:
        results: Sequence[Out | BaseException]
        try:
            results = self._work([asked.item for asked in batch])
        except BaseException as error:
            results = [error] * len(batch)
        self.batches += 1
        self.items += len(batch)
        pairs = list(zip(batch, results, strict=True))
        try:
            batch[0].loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:
            return  # the loop has closed: nobody waits any more


def _settle(pairs: "Sequence[tuple[_Asked[In, Out], Out | BaseException]]") -> None:
    for asked, result in pairs:
        if asked.future.done():
            continue
        if isinstance(result, BaseException):
            asked.future.set_exception(result)
        else:
            asked.future.set_result(result)
