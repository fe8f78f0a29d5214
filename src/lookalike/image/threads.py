"""Limit OpenCV and BLAS to one thread where images are already processed in parallel.

Most of their thread counts belong to the whole process. Of several blocks that overlap in time, the first one that is
entered sets the limit and the last one that is left restores what was before: otherwise the second block would take the
first one's limit for the state to restore.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class _SharedLimit:
    """A limit of the process, in force while any block uses it. `apply` sets it and returns what restores the state."""

    def __init__(self, apply: Callable[[], Callable[[], None]]) -> None:
        self._apply = apply
        self._restore: Callable[[], None] | None = None
        self._lock, self._users = threading.Lock(), 0

    @contextmanager
    def use(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            if not self._users:
                self._restore = self._apply()
            self._users += 1

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._restore is not None:
                self._restore()


def _limit_opencv() -> Callable[[], None]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    return lambda: cv2.setNumThreads(before)


def _limit_blas() -> Callable[[], None]:
    limits = _blas_controller(openmp=False).limit(limits=1)
    _release_blas()

    def restore() -> None:
        limits.restore_original_limits()
        _release_blas()

    return restore


def _blas_controller(*, openmp: bool) -> Any:
    """Return a controller of the BLAS libraries whose threads are, or are not, counted for each caller by OpenMP."""
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    libraries = [library for library in controller.lib_controllers if library.user_api == "blas"]
    chosen = [each.filepath for each in libraries if (getattr(each, "threading_layer", None) == "openmp") == openmp]
    return controller.select(filepath=chosen)


@contextmanager
def _openmp_limit() -> Iterator[None]:
    """Limit BLAS libraries with OpenMP for the calling thread.

    The outer block limits nothing, but restores OpenMP's own count: threadpoolctl before 3.8 takes the count of another
    thread for that of the calling one.
    """
    from threadpoolctl import ThreadpoolController

    openmp = ThreadpoolController().select(user_api="openmp")
    with openmp.limit(limits=None), _blas_controller(openmp=True).limit(limits=1):
        yield


def _release_blas() -> None:
    """Let any thread restore the limit: threadpoolctl 3.8 obeys only the thread that set it, as long as it lives."""
    import threadpoolctl

    release = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release()


_opencv, _blas = _SharedLimit(_limit_opencv), _SharedLimit(_limit_blas)


def single_threaded_opencv() -> AbstractContextManager[None]:
    """Run OpenCV single-threaded inside the block: with one worker per core, its own threads only compete."""
    return _opencv.use()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Run BLAS, and so the matrix products of NumPy, single-threaded inside the block.

    A BLAS with OpenMP, as that of FAISS, has a thread count for each calling thread; there the block limits its own.
    """
    with _blas.use(), _openmp_limit():
        yield
