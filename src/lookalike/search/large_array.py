"""Arrays in memory, or in a temporary file that is mapped if they are large."""

import os
import tempfile

import numpy as np

from lookalike.errors import LookalikeError
from lookalike.types import Vectors

MAX_IN_MEMORY = 1 << 30  # bytes: a million vectors of 256 numbers


def empty_vectors(rows: int, dim: int, folder: str | None) -> Vectors:
    """Return vectors (rows, dim) of zeros: beyond MAX_IN_MEMORY in a file, which is gone once no array refers to it.

    `folder`: where the file lies if it can be written there, else it is the system's for temporary files. Raises
    LookalikeError if it does not fit.
    """
    size = rows * dim * 4
    if size <= MAX_IN_MEMORY:
        return np.zeros((rows, dim), np.float32)
    if folder is None or not os.access(folder, os.W_OK):
        folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".vectors-") as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, np.float32, "r+", shape=(rows, dim)).view(np.ndarray)
    except OSError as error:
        gigabytes = f"{size / 1e9:,.1f} GB ({error.strerror})"
        raise LookalikeError(
            f"{folder} has no room for the vectors of {rows:,} images, {gigabytes}; free some"
        ) from error


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the file: writing to a mapped one on a full disk would end the process with a signal."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
