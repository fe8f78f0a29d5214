"""The files to read, in the order of their listing: some in memory, the others in a temporary file.

A job takes a kilobyte in memory and 20 to 40 bytes in the file.
"""

import pickle
import tempfile
import zlib
from array import array
from collections.abc import Collection, Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lookalike.indexing.file_job import FileJob

MAX_IN_MEMORY = 4096  # jobs; and so many are written to the file at a time


class JobQueue:
    """Jobs are appended, then consumed once."""

    def __init__(self) -> None:
        self._new: list[FileJob] = []
        self._file: IO[bytes] | None = None
        self._blocks: list[int] = []
        self._sizes = array("q")
        self._count = 0
        self._dropped: set[str] = set()

    def __len__(self) -> int:
        return self._count

    def append(self, job: FileJob) -> None:
        """Add a job. Raises OSError if the temporary file cannot be written."""
        self._new.append(job)
        self._sizes.append(job.file.size)
        self._count += 1
        if len(self._new) >= MAX_IN_MEMORY:
            self._spill()

    def drop(self, path: str) -> None:
        """Leave out the job of a path, which is in the queue."""
        self._dropped.add(path)
        self._count -= 1

    def sizes(self) -> NDArray[np.int64]:
        """The different sizes of the files, ascending."""
        return np.unique(np.frombuffer(self._sizes, np.int64)) if self._sizes else np.empty(0, np.int64)

    def consume(self, last: Collection[str] = ()) -> Iterator[FileJob]:
        """Yield all jobs and forget them; those of the paths `last` in the end."""
        postponed: list[FileJob] = []
        for job in self._stored():
            if job.file.path in self._dropped:
                continue
            if job.file.path in last:
                postponed.append(job)
            else:
                yield job
        yield from postponed

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="lookalike-")  # noqa: SIM115 - closed when it was read
        data = zlib.compress(pickle.dumps(self._new, pickle.HIGHEST_PROTOCOL), 1)
        self._file.write(data)
        self._blocks.append(len(data))
        self._new = []

    def _stored(self) -> Iterator[FileJob]:
        if self._file is not None:
            with self._file as file:
                file.seek(0)
                for size in self._blocks:
                    jobs: list[FileJob] = pickle.loads(zlib.decompress(file.read(size)))  # noqa: S301 - our own
                    jobs.reverse()
                    while jobs:
                        yield jobs.pop()
        self._new.reverse()
        while self._new:
            yield self._new.pop()
