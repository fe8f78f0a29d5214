"""Threads that hand batches to one reader: nothing lost, nothing twice, memory bounded, errors told."""

import threading
from collections.abc import Iterator

import pytest

from lookalike.indexing.pipeline import BATCH, batch_size, parallel


def test_every_job_is_done_once() -> None:
    done = [n for batch in parallel(range(1000), list, workers=4, batch=7) for n in batch]
    assert sorted(done) == list(range(1000))


@pytest.mark.parametrize("workers", [1, 2, 16, 96])
def test_few_jobs_are_shared_by_all_workers(workers: int) -> None:
    assert [batch_size(jobs, workers) for jobs in (0, 1, workers)] == [1, 1, 1]
    assert batch_size(100_000, workers) == BATCH
    batches = list(parallel(range(8 * workers), list, workers=workers))
    assert len(batches) >= 4 * workers


def test_no_jobs_no_results() -> None:
    assert list(parallel([], list, workers=3)) == []


def test_a_slow_reader_holds_the_workers_back() -> None:
    drawn = 0

    def jobs() -> Iterator[int]:
        nonlocal drawn
        for n in range(10_000):
            drawn += 1
            yield n

    results = parallel(jobs(), list, workers=2, batch=10)
    next(results)
    threading.Event().wait(0.3)
    # Two workers, each with one batch at work, and four batches that wait to be read.
    assert drawn <= 10 * (1 + 2 + 2 * 2)
    results.close()  # type: ignore[attr-defined]


def test_stop_finishes_the_batches_under_way() -> None:
    stop = threading.Event()
    done = []
    for batch in parallel(range(1000), list, workers=2, batch=10, stop=stop):
        done += batch
        stop.set()
    assert 10 <= len(done) < 200
    assert len(done) % 10 == 0


def test_an_error_in_a_worker_reaches_the_reader() -> None:
    def fail_at_50(batch: list[int]) -> list[int]:
        if 50 in batch:
            raise ZeroDivisionError("at 50")
        return batch

    with pytest.raises(ZeroDivisionError, match="at 50"):
        list(parallel(range(1000), fail_at_50, workers=2, batch=5))


def test_a_reader_that_leaves_ends_the_workers() -> None:
    before = threading.active_count()
    for _ in parallel(range(100_000), list, workers=3, batch=1):
        break
    assert threading.active_count() == before
