"""The vectors of a segment: in half precision, in single precision, or mapped from a file."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import is_damaged
from lookalike.store.rank import FLOAT32_ERROR, HALF_ERROR
from lookalike.types import Vectors

Mask: TypeAlias = NDArray[np.bool_]
Positions: TypeAlias = NDArray[np.int64]

_BLOCK = 4096  # rows at a time: their scores stay in the cache


class VectorStorage(Protocol):
    """The vectors of a segment.

    `error`: how far a score computed from them may be off. `gather_below`: the share of rows that pass a filter below
    which gathering them beats scanning all.
    """

    error: float
    gather_below: float

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def take(self, rows: Any) -> NDArray[np.float32]:
        """Rows (n, dim) of single precision; `rows` is a slice or an array of positions."""
        ...

    def select(self, rows: Positions) -> "VectorStorage":
        """A storage of these rows."""
        ...

    def joined(self, others: "Sequence[VectorStorage]") -> "VectorStorage":
        """A storage of these rows and, behind them, those of others of the same class."""
        ...

    def nearest(self, queries: Vectors, k: int, mask: Mask | None) -> list[tuple[NDArray[np.float32], Positions]]:
        """For each query the scores and positions of the k best rows that pass; at least k pass."""
        ...


class HalfVectors:
    """Vectors in half precision, scanned by FAISS."""

    error = HALF_ERROR
    gather_below = 0.1

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def of(cls, blocks: Iterator[Vectors], dim: int) -> "HalfVectors":
        """The rows of all blocks, each (n, dim)."""
        faiss = load_faiss()
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for block in blocks:
            index.add(_sound(block))
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        return len(self) * int(self._index.d) * 2

    @property
    def _codes(self) -> NDArray[np.uint8]:
        codes: NDArray[np.uint8] = load_faiss().rev_swig_ptr(self._index.codes.data(), self.nbytes)
        return codes.reshape(-1, self._index.d * 2)

    def take(self, rows: Any) -> NDArray[np.float32]:
        return np.asarray(self._codes.view(np.float16)[rows], np.float32)

    def select(self, rows: Positions) -> "HalfVectors":
        return self._of_codes([self._codes[rows]])

    def joined(self, others: Sequence[VectorStorage]) -> "HalfVectors":
        return self._of_codes([self._codes, *(other._codes for other in others if isinstance(other, HalfVectors))])

    def _of_codes(self, parts: Sequence[NDArray[np.uint8]]) -> "HalfVectors":
        faiss = load_faiss()
        index = faiss.IndexScalarQuantizer(self._index.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.add_sa_codes(np.ascontiguousarray(np.concatenate(parts)))
        return HalfVectors(index)

    def nearest(self, queries: Vectors, k: int, mask: Mask | None) -> list[tuple[NDArray[np.float32], Positions]]:
        if mask is None:
            answers = [self._index.search(query[None], k) for query in queries]
        else:
            faiss = load_faiss()
            params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little")))
            answers = [self._index.search(query[None], k, params=params) for query in queries]
        return [(scores[0], positions[0]) for scores, positions in answers]


class SingleVectors:
    """Vectors in single precision, compared by blocked matrix products; in memory, or mapped from a file."""

    error = FLOAT32_ERROR
    gather_below = 0.25

    def __init__(self, array: Vectors) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @property
    def nbytes(self) -> int:
        """Private memory: the pages of a mapped file are shared."""
        return 0 if isinstance(self.array, np.memmap) else int(self.array.nbytes)

    def take(self, rows: Any) -> NDArray[np.float32]:
        return np.asarray(self.array[rows])

    def select(self, rows: Positions) -> "SingleVectors":
        return SingleVectors(self.array[rows])

    def joined(self, others: Sequence[VectorStorage]) -> "SingleVectors":
        return SingleVectors(np.concatenate([self.array, *(other.take(slice(None)) for other in others)]))

    def nearest(self, queries: Vectors, k: int, mask: Mask | None) -> list[tuple[NDArray[np.float32], Positions]]:
        return nearest_by_product(queries, self.array, k, mask)


def nearest_by_product(
    queries: Vectors, vectors: Vectors, k: int, mask: Mask | None = None
) -> list[tuple[NDArray[np.float32], Positions]]:
    """Scores and positions of the k best of each query by one matrix product a block of rows.

    The k-th score of the first block is a floor that few later rows reach, so hardly anything is copied or sorted.
    """
    if len(queries) == 1:
        scores = vectors @ queries[0]
        if mask is not None:
            scores[~mask] = -np.inf
        top = np.argpartition(scores, len(scores) - k)[-k:]
        return [(scores[top], top)]
    first = min(len(vectors), max(_BLOCK, 4 * k))
    floor = np.full((len(queries), 1), -np.inf, np.float32)
    parts = []
    for start, stop in pairwise([0, *range(first, len(vectors), _BLOCK), len(vectors)]):
        scores = queries @ vectors[start:stop].T
        if mask is not None and not mask[start:stop].all():
            scores[:, ~mask[start:stop]] = -np.inf
        if start == 0:
            floor = np.partition(scores, first - k, axis=1)[:, first - k, None]
        reached = np.flatnonzero((scores >= floor) & (scores > -np.inf) if mask is not None else scores >= floor)
        if len(reached):
            which, rows = np.divmod(reached, scores.shape[1])
            parts.append((which, rows + start, scores.ravel()[reached]))
    which, rows, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    own = [np.flatnonzero(which == n) for n in range(len(queries))]
    ordered = [at[np.argsort(-values[at], kind="stable")[:k]] for at in own]
    return [(values[at], rows[at]) for at in ordered]


def largest(scores: NDArray[Any], positions: Positions, k: int) -> tuple[NDArray[Any], Positions]:
    """The k largest scores, unordered, with their positions."""
    if len(scores) <= k:
        return scores, positions
    top = np.argpartition(scores, len(scores) - k)[-k:]
    return scores[top], positions[top]


def _sound(vectors: Vectors) -> Vectors:
    """Damaged vectors as zeros: their true score, -1, is what the store computes."""
    damaged = is_damaged(vectors)
    return np.where(damaged[:, None], np.float32(0), vectors) if damaged.any() else vectors


def load_faiss() -> Any:
    """FAISS, without the types of its stubs, which do not know its Python constructors."""
    import faiss

    return faiss
