"""Limit OpenCV to one thread where images are already processed in parallel."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Run OpenCV single-threaded inside the block: with one worker per core, its own threads only compete."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
