"""OpenCV's own threads, held back where pictures are worked on side by side already."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """One thread for each call into OpenCV while this lasts: workers, one a core, would only wait for each other's."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
