"""Clusters of any shape and number by density, with noise as -1: HDBSCAN (Campello, Moulavi, Sander, 2013).

It runs on each picture's nearest neighbours instead of all pairs, so that memory grows with the pictures alone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.levels import Level, own_scores, sums
from lookalike.cluster.neighbours import neighbours
from lookalike.errors import LookalikeError
from lookalike.similarity import normalize
from lookalike.types import Vectors

_NEIGHBOURS = 16
_SAME = 2e-3  # a distance that rounding alone leaves between equal pictures
SMALLEST = 10  # pictures that make a cluster
_ENDS = 256  # of a part's pictures, among which a bridge to another begins


def dense_groups(vectors: Vectors, *, smallest: int = SMALLEST) -> Level:
    """HDBSCAN of (n, dim) unit vectors; clusters numbered by size. Centres are the means, scores are to them.

    Needs scikit-learn: pip install 'lookalike[map]'. Where everything is noise there is no cluster.
    """
    found = np.full(len(vectors), -1, np.int32)
    if len(vectors) > smallest:
        found = _hdbscan(vectors, smallest)
    sizes = np.bincount(found[found >= 0]) if (found >= 0).any() else np.zeros(0, np.int64)
    number = np.empty(len(sizes) + 1, np.int32)
    number[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    number[-1] = -1  # noise stays noise
    found = number[found]
    inside = np.flatnonzero(found >= 0)
    centres = np.zeros((len(sizes), vectors.shape[1]), np.float32)
    scores = np.full(len(vectors), -1, np.float32)
    if len(inside):
        centres = normalize(sums(vectors[inside], found[inside], len(sizes)))
        scores[inside] = own_scores(vectors[inside], found[inside], centres)
    return Level(centres, found, scores)


def _hdbscan(vectors: Vectors, smallest: int) -> NDArray[np.int32]:
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError as error:
        raise LookalikeError("density clustering needs scikit-learn; pip install 'lookalike[map]'") from error
    few = min(_NEIGHBOURS, len(vectors) - 1)
    engine = HDBSCAN(min_cluster_size=smallest, min_samples=min(5, few), metric="precomputed", copy=False)
    graph = _graph(vectors, few)
    return _with_copies(np.asarray(engine.fit(graph.copy()).labels_, np.int32), graph, smallest)


def _with_copies(found: NDArray[np.int32], graph: Any, smallest: int) -> NDArray[np.int32]:
    """Pictures that are one and the same are a cluster, also where all there is else is noise.

    HDBSCAN looks for parts of the whole and never calls the whole a cluster (`allow_single_cluster` would call noise
    one as well).
    """
    from scipy.sparse.csgraph import connected_components

    close = graph.copy()
    close.data = (close.data <= _SAME).astype(np.float64)
    close.eliminate_zeros()
    part = connected_components(close, directed=False)[1]
    noise = found < 0
    for number in np.flatnonzero(np.bincount(part[noise]) >= smallest):
        found[noise & (part == number)] = found.max() + 1
    return found


def _graph(vectors: Vectors, k: int) -> Any:
    """Distances to the k nearest, symmetric; parts that do not touch are joined where they come nearest.

    Groups that only a stranger between them joins, who is no neighbour of theirs, count as not touching: else its
    distance to both would stand for theirs to each other.
    """
    from scipy.sparse import coo_matrix, csr_matrix
    from scipy.sparse.csgraph import connected_components

    rows, _ = neighbours(vectors, k)
    good = rows >= 0
    a, b = np.nonzero(good)[0], rows[good]
    shape = len(rows), len(rows)
    edges = csr_matrix((np.ones(len(a)), (a, b)), shape)
    part = connected_components(edges.multiply(edges.T), directed=False)[1].astype(np.int32)
    sizes = np.bincount(part)
    joined = _bridges(vectors, [np.flatnonzero(part == n) for n in np.flatnonzero(sizes >= SMALLEST)])
    a, b = np.append(a, joined[:, 0]), np.append(b, joined[:, 1])
    part = connected_components(csr_matrix((np.ones(len(a)), (a, b)), shape), directed=False)[1].astype(np.int32)
    joined = _bridges(vectors, [np.flatnonzero(part == n) for n in range(part.max() + 1)])
    a, b = np.append(a, joined[:, 0]), np.append(b, joined[:, 1])
    a, b = np.unique(np.stack((a, b)), axis=1)  # an edge given twice would be as long as two
    score = np.einsum("nd,nd->n", vectors[a], vectors[b]).astype(np.float64)
    # A distance of 0 would mean: no edge.
    graph = coo_matrix((np.maximum(np.sqrt(np.maximum(2 - 2 * score, 0)), 1e-6), (a, b)), shape).tocsr()
    return graph.maximum(graph.T)


def _bridges(vectors: Vectors, parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(m, 2) rows that join the parts: a spanning tree of their means, each edge between near members."""
    from scipy.sparse.csgraph import minimum_spanning_tree

    if len(parts) < 2:
        return np.zeros((0, 2), np.int64)
    means = normalize(np.stack([vectors[part].mean(axis=0) for part in parts]))
    found = []
    for i, j in zip(*minimum_spanning_tree(2.001 - means @ means.T).nonzero(), strict=True):
        one, other = parts[i][:_ENDS], parts[j][:_ENDS]
        scores = vectors[one] @ vectors[other].T
        a, b = np.unravel_index(int(scores.argmax()), scores.shape)
        found.append((one[a], other[b]))
    return np.array(found, np.int64)
