"""The inverted list of each row, and its code: blocks of rows are encoded by the tasks of a `TaskPool`."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.store.ivf.centroids import Centroids
from lookalike.store.vector_storage import load_faiss
from lookalike.types import Vectors

BLOCK_ROWS = 32  # FAISS scans so many at a time
ENCODED_ROWS = 8192  # rows at a time: half a second of a core with 4,000 lists


class EncodedRows(NamedTuple):
    """`lists` (n,): the list of each row. `codes` (n, code size): their codes, in order."""

    lists: NDArray[np.uint16]
    codes: NDArray[np.uint8]


class RowBlock(NamedTuple):
    """Rows of a segment from `start` on: those of a fragment from `offset` on, deleted ones not counted."""

    start: int
    rows: int
    fragment: int
    offset: int


class RowSource(Protocol):
    """Where the vectors of a segment are read from."""

    def read(self, block: RowBlock) -> Vectors:
        """Return the vectors (rows, dim) of a block, damaged ones as zeros."""
        ...


class RowEncoder:
    """Encodes rows for lists with these centroids. It can be sent to other processes, which encode to the same bits."""

    def __init__(self, centroids: Centroids) -> None:
        self._centroids = centroids
        assigner = centroids.assigner()
        # Sent along: the graph that another process builds of the same centroids could be another one.
        self._graph = None if assigner is centroids.flat else load_faiss().serialize_index(assigner)
        self._index = empty_index(centroids, assigner, own_lists=True)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._centroids.rotation, self._centroids.vectors, self._graph

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        rotation, vectors, self._graph = state
        self._centroids = Centroids(rotation, vectors)
        assigner = self._centroids.flat if self._graph is None else load_faiss().deserialize_index(self._graph)
        self._index = empty_index(self._centroids, assigner, own_lists=True)

    def encode(self, vectors: Vectors) -> EncodedRows:
        """Return the list and the code of each of (n, dim) rows."""
        rotated = self._centroids.rotate(vectors)
        _, nearest = self._index.quantizer.search(rotated, 1)
        lists = np.ascontiguousarray(nearest[:, 0])
        codes = np.zeros((len(rotated), self._index.code_size), np.uint8)
        pointer = load_faiss().swig_ptr
        self._index.encode_vectors(len(rotated), pointer(rotated), pointer(lists), pointer(codes))
        return EncodedRows(lists.astype(np.uint16), codes)


def encode_block(shared: tuple[RowSource, RowEncoder], block: RowBlock) -> EncodedRows:
    """Read and encode a block: a task."""
    source, encoder = shared
    return encoder.encode(source.read(block))


def empty_index(centroids: Centroids, quantizer: Any, *, own_lists: bool) -> Any:
    """FAISS's index with no rows."""
    faiss = load_faiss()
    index = faiss.IndexIVFRaBitQFastScan(
        quantizer, centroids.dim, len(centroids), faiss.METRIC_INNER_PRODUCT, BLOCK_ROWS, own_lists
    )
    index.is_trained = True  # there is nothing to train but the centroids
    return index
