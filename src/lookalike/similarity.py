"""What a score is: the only lines that normalise vectors and turn an engine's number into a cosine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

_DAMAGED = 0.02  # by which a squared length may be off: half precision changes it by .001


def normalize(vectors: NDArray[Any]) -> Vectors:
    """Rows scaled to length 1, as a new (n, dim) float32 array; a row of zeros stays zeros."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def is_damaged(vectors: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows (n,) are no unit vectors, nor zeros: a byte of them was changed, and any score of theirs is false."""
    squared = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.asarray(~((np.abs(squared - 1) < _DAMAGED) | (squared == 0)))


def cosine(a: Vectors, b: Vectors) -> NDArray[np.float32]:
    """Scores (len(a), len(b)) of two sets of unit vectors, clipped to [-1, 1]."""
    scores: NDArray[np.float32] = np.clip(a @ b.T, -1.0, 1.0)
    return scores


def score_from_dot_distance(distance: NDArray[Any]) -> NDArray[np.float32]:
    """Lance's dot distance, 1 - a.b, of unit vectors to a cosine."""
    scores: NDArray[np.float32] = np.clip(1.0 - np.asarray(distance, dtype=np.float32), -1.0, 1.0)
    return scores


def score_from_l2_squared(distance: NDArray[Any]) -> NDArray[np.float32]:
    """A squared Euclidean distance, 2 - 2 a.b, of unit vectors to a cosine."""
    scores: NDArray[np.float32] = np.clip(1.0 - np.asarray(distance, dtype=np.float32) / 2.0, -1.0, 1.0)
    return scores
