"""The vectors of a segment in a file of NumPy's format, read in blocks while an index is built.

Blocks are read, and rows are mapped for a moment only: the pages of a mapped file count as memory of its process.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from lookalike.store.ivf.row_encoder import RowBlock
from lookalike.store.vector_storage import Positions
from lookalike.types import Vectors

VECTORS = "vectors.npy"
_BLOCK = 8192
_TAKEN = 4096


def write_header(file: IO[bytes], rows: int, dim: int) -> None:
    """Begin a file of (rows, dim) numbers in single precision; their bytes follow."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(file, header)


class VectorFile:
    """Vectors (n, dim) in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        mapped = np.load(path, mmap_mode="r")
        self.shape: tuple[int, int] = mapped.shape
        self._offset = int(mapped.offset)

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, rows: int = _BLOCK) -> Iterator[Vectors]:
        """All rows, so many at a time."""
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for start in range(0, len(self), rows):
                count = min(rows, len(self) - start)
                yield np.fromfile(file, np.float32, count * self.shape[1]).reshape(count, self.shape[1])

    def read(self, block: RowBlock) -> Vectors:
        """See `RowSource`."""
        with open(self._path, "rb") as file:
            file.seek(self._offset + block.start * self.shape[1] * np.dtype(np.float32).itemsize)
            return np.fromfile(file, np.float32, block.rows * self.shape[1]).reshape(block.rows, self.shape[1])

    def mapped(self) -> Vectors:
        """All rows (n, dim), mapped."""
        rows: Vectors = np.load(self._path, mmap_mode="r")
        return rows

    def take(self, rows: Positions) -> Vectors:
        """Rows (n, dim) at positions."""
        taken = np.empty((len(rows), self.shape[1]), np.float32)
        for start in range(0, len(rows), _TAKEN):  # mapped again and again: unmapping gives the pages back
            some = slice(start, start + _TAKEN)
            taken[some] = self.mapped()[rows[some]]
        return taken
