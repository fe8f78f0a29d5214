"""The thread counts of OpenCV and BLAS are limited while any block needs it, and restored after the last one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import cv2
import faiss
import pytest
from tests.conftest import ColourEmbedder
from threadpoolctl import threadpool_info, threadpool_limits

from lookalike.duplicates.search.find import single_threaded
from lookalike.image import single_threaded_blas, single_threaded_opencv
from lookalike.search import Collection
from lookalike.types import RGB, Vectors

WAIT = 30.0


def opencv_threads() -> set[int]:
    return {cv2.getNumThreads()}


def blas_threads() -> set[int]:
    """Return the counts of libraries whose threads belong to the process; OpenMP, as in FAISS, has one per caller."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return {library["num_threads"] for library in libraries if library.get("threading_layer") != "openmp"}


def thread_counts() -> tuple[set[int], set[int]]:
    return opencv_threads(), blas_threads()


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Both libraries use two threads, whatever tests before have set."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    limits = in_thread(lambda: threadpool_limits(2, user_api="blas"))
    assert thread_counts() == ({2}, {2})
    yield
    cv2.setNumThreads(before)
    in_thread(limits.restore_original_limits)


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread that ends: threadpoolctl lets no other thread set limits while the first one lives."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def overlap(first: AbstractContextManager[object], second: AbstractContextManager[object]) -> tuple[object, object]:
    """Enter both blocks, leave the first one first, in a thread each. Returns the thread counts between and after."""
    entered, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def stay(number: int, block: AbstractContextManager[object]) -> None:
        with block:
            entered[number].set()
            leave[number].wait(WAIT)

    threads = [threading.Thread(target=stay, args=each) for each in enumerate((first, second))]
    counts = []
    for number, thread in enumerate(threads):
        thread.start()
        assert entered[number].wait(WAIT)
    for number, thread in enumerate(threads):
        leave[number].set()
        thread.join(WAIT)
        counts.append(thread_counts())
    return counts[0], counts[1]


@pytest.mark.parametrize(
    ("block", "between"),
    [
        (single_threaded_opencv, ({1}, {2})),
        (single_threaded_blas, ({2}, {1})),
        (single_threaded, ({1}, {1})),
    ],
)
def test_overlapping_blocks_restore_the_thread_counts(
    block: Callable[[], AbstractContextManager[object]], between: object
) -> None:
    assert overlap(block(), block()) == (between, ({2}, {2}))
    with pytest.raises(ZeroDivisionError), block():
        raise ZeroDivisionError
    assert thread_counts() == ({2}, {2})


def test_each_caller_has_its_own_limit_of_openmp() -> None:
    def count_threads(block: AbstractContextManager[object]) -> None:
        faiss.omp_set_num_threads(2)
        with block:
            counts.append(faiss.omp_get_max_threads())
        counts.append(faiss.omp_get_max_threads())

    counts: list[int] = []
    with single_threaded_blas():
        in_thread(lambda: count_threads(single_threaded_blas()))
    in_thread(lambda: count_threads(single_threaded_blas()))
    assert counts == [1, 2, 1, 2]


def test_the_block_that_is_left_last_restores_the_limit_of_a_thread_that_still_lives() -> None:
    with ThreadPoolExecutor(1) as pool, ExitStack() as elsewhere:
        with single_threaded_blas():
            pool.submit(elsewhere.enter_context, single_threaded_blas()).result()
        assert blas_threads() == {1}
        pool.submit(elsewhere.close).result()
    assert blas_threads() == {2}


class WaitingEmbedder(ColourEmbedder):
    """Reports the first image it embeds, and waits before it returns the vector."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.proceed = threading.Event(), threading.Event()

    def embed(self, images: list[RGB]) -> Vectors:  # type: ignore[override]
        self.started.set()
        assert self.proceed.wait(WAIT)
        return super().embed(images)


def test_two_syncs_in_one_process_restore_the_thread_counts(photos: Path) -> None:
    embedders = [WaitingEmbedder(), WaitingEmbedder()]
    collections = [Collection.open("memory:", model=embedder) for embedder in embedders]
    threads = [threading.Thread(target=each.sync, args=(photos,)) for each in collections]
    for thread, embedder in zip(threads, embedders, strict=True):
        thread.start()
        assert embedder.started.wait(WAIT)
    for thread, embedder in zip(threads, embedders, strict=True):
        assert opencv_threads() == {1}
        embedder.proceed.set()
        thread.join(WAIT)
    assert [len(each) for each in collections] == [5, 5]
    assert opencv_threads() == {2}
