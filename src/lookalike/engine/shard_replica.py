"""A replica of a shard: a process that holds the index of its rows and answers the routers. Ray Serve runs it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lookalike.engine.cluster import bind_to_node
from lookalike.engine.sharded_index import ShardFacts
from lookalike.store.lance.shard import LanceShard, ShardSpec

T = TypeVar("T")
SEARCH_THREADS = 2  # one searches while the messages of another are packed
PREPARE_SECONDS = 5.0
METHODS = frozenset(
    {
        "vectors_and_hits",
        "rows",
        "contained",
        "page",
        "page_ids",
        "counts",
        "folders",
        "present",
        "count_true",
        "sample",
    }
)


class ShardReplica:
    """One process. It loads the latest version before it is ready, then each version that a router asks for.

    Versions are loaded in one thread and searched in others, so searches of a loaded version never wait for a load.
    """

    def __init__(self, spec: ShardSpec) -> None:
        bind_to_node()  # before Serve listens
        self._shard = LanceShard(spec)
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._searches = ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="search")
        self._preparing: dict[int, asyncio.Future[Any]] = {}
        self._shard.latest()

    async def call(self, version: int, method: str, arguments: Sequence[Any]) -> Any:
        """Call a method of the index of a version, which is loaded first if it is not."""
        if method not in METHODS:
            raise ValueError(f"{method} is no method that a router calls")
        index = self._shard.at(version)
        if index is None:
            index = await self._in(self._loads, lambda: self._shard.load(version))
        call = getattr(index, method)
        return await self._in(self._searches, lambda: call(*arguments))

    async def prepare(self, version: int) -> ShardFacts | None:
        """Load a version; None while it takes long."""
        if version not in self._preparing:
            future = asyncio.ensure_future(self._in(self._loads, lambda: ShardFacts.of(self._shard.load(version))))
            future.add_done_callback(lambda _: self._preparing.pop(version, None))
            self._preparing[version] = future
        try:
            return await asyncio.wait_for(asyncio.shield(self._preparing[version]), PREPARE_SECONDS)
        except TimeoutError:
            return None

    async def forget(self) -> None:
        """Drop all versions: another collection has taken the place of this one."""
        await self._in(self._loads, self._shard.forget)

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
