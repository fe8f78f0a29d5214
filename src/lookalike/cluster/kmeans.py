"""Spherical k-means (Dhillon, Modha, 2001) with FAISS: k-means++ starts compared on a sample, the best run on all.

It maximizes the sum of the members' scores to their center, a vector of length 1. Of many vectors a sample is
clustered, and the others are assigned: a thousand vectors determine a center well. More than MAX_IN_ONE vectors are
read in blocks, by the tasks of a `TaskPool`: the blocks, and so the clusters, are the same on one machine and on many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbors import sample_rows
from lookalike.deprecation import renamed_property
from lookalike.errors import BadQuery
from lookalike.image import single_threaded_blas
from lookalike.similarity import normalize
from lookalike.tasks import LocalTasks, Shared, TaskPool
from lookalike.types import Vectors

_SAMPLE_EACH, _SAMPLE = 32, 8_000  # vectors per cluster, and in all at least, on which starts are compared
_START_EACH = 8  # vectors per cluster among which k-means++ chooses: it reads all of them once per center
_STEPS, _TRIES = 256, 8  # many centers are drawn several at a time: one by one, 1,024 of them take 10 s
_TRIAL_ROUNDS = 4  # rounds of each start before starts are compared
_TRAINED_EACH, _TRAINED = 1024, 500_000  # vectors per cluster, and in all at least, of which centers are means
_SAME = 1e-6  # a score this close to 1 means the same vector
_REPAIR_ROUNDS = 5
MAX_IN_ONE = 65_536  # vectors: FAISS clusters so many or fewer
_BLOCK_STEP, _BLOCKS = 4096, 16  # vectors, a multiple of which is a block; and how many blocks there are at least


@dataclass(frozen=True, slots=True)
class KMeans:
    """`centers` (k, dim) of length 1; `assignments` (n,) and `scores` (n,) of each vector to its own center.

    Clusters are numbered by size, 0 is the largest; none is empty.
    """

    centers: Vectors
    assignments: NDArray[np.int32]
    scores: NDArray[np.float32]

    centres = renamed_property("centres", "centers")


def kmeans(
    vectors: Vectors,
    k: int,
    *,
    weights: NDArray[np.float32] | None = None,
    seeds: int = 3,
    iterations: int = 25,
    seed: int = 0,
    tasks: TaskPool | None = None,
) -> KMeans:
    """Group (n, dim) unit vectors into k clusters, or fewer if there are fewer distinct vectors.

    `weights` (n,): the weight of each vector. `seeds`: the number of starts compared. The same arguments give the same
    result. `tasks`: what reads many vectors, by default this machine. Raises BadQuery if k > n.
    """
    if not 1 <= k <= len(vectors):
        raise BadQuery(f"{k:,} clusters of {len(vectors):,} images cannot be made; ask for 1 to {len(vectors):,}")
    size = max(_SAMPLE_EACH * k, _SAMPLE)
    everything = size >= len(vectors)
    rows = np.arange(len(vectors)) if everything else sample_rows(len(vectors), size, seed)
    sample = vectors if everything else vectors[rows]
    shares = None if weights is None else weights[rows]
    rounds = iterations if everything else _TRIAL_ROUNDS
    starts = [kmeans_plusplus(sample, k, weights=shares, seed=seed + n) for n in range(seeds)]
    centers, _ = max((_lloyd(sample, start, rounds, shares) for start in starts), key=lambda run: run[1])
    if not everything:
        trained = sample_rows(len(vectors), max(_TRAINED_EACH * k, _TRAINED), seed)
        if len(trained) == len(vectors):
            centers = _trained(vectors, centers, iterations, weights, tasks or LocalTasks())
        else:
            shares = None if weights is None else weights[trained]
            centers = _trained(vectors[trained], centers, iterations, shares, tasks or LocalTasks())
    return _number_by_size(*_fill_empty(vectors, centers, tasks or LocalTasks()))


def assign(vectors: Vectors, centers: Vectors) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nearest center of each vector, and the score to it."""
    import faiss

    index = faiss.IndexFlatIP(centers.shape[1])
    index.add(np.ascontiguousarray(centers))
    scores, nearest = index.search(vectors, 1)
    return nearest[:, 0].astype(np.int32), np.clip(scores[:, 0], -1, 1)


