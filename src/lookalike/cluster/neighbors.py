"""The vectors of a collection as one array, and the k nearest neighbors of each image."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.parts import ALIKE
from lookalike.search import Collection
from lookalike.types import Vectors

_MAX_EXACT = 100_000  # 100,000 x 256 against themselves: half a minute on two cores
_PROBES = 12


def read_vectors(photos: Collection, *, where: str | None = None) -> tuple[list[str], Vectors]:
    """Return ids and the vectors that say alike (n, dim), ordered by id. Raises BadQuery if there is no image."""
    ids, vectors = photos.vectors(where, part=ALIKE)
    if not ids:
        raise BadQuery(
            "the collection is empty",
            subject=photos.uri,
            location=photos.uri,
            hint="add images first",
            command=f"index FOLDER -c {photos.uri}",
        )
    return ids, vectors


def nearest_neighbors(vectors: Vectors, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return rows (n, k) of each vector's nearest others, best first, and their scores; k is at most n - 1.

    Exact up to 100,000 vectors. Beyond, an inverted file may find fewer than k; rows of -1 with score -1 fill the rest.
    """
    k = max(min(k, len(vectors) - 1), 0)
    if k == 0:
        return np.zeros((len(vectors), 0), np.int32), np.zeros((len(vectors), 0), np.float32)
    scores, rows = _index(vectors).search(vectors, k + 1)
    return drop_self(rows, scores)


def drop_self(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Remove each row's own number from its (n, k + 1) neighbors, or the last neighbor if copies displaced it."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = len(rows), rows.shape[1] - 1
    return rows[~own].reshape(shape).astype(np.int32), np.clip(scores[~own].reshape(shape), -1, 1)


def _index(vectors: Vectors) -> Any:
    import faiss

    dim = vectors.shape[1]
    index: Any
    if len(vectors) <= _MAX_EXACT:
        index = faiss.IndexFlatIP(dim)
    else:
        lists = int(4 * math.sqrt(len(vectors)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(len(vectors) // (64 * lists), 1)])
        index.nprobe = _PROBES
    index.add(vectors)
    return index
