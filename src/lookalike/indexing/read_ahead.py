"""Files in object stores are read ahead of the workers: a request takes many times as long as its answer to compute."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from lookalike.image.sources.object_store import is_object
from lookalike.indexing.file_job import FileJob

REQUESTS = 32  # at a time
MAX_BYTES = 256 * 2**20  # of files that are read and wait; a larger one is read alone


class ReadAhead:
    """Starts to read the remote files among jobs before they are taken. Close it after use.

    `read` (path) returns the bytes of a file; what it raises is raised where the job is worked on.
    """

    def __init__(self, read: Callable[[str], bytes], *, requests: int = REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._read, self._requests, self._max_bytes = read, requests, max_bytes
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def jobs(self, jobs: Iterable[FileJob]) -> Iterator[FileJob]:
        """Yield the jobs in their order, those of remote files with `content`."""
        waiting: deque[FileJob] = deque()
        size = 0
        for job in jobs:
            while waiting and (len(waiting) >= 2 * self._requests or size + job.file.size > self._max_bytes):
                size -= waiting[0].file.size
                yield waiting.popleft()
            if is_object(job.file.path):
                waiting.append(replace(job, content=self._submit(job.file.path)))
                size += job.file.size
            elif waiting:  # keeps its turn
                waiting.append(job)
                size += job.file.size
            else:
                yield job
        yield from waiting

    def _submit(self, path: str) -> "Future[bytes]":
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._requests, thread_name_prefix="read-ahead")
        return self._pool.submit(self._read, path)