def kmeans_plusplus(vectors: Vectors, k: int, *, weights: NDArray[np.float32] | None = None, seed: int = 0) -> Vectors:
    """Choose k of the vectors far apart: each is the best of a few drawn by squared distance to the chosen ones.

    Arthur, Vassilvitskii: k-means++, 2007, in its greedy form.
    """
    random = np.random.default_rng(seed)
    rows = sample_rows(len(vectors), max(_START_EACH * k, 1000), seed)
    sample = vectors[rows]
    weight = np.ones(len(sample)) if weights is None else weights[rows].astype(np.float64)
    chosen = [int(random.choice(len(sample), p=weight / weight.sum()))]
    far = 1 - sample @ sample[chosen[0]]
    while len(chosen) < k:
        chance = np.cumsum(np.maximum(far, 0) * weight)
        if chance[-1] <= _SAME:  # only copies remain: the other centers start anywhere and are dropped when empty
            chosen += random.integers(0, len(sample), k - len(chosen)).tolist()
            break
        batch = min(max(k // _STEPS, 1), k - len(chosen))
        drawn = np.searchsorted(chance, random.random(max(batch, _TRIES)) * chance[-1]).clip(max=len(sample) - 1)
        farther = np.minimum(far[:, None], 1 - sample @ sample[drawn].T)
        best = np.argsort(weight @ farther, kind="stable")[:batch]
        chosen += drawn[best].tolist()
        far = farther[:, best].min(axis=1)
    return np.ascontiguousarray(sample[chosen])


def _lloyd(
    vectors: Vectors, start: Vectors, iterations: int, weights: NDArray[np.float32] | None = None
) -> tuple[Vectors, float]:
    """The centers after `iterations` rounds, and the sum of scores before the last round."""
    import faiss

    engine = faiss.Kmeans(
        vectors.shape[1],
        len(start),
        niter=iterations,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),  # all of them: no sample, no copy
    )
    engine.train(vectors, weights=weights, init_centroids=start)
    centers: Any = engine.centroids
    return normalize(centers), float(np.asarray(engine.obj)[-1])


Block: TypeAlias = tuple[Vectors, NDArray[np.float32] | None]
"""Vectors and their weights."""


def _trained(
    vectors: Vectors, start: Vectors, iterations: int, weights: NDArray[np.float32] | None, tasks: TaskPool
) -> Vectors:
    """The centers after `iterations` rounds over all vectors, or fewer once they no longer move."""
    if len(vectors) <= MAX_IN_ONE:
        return _lloyd(vectors, start, iterations, weights)[0]
    centers = np.ascontiguousarray(start)
    with single_threaded_blas():
        blocks = _shared_blocks(vectors, weights, tasks)
        for _ in range(iterations):
            total = np.zeros(centers.shape)
            for numbers, sums in tasks.map(_center_sums, blocks, centers):
                total[numbers] += sums
            moved = normalize(total.astype(np.float32))
            moved[~total.any(axis=1)] = centers[~total.any(axis=1)]
            if np.array_equal(moved, centers):
                break
            centers = moved
    return centers


def _shared_blocks(vectors: Vectors, weights: NDArray[np.float32] | None, tasks: TaskPool) -> list[Shared[Block]]:
    """The blocks of many vectors, which each machine reads once for all rounds."""
    size = _BLOCK_STEP * int(np.clip(len(vectors) // (_BLOCKS * _BLOCK_STEP), 1, MAX_IN_ONE // _BLOCK_STEP))
    parts = [slice(start, start + size) for start in range(0, len(vectors), size)]
    return [tasks.share((vectors[part], None if weights is None else weights[part])) for part in parts]


def _center_sums(centers: Vectors, block: Block) -> tuple[NDArray[np.int32], Vectors]:
    """The numbers of the centers that vectors of a block are nearest to, and the sum of these for each: a task."""
    vectors, weights = block
    nearest, _ = assign(vectors, centers)
    order = np.argsort(nearest, kind="stable")
    numbers, first = np.unique(nearest[order], return_index=True)
    shares = np.ones(len(vectors), np.float32) if weights is None else weights
    # Products: np.add.reduceat takes three to seven times as long.
    return numbers, np.stack([shares[rows] @ vectors[rows] for rows in np.split(order, first[1:])])


def _assign_block(centers: Vectors, block: Block) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`assign` for a block: a task."""
    return assign(block[0], centers)


def _assign_blocks(
    blocks: Sequence[Shared[Block]], tasks: TaskPool, centers: Vectors
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    with single_threaded_blas():
        numbers, scores = zip(*tasks.map(_assign_block, blocks, centers), strict=True)
    return np.concatenate(numbers), np.concatenate(scores)


def _fill_empty(
    vectors: Vectors, centers: Vectors, tasks: TaskPool
) -> tuple[Vectors, NDArray[np.int32], NDArray[np.float32]]:
    """Assign every vector; an empty cluster restarts at the image with the lowest score to its center."""
    if len(vectors) <= MAX_IN_ONE:
        assign_all = partial(assign, vectors)
    else:
        assign_all = partial(_assign_blocks, _shared_blocks(vectors, None, tasks), tasks)
    nearest, scores = assign_all(centers)
    for _ in range(_REPAIR_ROUNDS):
        empty = np.flatnonzero(np.bincount(nearest, minlength=len(centers)) == 0)
        covered = scores.copy()
        for number in empty:
            worst = int(np.argmin(covered))
            if covered[worst] >= 1 - _SAME:
                break
            centers[number] = vectors[worst]
            np.maximum(covered, vectors @ vectors[worst], out=covered)
        if not len(empty) or np.array_equal(covered, scores):
            break
        nearest, scores = assign_all(centers)
    return centers, nearest, scores


def _number_by_size(centers: Vectors, nearest: NDArray[np.int32], scores: NDArray[np.float32]) -> KMeans:
    sizes = np.bincount(nearest, minlength=len(centers))
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    number = np.zeros(len(centers), np.int32)
    number[order] = np.arange(len(order))
    return KMeans(np.ascontiguousarray(centers[order]), number[nearest], scores)
