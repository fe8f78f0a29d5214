"""Batches prepared in threads ahead of the step that wants them; how long the step waited is counted."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.train.data.augment import Views

AHEAD = 3  # batches a thread: enough for one slow picture, little enough to hold in memory


@dataclass(slots=True)
class Loader:
    """Makes the batches of a plan with `views`. `waited`: seconds that the consumer stood still, over all epochs."""

    views: Views
    workers: int
    waited: float = 0.0
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    def batches(
        self, plan: Sequence[NDArray[np.int64]], seed: Sequence[int], *, start: int = 0
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """(rows, views) of each batch from the `start`-th on; batch n has the seed (*seed, n)."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="lookalike-views")
        waiting: deque[Future[Any]] = deque()
        begun = start
        for n in range(start, len(plan)):
            while begun < len(plan) and len(waiting) < AHEAD * self.workers:
                waiting.append(self._pool.submit(self.views, plan[begun], [*seed, begun]))
                begun += 1
            since = time.perf_counter()
            made = waiting.popleft().result()
            self.waited += time.perf_counter() - since
            yield plan[n], made

    def close(self) -> None:
        """End the threads; what they were about to make is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
