"""The vectors of a collection as one array, and the k nearest neighbors of each image."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.parts import ALIKE
from lookalike.search import Collection
from lookalike.search.neighbor_graph import approximate_neighbors
from lookalike.types import Vectors

_MAX_COMPARED = 2 * 10**10  # pairs of vectors that are all compared: three minutes on two cores
_PROBES = 32
MAX_EXACT = 100_000  # 100,000 x 256 against themselves: half a minute on two cores


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

    Exact up to 100,000 vectors. Beyond, 90% are found on average (see `approximate_neighbors`), and where fewer than k
    are, rows of -1 with score -1 fill the rest.
    """
    k = max(min(k, len(vectors) - 1), 0)
    if k == 0:
        return np.zeros((len(vectors), 0), np.int32), np.zeros((len(vectors), 0), np.float32)
    if len(vectors) > MAX_EXACT:
        return approximate_neighbors(vectors, k)
    import faiss

    scores, rows = faiss.knn(vectors, vectors, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
    return drop_self(rows, scores)


def drop_self(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Remove each row's own number from its (n, k + 1) neighbors, or the last neighbor if copies displaced it."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = len(rows), rows.shape[1] - 1
    return rows[~own].reshape(shape).astype(np.int32), np.clip(scores[~own].reshape(shape), -1, 1)


def index_for(vectors: Vectors, queries: int) -> Any:
    """Return FAISS's index of vectors, for so many queries: exact, or by inverted lists where that would take long.

    The lists may hold fewer vectors than a query asks for: rows of -1 fill the rest.
    """
    import faiss

    flat = faiss.IndexFlatIP(vectors.shape[1])
    vectors = np.ascontiguousarray(vectors)
    if len(vectors) * queries <= _MAX_COMPARED:
        flat.add(vectors)
        return flat
    index = faiss.IndexIVFFlat(flat, vectors.shape[1], round(4 * len(vectors) ** 0.5), faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = _PROBES
    return index


def sample_rows(count: int, size: int, seed: int = 0) -> NDArray[np.int64]:
    """`size` random rows out of `count`, sorted; all of them if there are no more."""
    if size >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of so many rows, `size` at a time."""
    return (slice(start, start + size) for start in range(0, count, size))
