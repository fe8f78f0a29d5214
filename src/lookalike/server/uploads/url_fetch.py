"""Fetch an image by URL for a request: in threads of its own, ended when the client disconnects."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import ClientDisconnect

from lookalike.image.sources.url_reader import Exchange, ForbiddenUrl, UrlReader, is_public, remaining
from lookalike.server.service.batcher import Busy

__all__ = ["Fetcher", "ForbiddenUrl", "IsDisconnected", "is_public"]

THREADS, MAX_WAITING = 8, 32  # a separate pool, so that slow servers delay nothing else
POLL_SECONDS = 0.5  # between checks whether the client is still connected

IsDisconnected = Callable[[], Awaitable[bool]]


class Fetcher(UrlReader):
    """Fetches URLs in its own threads. `options`: as of UrlReader."""

    def __init__(self, max_bytes: int, **options: Any) -> None:
        super().__init__(max_bytes, **options)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        self._waiting = 0

    async def fetch(self, url: str, is_disconnected: IsDisconnected | None = None) -> bytes:
        """Run `get` in the pool; stop when `is_disconnected` returns True. Raises Busy, and as `get`."""
        if self._waiting >= MAX_WAITING:
            raise Busy("too many URLs are being fetched; try again in a moment")
        self._waiting += 1
        exchange = Exchange()
        deadline = time.monotonic() + self._seconds + POLL_SECONDS  # name resolution has no timeout of its own
        task = asyncio.get_running_loop().run_in_executor(self._pool, self.get, url, exchange)
        task.add_done_callback(self._release)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=POLL_SECONDS)
                if done:
                    return task.result()
                remaining(deadline)
                if is_disconnected is not None and await is_disconnected():
                    raise ClientDisconnect
        finally:
            exchange.end()
            task.cancel()  # a queued task does not start

    def _release(self, future: "asyncio.Future[bytes]") -> None:
        """Free the slot only when the thread is done: it may still resolve a name after the client has left."""
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # mark it as retrieved
