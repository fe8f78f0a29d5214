"""Density clustering with HDBSCAN (Campello, Moulavi, Sander, 2013): any number and shape of clusters, noise is -1.

It runs on the graph of nearest neighbors instead of all pairs, so memory grows linearly with the number of images.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.levels import Level, cluster_sums, scores_to_centers
from lookalike.cluster.neighbors import nearest_neighbors
from lookalike.errors import LookalikeError
from lookalike.similarity import normalize
from lookalike.types import Vectors

_NEIGHBORS = 16
_SAME = 2e-3  # a distance that rounding alone can leave between identical images
MIN_CLUSTER_SIZE = 10  # images
_EDGES = 65_536  # whose lengths are computed at a time
_MAX_ALL_MEANS = 4096  # components of which all distances are computed
_BRIDGE_CANDIDATES = 256  # images of a component among which the end of a bridge is chosen


def density_clusters(vectors: Vectors, *, min_size: int = MIN_CLUSTER_SIZE) -> Level:
    """Run HDBSCAN on (n, dim) unit vectors. Clusters are numbered by size; centers are means, scores refer to them.

    Returns a level without clusters if all images are noise. Needs scikit-learn: pip install 'lookalike[map]'.
    """
    labels = np.full(len(vectors), -1, np.int32)
    if len(vectors) > min_size:
        labels = _hdbscan(vectors, min_size)
    sizes = np.bincount(labels[labels >= 0]) if (labels >= 0).any() else np.zeros(0, np.int64)
    number = np.empty(len(sizes) + 1, np.int32)
    number[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    number[-1] = -1  # noise stays noise
    labels = number[labels]
    inside = np.flatnonzero(labels >= 0)
    centers = np.zeros((len(sizes), vectors.shape[1]), np.float32)
    scores = np.full(len(vectors), -1, np.float32)
    if len(inside):
        centers = normalize(cluster_sums(vectors[inside], labels[inside], len(sizes)))
        scores[inside] = scores_to_centers(vectors[inside], labels[inside], centers)
    return Level(centers, labels, scores)


def _hdbscan(vectors: Vectors, min_size: int) -> NDArray[np.int32]:
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError as error:
        raise LookalikeError("density clustering needs scikit-learn; pip install 'lookalike[map]'") from error
    k = min(_NEIGHBORS, len(vectors) - 1)
    engine = HDBSCAN(min_cluster_size=min_size, min_samples=min(5, k), metric="precomputed", copy=False)
    graph = _graph(vectors, k)
    return _add_identical(np.asarray(engine.fit(graph.copy()).labels_, np.int32), graph, min_size)


def _add_identical(labels: NDArray[np.int32], graph: Any, min_size: int) -> NDArray[np.int32]:
    """Make a cluster of each large enough set of identical images that HDBSCAN left as noise.

    HDBSCAN splits the whole and never returns it as one cluster (`allow_single_cluster` would do so for noise, too).
    """
    from scipy.sparse.csgraph import connected_components

    close = graph.copy()
    close.data = (close.data <= _SAME).astype(np.float64)
    close.eliminate_zeros()
    component = connected_components(close, directed=False)[1]
    noise = np.flatnonzero(labels < 0)
    for members in _members(component[noise]):
        if len(members) >= min_size:
            labels[noise[members]] = labels.max() + 1
    return labels


def _graph(vectors: Vectors, k: int) -> Any:
    """The symmetric matrix of distances to the k nearest neighbors, with bridges between unconnected components.

    Components are those of mutual neighbors. A stranger between two groups, which is no neighbor of theirs, does not
    connect them: otherwise its distance to both would stand for the distance between the groups.
    """
    from scipy.sparse import coo_matrix, csr_matrix
    from scipy.sparse.csgraph import connected_components

    rows, _ = nearest_neighbors(vectors, k)
    valid = rows >= 0
    a, b = np.nonzero(valid)[0], rows[valid]
    shape = len(rows), len(rows)
    edges = csr_matrix((np.ones(len(a)), (a, b)), shape)
    component = connected_components(edges.multiply(edges.T), directed=False)[1]
    bridges = _bridges(vectors, [members for members in _members(component) if len(members) >= MIN_CLUSTER_SIZE])
    a, b = np.append(a, bridges[:, 0]), np.append(b, bridges[:, 1])
    while True:
        component = connected_components(csr_matrix((np.ones(len(a)), (a, b)), shape), directed=False)[1]
        if component.max() == 0:
            break
        bridges = _bridges(vectors, _members(component))
        a, b = np.append(a, bridges[:, 0]), np.append(b, bridges[:, 1])
    # The lengths of a repeated edge would be added up.
    a, b = np.divmod(np.unique(a.astype(np.int64) * len(rows) + b), len(rows))
    score = np.concatenate([
        np.einsum("nd,nd->n", vectors[a[n : n + _EDGES]], vectors[b[n : n + _EDGES]]) for n in range(0, len(a), _EDGES)
    ]).astype(np.float64)  # fmt: skip
    # A distance of 0 would mean "no edge" in a sparse matrix.
    graph = coo_matrix((np.maximum(np.sqrt(np.maximum(2 - 2 * score, 0)), 1e-6), (a, b)), shape).tocsr()
    return graph.maximum(graph.T)


def _members(component: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """The rows of each component, ascending."""
    order = np.argsort(component, kind="stable")
    return [rows for rows in np.split(order, np.cumsum(np.bincount(component))[:-1]) if len(rows)]


def _bridges(vectors: Vectors, components: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(m, 2) rows that connect the components: a spanning tree of their means, each edge between two close members.

    Of very many, each is at least connected with one that is near: a second call then connects those that are left.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    if len(components) < 2:
        return np.zeros((0, 2), np.int64)
    means = normalize(np.stack([vectors[members].mean(axis=0) for members in components]))
    bridges = []
    for i, j in zip(*minimum_spanning_tree(_distances(means)).nonzero(), strict=True):
        one, other = components[i][:_BRIDGE_CANDIDATES], components[j][:_BRIDGE_CANDIDATES]
        scores = vectors[one] @ vectors[other].T
        a, b = np.unravel_index(int(scores.argmax()), scores.shape)
        bridges.append((one[a], other[b]))
    return np.array(bridges, np.int64)


def _distances(means: Vectors) -> Any:
    """The distances between all means; of very many, those to the nearest ones, as a sparse matrix."""
    from scipy.sparse import csr_matrix

    if len(means) <= _MAX_ALL_MEANS:
        return 2.001 - means @ means.T
    rows, scores = nearest_neighbors(means, _NEIGHBORS)
    known = rows >= 0
    lengths = np.maximum(2.001 - scores[known], 1e-3).astype(np.float64)
    return csr_matrix((lengths, (np.nonzero(known)[0], rows[known])), (len(means), len(means)))
