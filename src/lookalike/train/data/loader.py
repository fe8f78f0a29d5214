"""Batches prepared in threads ahead of the training step; the time that steps wait is measured."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.train.data.augment import Views

PREFETCH = 3  # batches per thread: enough to bridge one slow image, few enough for the memory


@dataclass(slots=True)
class Loader:
    """Prepares the batches of a plan with `views`. `waited`: seconds that the consumer waited, over all epochs."""

    views: Views
    workers: int
    waited: float = 0.0
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    def batches(
        self, plan: Sequence[NDArray[np.int64]], seed: Sequence[int], *, start: int = 0
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield (rows, views) of each batch from batch `start` on; batch n has the seed (*seed, n)."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="lookalike-views")
        pending: deque[Future[Any]] = deque()
        submitted = start
        for n in range(start, len(plan)):
            while submitted < len(plan) and len(pending) < PREFETCH * self.workers:
                pending.append(self._pool.submit(self.views, plan[submitted], [*seed, submitted]))
                submitted += 1
            since = time.perf_counter()
            batch = pending.popleft().result()
            self.waited += time.perf_counter() - since
            yield plan[n], batch

    def close(self) -> None:
        """End the threads and drop pending batches."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
