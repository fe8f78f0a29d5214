"""Pictures unlike the rest: local outlier factor (Breunig et al., 2000), and how alone a picture is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbours import neighbours
from lookalike.types import Vectors

NEIGHBOURS = 20
_ALONE = 3  # neighbours whose mean score tells how alone a picture is
_NO_DISTANCE = 1e-3  # of copies of each other: their density is large, not infinite


@dataclass(frozen=True, slots=True)
class Outliers:
    """`factor` (n,): about 1 where a picture lies as densely as its neighbours, higher the more it stands apart.

    `uniqueness` (n,): 1 minus the mean score of the 3 nearest; 0 where there are copies. `rows`, `scores` (n, k): the
    neighbours that explain it, best first.
    """

    factor: NDArray[np.float32]
    uniqueness: NDArray[np.float32]
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    def worst(self, k: int) -> NDArray[np.int64]:
        """The k rows that stand apart most, first the most."""
        return np.argsort(-self.factor, kind="stable")[:k]


def outliers(vectors: Vectors, *, k: int = NEIGHBOURS) -> Outliers:
    """Judge (n, dim) unit vectors by their k nearest; a single picture is no outlier of anything."""
    rows, scores = neighbours(vectors, k)
    if rows.shape[1] == 0:
        one = np.ones(len(vectors), np.float32)
        return Outliers(one, one, rows, scores)
    distance = np.sqrt(np.maximum(2 - 2 * scores, 0))
    reach = np.maximum(distance[:, -1][rows], distance)  # reachability: never nearer than the neighbour's own k-th
    density = 1 / np.maximum(reach.mean(axis=1), _NO_DISTANCE)
    factor = density[rows].mean(axis=1) / density
    return Outliers(factor.astype(np.float32), 1 - scores[:, :_ALONE].mean(axis=1), rows, scores)
