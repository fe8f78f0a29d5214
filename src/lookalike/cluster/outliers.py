"""Outliers: the local outlier factor (Breunig et al., 2000), and the uniqueness of each image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbors import nearest_neighbors
from lookalike.types import Vectors

NEIGHBORS = 20
_UNIQUENESS_NEIGHBORS = 3
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
    """Return the outlier figures of (n, dim) unit vectors from their k nearest neighbors; a single image gets 1."""
    rows, scores = nearest_neighbors(vectors, k)
    if rows.shape[1] == 0:
        one = np.ones(len(vectors), np.float32)
        return Outliers(one, one, rows, scores)
    distance = np.sqrt(np.maximum(2 - 2 * scores, 0))
    reach = np.maximum(distance[:, -1][rows], distance)  # reachability: at least the neighbor's own k-th distance
    density = 1 / np.maximum(reach.mean(axis=1), _MIN_DISTANCE)
    factor = density[rows].mean(axis=1) / density
    return Outliers(factor.astype(np.float32), 1 - scores[:, :_UNIQUENESS_NEIGHBORS].mean(axis=1), rows, scores)
