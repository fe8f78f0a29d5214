"""Files of object stores and the web are read ahead of the workers: they take longer to come than to be computed."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from lookalike.image.sources.files import is_remote
from lookalike.indexing.file_job import FileJob

REQUESTS = 32  # at a time
MAX_BYTES = 256 * 2**20  # of files that are read and wait; a larger one is read alone
UNKNOWN_BYTES = 8 * 2**20  # what a file counts until it is read, if nobody has told its size


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
        for job in jobs:
            while waiting and not self._has_room(waiting, job):
                yield waiting.popleft()
            if is_remote(job.file.path):
                waiting.append(replace(job, content=self._submit(job.file.path)))
            elif waiting:  # keeps its turn
                waiting.append(job)
            else:
                yield job
        while waiting:
            yield waiting.popleft()

    def _has_room(self, waiting: Collection[FileJob], job: FileJob) -> bool:
        return len(waiting) < 2 * self._requests and sum(map(_size, [*waiting, job])) <= self._max_bytes

    def _submit(self, path: str) -> "Future[bytes]":
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._requests, thread_name_prefix="read-ahead")
        return self._pool.submit(self._read, path)


def _size(job: FileJob) -> int:
    """Return the bytes that the file of a job takes in memory, now or once it is read."""
    content = job.content
    if content is not None and content.done() and not content.cancelled() and content.exception() is None:
        return len(content.result())
    return job.file.size or UNKNOWN_BYTES
