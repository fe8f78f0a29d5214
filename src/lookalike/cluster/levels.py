"""Nested levels: the finest is clustered from the vectors, each coarser level from the clusters below it.

In the coarser level a cluster is weighted by the sum of its vectors, so the objective is again the sum of the images'
own scores. Each fine cluster lies in one coarse cluster, because it is assigned as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.kmeans import KMeans, kmeans
from lookalike.deprecation import renamed_property
from lookalike.errors import BadQuery
from lookalike.tasks import TaskPool
from lookalike.types import Vectors

_COARSE_SEEDS = 20  # starts of a coarser level: a few hundred vectors, a few milliseconds each


@dataclass(frozen=True, slots=True)
class Level:
    """`centers` (k, dim); `assignments` (n,) of the images; `scores` (n,) of each image to its center at this level."""

    centers: Vectors
    assignments: NDArray[np.int32]
    scores: NDArray[np.float32]

    centres = renamed_property("centres", "centers")


def nested_levels(
    vectors: Vectors,
    counts: Sequence[int],
    *,
    seeds: int = 3,
    iterations: int = 25,
    seed: int = 0,
    tasks: TaskPool | None = None,
) -> list[Level]:
    """Cluster (n, dim) vectors at several levels, coarsest first.

    `counts`: the number of clusters of each level. `tasks`: see `kmeans`. Raises BadQuery if one is below 1 or above n.
    """
    ordered = sorted(set(counts))
    if not ordered or ordered[0] < 1 or ordered[-1] > len(vectors):
        raise BadQuery(
            f"levels {', '.join(map(str, counts))} of {len(vectors):,} images cannot be made; "
            f"each level is a number from 1 to {len(vectors):,}"
        )
    finest = kmeans(vectors, ordered[-1], seeds=seeds, iterations=iterations, seed=seed, tasks=tasks)
    levels = [Level(finest.centers, finest.assignments, finest.scores)]
    for count in reversed(ordered[:-1]):
        if count < len(levels[0].centers):
            levels.insert(0, _coarser_level(vectors, levels[0], count, seed))
    return _renumber(levels)


def cluster_sums(vectors: Vectors, assignments: NDArray[np.int32], count: int) -> Vectors:
    """Return the (count, dim) sum of each cluster's vectors, computed in blocks to avoid a copy of the vectors."""
    total = np.zeros((count, vectors.shape[1]), np.float32)
    for start in range(0, len(vectors), 65_536):
        block = slice(start, start + 65_536)
        order = np.argsort(assignments[block], kind="stable")
        numbers, first = np.unique(assignments[block][order], return_index=True)
        total[numbers] += np.add.reduceat(vectors[block][order], first, axis=0)
    return total


def _coarser_level(vectors: Vectors, below: Level, count: int, seed: int) -> Level:
    total = cluster_sums(vectors, below.assignments, len(below.centers))
    weights = np.linalg.norm(total, axis=1).astype(np.float32)
    means = total / np.maximum(weights, 1e-12)[:, None]
    coarse: KMeans = kmeans(means, count, weights=weights, seeds=_COARSE_SEEDS, seed=seed)
    assignments = coarse.assignments[below.assignments]
    return Level(coarse.centers, assignments, scores_to_centers(vectors, assignments, coarse.centers))


def scores_to_centers(vectors: Vectors, assignments: NDArray[np.int32], centers: Vectors) -> NDArray[np.float32]:
    """Return the (n,) score of each vector to the center of its own cluster."""
    scores = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), 65_536):
        block = slice(start, start + 65_536)
        scores[block] = np.einsum("nd,nd->n", vectors[block], centers[assignments[block]])
    return np.clip(scores, -1, 1)


def _renumber(levels: list[Level]) -> list[Level]:
    """Number clusters by size within their parent, so that clusters of one parent have consecutive numbers."""
    renumbered: list[Level] = []
    for level in levels:
        sizes = np.bincount(level.assignments, minlength=len(level.centers))
        parent = np.zeros(len(sizes), np.int32)
        if renumbered:
            parent[level.assignments] = renumbered[-1].assignments
        order = np.lexsort((-sizes, parent))
        number = np.empty(len(order), np.int32)
        number[order] = np.arange(len(order))
        renumbered.append(Level(np.ascontiguousarray(level.centers[order]), number[level.assignments], level.scores))
    return renumbered
