"""A few pictures that cover all: greedy k-centre (Gonzalez, 1985), at most twice as far as the best choice leaves.

Then each centre moves to the picture of its cell whose farthest member is nearest, which can only improve the cover.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

_CANDIDATES = 32  # of each cell, those nearest to its mean


@dataclass(frozen=True, slots=True)
class Cover:
    """`rows` (k,) chosen, in the order in which they were; `cell` (n,) place among them of each vector's nearest.

    `scores` (n,) to it. `lowest`: the score of the picture that is covered worst.
    """

    rows: NDArray[np.int64]
    cell: NDArray[np.int32]
    scores: NDArray[np.float32]

    @property
    def lowest(self) -> float:
        return float(self.scores.min())


def cover(vectors: Vectors, k: int, *, first: int | None = None) -> Cover:
    """k of (n, dim) unit vectors so that each is alike to one of them; fewer where the rest are copies.

    `first`: the row to begin with, and keep; by default the one nearest to the mean of all, which may move.
    """
    start = int(np.argmax(vectors @ vectors.mean(axis=0))) if first is None else first
    chosen = [start]
    best, cell = vectors @ vectors[start], np.zeros(len(vectors), np.int32)
    while len(chosen) < min(k, len(vectors)) and best.min() < 1 - 1e-6:
        chosen.append(int(np.argmin(best)))
        _join(vectors, chosen[-1], len(chosen) - 1, best, cell)
    found = Cover(np.array(chosen), cell, np.clip(best, -1, 1))
    return _moved(vectors, found) if first is None else found


def _join(vectors: Vectors, row: int, place: int, best: NDArray[np.float32], cell: NDArray[np.int32]) -> None:
    scores = vectors @ vectors[row]
    nearer = scores > best
    best[nearer], cell[nearer] = scores[nearer], place


def _moved(vectors: Vectors, found: Cover) -> Cover:
    rows = np.array([_middle(vectors, np.flatnonzero(found.cell == n), row) for n, row in enumerate(found.rows)])
    best, cell = np.full(len(vectors), -2, np.float32), np.zeros(len(vectors), np.int32)
    for place, row in enumerate(rows):
        _join(vectors, int(row), place, best, cell)
    return Cover(rows, cell, np.clip(best, -1, 1))


def _middle(vectors: Vectors, members: NDArray[np.int64], row: int) -> int:
    inside = vectors[members]
    near = np.argsort(-(inside @ inside.mean(axis=0)), kind="stable")[:_CANDIDATES]
    candidates = np.append(members[near], row)
    return int(candidates[np.argmax((inside @ vectors[candidates].T).min(axis=0))])
