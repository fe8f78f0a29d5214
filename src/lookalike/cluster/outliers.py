"""Outliers: the local outlier factor (Breunig et al., 2000), and the uniqueness of each image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbors import MAX_EXACT, blocks, nearest_neighbors
from lookalike.search.neighbor_graph import exact_neighbors
from lookalike.types import Vectors

NEIGHBORS = 20
_UNIQUENESS_NEIGHBORS = 3
_VERIFIED = 1000
_BLOCK = 65_536
_MIN_DISTANCE = 1e-3  # keeps the density of identical images finite


@dataclass(frozen=True, slots=True)
class Outliers:
    """Outlier figures of n images.

    `factor` (n,): local outlier factor, about 1 if an image lies as densely as its neighbors, higher for outliers.
    `uniqueness` (n,): 1 minus the mean score of the 3 nearest; 0 for an image with copies. `rows`, `scores` (n, k): the
    neighbors, best first.
    """

    factor: NDArray[np.float32]
    uniqueness: NDArray[np.float32]
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    def worst(self, k: int) -> NDArray[np.int64]:
        """Return the k rows with the highest factor, highest first."""
        return np.argsort(-self.factor, kind="stable")[:k]


def outliers(vectors: Vectors, *, k: int = NEIGHBORS) -> Outliers:
    """Return the outlier figures of (n, dim) unit vectors from their k nearest neighbors; a single image gets 1.

    Where neighbors are approximate, the 1,000 strongest outliers are compared with all images: an image of which
    neighbors were missed would seem to be one.
    """
    rows, scores = nearest_neighbors(vectors, k)
    if rows.shape[1] == 0:
        one = np.ones(len(vectors), np.float32)
        return Outliers(one, one, rows, scores)
    figures = _figures(rows, scores)
    if len(vectors) > MAX_EXACT:
        strongest = np.sort(figures.worst(_VERIFIED))
        rows[strongest], scores[strongest] = exact_neighbors(vectors, strongest, rows.shape[1])
        figures = _figures(rows, scores)
    return figures


def _figures(rows: NDArray[np.int32], scores: NDArray[np.float32]) -> Outliers:
    density, factor = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    farthest = _distance(scores[:, -1])
    for part in blocks(len(rows), _BLOCK):  # reachability: at least the neighbor's own k-th distance
        reach = np.maximum(farthest[rows[part]], _distance(scores[part]))
        density[part] = 1 / np.maximum(_mean(reach, rows[part]), _MIN_DISTANCE)
    for part in blocks(len(rows), _BLOCK):
        factor[part] = _mean(density[rows[part]], rows[part]) / density[part]
    return Outliers(factor, 1 - scores[:, :_UNIQUENESS_NEIGHBORS].mean(axis=1), rows, scores)


def _distance(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.maximum(2 - 2 * scores, 0))


def _mean(values: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """The mean of (n, k) values over the neighbors that are known."""
    known = rows >= 0
    if known.all():
        return np.asarray(values.mean(axis=1), np.float32)
    return np.asarray((values * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.float32)
