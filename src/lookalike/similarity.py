"""Normalize vectors and convert distances to scores; a score is a cosine. No other module does either."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

_MAX_NORM_ERROR = 0.02  # tolerated error of a squared length; half precision changes it by .001


def normalize(vectors: NDArray[Any]) -> Vectors:
    """Return the rows scaled to length 1 as a new (n, dim) float32 array; zero rows stay zero."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def is_damaged(vectors: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask (n,) of rows that are neither unit vectors nor zero: they are corrupt, their scores wrong."""
    squared = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.asarray(~((np.abs(squared - 1) < _MAX_NORM_ERROR) | (squared == 0)))


def cosine(a: Vectors, b: Vectors) -> NDArray[np.float32]:
    """Return the scores (len(a), len(b)) of two sets of unit vectors, clipped to [-1, 1]."""
    scores: NDArray[np.float32] = np.clip(a @ b.T, -1.0, 1.0)
    return scores


def score_from_dot_distance(distance: NDArray[Any]) -> NDArray[np.float32]:
    """Convert Lance's dot distance of unit vectors, 1 - a.b, to a cosine."""
    scores: NDArray[np.float32] = np.clip(1.0 - np.asarray(distance, dtype=np.float32), -1.0, 1.0)
    return scores
