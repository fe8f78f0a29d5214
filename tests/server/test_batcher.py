"""Batches of requests: what waits while all threads work is taken together."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from lookalike.server.service import batcher
from lookalike.server.service.batcher import Batcher


def test_a_batch_beside_another_has_so_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "GATHER_SECONDS", 600)
    batches: list[list[str]] = []
    taken, released = threading.Event(), threading.Event()

    def work(items: Sequence[str]) -> Sequence[str]:
        batches.append(list(items))
        if "first" in items:
            taken.set()
            assert released.wait(60)
        return [item.upper() for item in items]

    async def ask() -> list[str]:
        first = asyncio.ensure_future(batch("first"))
        await asyncio.to_thread(taken.wait, 60)
        others = [asyncio.ensure_future(batch(name)) for name in "ab"]
        await asyncio.sleep(0)
        others.append(asyncio.ensure_future(batch("c")))
        answers = await asyncio.gather(*others)  # while the first still works
        last = asyncio.ensure_future(batch("last"))
        await asyncio.sleep(0)
        released.set()  # one item alone waits for no others then
        return [*answers, await first, await last]

    batch = Batcher(work, max_items=64, threads=2, beside=3)
    try:
        assert asyncio.run(ask()) == ["A", "B", "C", "FIRST", "LAST"]
        assert batches == [["first"], ["a", "b", "c"], ["last"]]
    finally:
        batch.close()
