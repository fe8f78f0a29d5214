"""Threads of ours, one a core, and none of the libraries' own beneath them."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def one_thread_each() -> Iterator[Executor]:
    """A pool of a thread a core, each with BLAS and OpenCV to itself.

    On a busy machine the libraries' own threads wait for each other: two strangers then cost 32 ms of CPU instead of 5.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            yield pool
    finally:
        cv2.setNumThreads(before)
