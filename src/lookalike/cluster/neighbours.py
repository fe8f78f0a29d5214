"""The k nearest pictures of every picture, exact up to 100,000, through an inverted file beyond."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

_EXACT = 100_000  # 100,000 x 256 against themselves: half a minute on two cores
_PROBES = 12


def neighbours(vectors: Vectors, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows (n, k) of each vector's nearest others, best first, and their scores; k at most n - 1.

    A place that nothing was found for is -1 with score -1 (beyond 100,000 vectors only).
    """
    k = max(min(k, len(vectors) - 1), 0)
    if k == 0:
        return np.zeros((len(vectors), 0), np.int32), np.zeros((len(vectors), 0), np.float32)
    scores, rows = _index(vectors).search(vectors, k + 1)
    return without_self(rows, scores)


def without_self(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Take each row's own number out of its (n, k + 1) neighbours, or the last where twins pushed it out."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = len(rows), rows.shape[1] - 1
    return rows[~own].reshape(shape).astype(np.int32), np.clip(scores[~own].reshape(shape), -1, 1)


def _index(vectors: Vectors) -> Any:
    import faiss

    dim = vectors.shape[1]
    index: Any
    if len(vectors) <= _EXACT:
        index = faiss.IndexFlatIP(dim)
    else:
        lists = int(4 * math.sqrt(len(vectors)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(len(vectors) // (64 * lists), 1)])
        index.nprobe = _PROBES
    index.add(vectors)
    return index
