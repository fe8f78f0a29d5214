"""Arrays in memory, or in a temporary file that is mapped if they are large."""

import os
import tempfile
from collections.abc import Callable
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import LookalikeError
from lookalike.types import Vectors

T = TypeVar("T")
MAX_IN_MEMORY = 1 << 30  # bytes: a million vectors of 256 numbers


def empty_vectors(rows: int, dim: int, folder: str) -> Vectors:
    """Return vectors (rows, dim) of zeros: beyond MAX_IN_MEMORY in a file, which is gone once no array refers to it.

    `folder`: where the file lies, if it is a folder that can be written; else it is the system's for temporary files.
    Raises LookalikeError if it does not fit.
    """
    size = rows * dim * 4
    if size <= MAX_IN_MEMORY:
        return np.zeros((rows, dim), np.float32)
    folder = _writable(folder)
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".vectors-") as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, np.float32, "r+", shape=(rows, dim)).view(np.ndarray)
    except OSError as error:
        raise _no_room(folder, rows, size, error) from error


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the file: writing to a mapped one on a full disk would end the process with a signal."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


class VectorCollector:
    """Vectors (n, dim) that are appended in blocks: in half precision, or in single precision in a mapped file.

    `folder`: as for `empty_vectors`. Raises LookalikeError if they do not fit.
    """

    def __init__(self, dim: int, folder: str) -> None:
        self._dim, self._folder = dim, _writable(folder)
        self._blocks: list[NDArray[np.float16]] = []
        self._rows = 0
        self._file: IO[bytes] | None = None

    def append(self, block: NDArray[np.floating[Any]]) -> None:
        self._rows += len(block)
        if self._file is None:
            self._blocks.append(block.astype(np.float16))
            if self._rows * self._dim * 2 > MAX_IN_MEMORY:
                self._file = self._attempt(self._open)
                for each in self._blocks:
                    self._write(each)
                self._blocks = []
        else:
            self._write(block)

    def vectors(self) -> NDArray[np.float16] | Vectors:
        """Return all vectors in the order in which they were appended."""
        if self._file is None:
            return np.concatenate([np.zeros((0, self._dim), np.float16), *self._blocks])
        with self._file as file:
            self._attempt(file.flush)
            return np.memmap(file, np.float32, "r", shape=(self._rows, self._dim)).view(np.ndarray)

    def _open(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder, prefix=".vectors-")

    def _write(self, block: NDArray[np.floating[Any]]) -> None:
        file = self._file
        assert file is not None
        self._attempt(lambda: file.write(block.astype(np.float32).tobytes()))

    def _attempt(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise _no_room(self._folder, self._rows, self._rows * self._dim * 4, error) from error


def _writable(folder: str) -> str:
    return folder if os.path.isdir(folder) and os.access(folder, os.W_OK) else tempfile.gettempdir()


def _no_room(folder: str, rows: int, size: int, error: OSError) -> LookalikeError:
    gigabytes = f"{size / 1e9:,.1f} GB ({error.strerror})"
    return LookalikeError(f"{folder} has no room for the vectors of {rows:,} images, {gigabytes}; free some")
