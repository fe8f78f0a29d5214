"""Nested levels: the finest is clustered from the vectors, each coarser one from the clusters of the one below.

A cluster counts in the coarser level as the sum of its vectors, so that what is maximised there is again the sum of the
pictures' own scores; each fine cluster lies in one coarse cluster because it moves as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.kmeans import KMeans, kmeans
from lookalike.errors import BadQuery
from lookalike.types import Vectors

_SEEDS_ABOVE = 20  # of a coarser level: a few hundred vectors, a few milliseconds each


@dataclass(frozen=True, slots=True)
class Level:
    """`centres` (k, dim); `assignments` (n,) of every picture; `scores` (n,) of each to its centre at this level."""

    centres: Vectors
    assignments: NDArray[np.int32]
    scores: NDArray[np.float32]


def nested(
    vectors: Vectors, counts: Sequence[int], *, seeds: int = 3, iterations: int = 25, seed: int = 0
) -> list[Level]:
    """Levels of (n, dim) vectors, coarsest first. `counts`: how many clusters each level has. Raises BadQuery."""
    wanted = sorted(set(counts))
    if not wanted or wanted[0] < 1 or wanted[-1] > len(vectors):
        raise BadQuery(
            f"levels {', '.join(map(str, counts))} of {len(vectors):,} pictures cannot be made; "
            f"each level is a number from 1 to {len(vectors):,}"
        )
    finest = kmeans(vectors, wanted[-1], seeds=seeds, iterations=iterations, seed=seed)
    levels = [Level(finest.centres, finest.assignments, finest.scores)]
    for count in reversed(wanted[:-1]):
        if count < len(levels[0].centres):
            levels.insert(0, _above(vectors, levels[0], count, seed))
    return _renumbered(levels)


def sums(vectors: Vectors, assignments: NDArray[np.int32], count: int) -> Vectors:
    """(count, dim) sum of each cluster's vectors, in blocks, so that no copy of the vectors is made."""
    total = np.zeros((count, vectors.shape[1]), np.float32)
    for start in range(0, len(vectors), 65_536):
        block = slice(start, start + 65_536)
        order = np.argsort(assignments[block], kind="stable")
        numbers, first = np.unique(assignments[block][order], return_index=True)
        total[numbers] += np.add.reduceat(vectors[block][order], first, axis=0)
    return total


def _above(vectors: Vectors, below: Level, count: int, seed: int) -> Level:
    total = sums(vectors, below.assignments, len(below.centres))
    weights = np.linalg.norm(total, axis=1).astype(np.float32)
    centres = total / np.maximum(weights, 1e-12)[:, None]
    found: KMeans = kmeans(centres, count, weights=weights, seeds=_SEEDS_ABOVE, seed=seed)
    assignments = found.assignments[below.assignments]
    return Level(found.centres, assignments, own_scores(vectors, assignments, found.centres))


def own_scores(vectors: Vectors, assignments: NDArray[np.int32], centres: Vectors) -> NDArray[np.float32]:
    """(n,) score of each vector to the centre of its own cluster."""
    scores = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), 65_536):
        block = slice(start, start + 65_536)
        scores[block] = np.einsum("nd,nd->n", vectors[block], centres[assignments[block]])
    return np.clip(scores, -1, 1)


def _renumbered(levels: list[Level]) -> list[Level]:
    """Clusters numbered by size within their parent, so that relatives have neighbouring numbers."""
    done: list[Level] = []
    for level in levels:
        sizes = np.bincount(level.assignments, minlength=len(level.centres))
        parent = np.zeros(len(sizes), np.int32)
        if done:
            parent[level.assignments] = done[-1].assignments
        order = np.lexsort((-sizes, parent))
        number = np.empty(len(order), np.int32)
        number[order] = np.arange(len(order))
        done.append(Level(np.ascontiguousarray(level.centres[order]), number[level.assignments], level.scores))
    return done
