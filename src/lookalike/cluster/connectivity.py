"""How well each picture is connected to named ones: a walk from neighbour to neighbour that may stop at any step.

A kind that nobody named holds together: its pictures' neighbours are each other, and a walk seldom leaves it, even
where the nearest named picture is not far. After Zhu, Ghahramani, Lafferty: Semi-supervised learning using Gaussian
fields and harmonic functions, 2003, with a chance of stopping at each step.
"""

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbours import neighbours
from lookalike.types import Vectors

_NEIGHBOURS = 15
_TEMPERATURE = 0.1  # a neighbour at a score lower by this is visited 1 / e as often
_GO_ON = 0.9
_STEPS = 20
_FOLDS = 5

Floats = NDArray[np.float32]


def reach(vectors: Vectors, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(n,) chance that a walk from each of (n, dim) vectors meets one of `rows`; and (m,) that of `rows` themselves,
    each asked while its fifth of them is not named.
    """
    near, scores = neighbours(vectors, _NEIGHBOURS)
    if not near.shape[1]:
        return np.ones(len(vectors), np.float32), np.ones(len(rows), np.float32)
    weights = np.exp((scores - scores[:, :1]) / _TEMPERATURE)
    weights /= weights.sum(axis=1, keepdims=True)
    held_out = np.zeros(len(rows), np.float32)
    folds = np.random.default_rng(0).permutation(len(rows)) % _FOLDS
    for fold in range(_FOLDS):
        asked = folds == fold
        held_out[asked] = _walk(near, weights, rows[~asked])[rows[asked]]
    return _walk(near, weights, rows), held_out


def _walk(near: NDArray[np.int32], weights: Floats, rows: NDArray[np.int64]) -> Floats:
    met = np.zeros(len(near), np.float32)
    met[rows] = 1
    for _ in range(_STEPS):
        met = _GO_ON * np.einsum("nk,nk->n", weights, met[near])
        met[rows] = 1
    return met
