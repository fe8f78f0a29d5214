"""Representatives by greedy k-center (Gonzalez, 1985): the covering distance is at most twice the optimum.

Then each center moves to the image of its cell whose farthest member is nearest, which can only improve the cover.
Of many images they cover a sample, to which those that are covered worst are added, until it covers the rest as well.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.kmeans import assign
from lookalike.cluster.neighbors import sample_rows
from lookalike.types import Vectors

MAX_EXACT = 200_000  # vectors; the cover of more is chosen from so many of them
_ROUNDS, _WORST = 3, 2000  # samples tried, and images added to each
_CLOSE = 0.005  # a score lower by less than the lowest of the sample is as good
_CANDIDATES = 32  # new centers tried in each cell: the images nearest to its mean


@dataclass(frozen=True, slots=True)
class Cover:
    """k images that cover all n.

    `rows` (k,): the chosen rows, in order of choice. `cell` (n,): the index into `rows` of the nearest of them.
    `scores` (n,): the score to it. `lowest`: the score of the worst covered image.
    """

    rows: NDArray[np.int64]
    cell: NDArray[np.int32]
    scores: NDArray[np.float32]

    @property
    def lowest(self) -> float:
        """The lowest score of an image with its representative."""
        return float(self.scores.min())


def cover(vectors: Vectors, k: int, *, first: int | None = None) -> Cover:
    """Choose k of (n, dim) unit vectors so that each vector is close to one of them; fewer if the rest are copies.

    `first`: the row to start with, which is kept. By default the one nearest to the overall mean, which may move.
    """
    if len(vectors) > MAX_EXACT and first is None:
        return _cover_by_sample(vectors, k)
    return _cover_all(vectors, k, first)


def _cover_all(vectors: Vectors, k: int, first: int | None) -> Cover:
    start = int(np.argmax(vectors @ vectors.mean(axis=0))) if first is None else first
    chosen = [start]
    best, cell = vectors @ vectors[start], np.zeros(len(vectors), np.int32)
    while len(chosen) < min(k, len(vectors)) and best.min() < 1 - 1e-6:
        chosen.append(int(np.argmin(best)))
        _add_center(vectors, chosen[-1], len(chosen) - 1, best, cell)
    greedy = Cover(np.array(chosen), cell, np.clip(best, -1, 1))
    return _recenter(vectors, greedy) if first is None else greedy


def _cover_by_sample(vectors: Vectors, k: int) -> Cover:
    rows = sample_rows(len(vectors), MAX_EXACT)
    covers = []
    for _ in range(_ROUNDS):
        chosen = _cover_all(vectors[rows], k, None)
        centers = rows[chosen.rows]
        covers.append(Cover(centers, *assign(vectors, vectors[centers])))
        scores = covers[-1].scores
        if covers[-1].lowest >= chosen.lowest - _CLOSE:
            break
        rows = np.union1d(rows, np.argpartition(scores, _WORST)[:_WORST])
    return max(covers, key=lambda each: each.lowest)


def _add_center(vectors: Vectors, row: int, index: int, best: NDArray[np.float32], cell: NDArray[np.int32]) -> None:
    """Update `best` and `cell` in place with a center of this row and index."""
    scores = vectors @ vectors[row]
    nearer = scores > best
    best[nearer], cell[nearer] = scores[nearer], index


def _recenter(vectors: Vectors, greedy: Cover) -> Cover:
    rows = np.array([_best_center(vectors, np.flatnonzero(greedy.cell == n), row) for n, row in enumerate(greedy.rows)])
    best, cell = np.full(len(vectors), -2, np.float32), np.zeros(len(vectors), np.int32)
    for index, row in enumerate(rows):
        _add_center(vectors, int(row), index, best, cell)
    return Cover(rows, cell, np.clip(best, -1, 1))


def _best_center(vectors: Vectors, members: NDArray[np.int64], row: int) -> int:
    """The member (or `row`) whose lowest score to a member is highest."""
    inside = vectors[members]
    near = np.argsort(-(inside @ inside.mean(axis=0)), kind="stable")[:_CANDIDATES]
    candidates = np.append(members[near], row)
    return int(candidates[np.argmax((inside @ vectors[candidates].T).min(axis=0))])
