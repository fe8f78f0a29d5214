"""Spherical k-means (Dhillon, Modha 2001) by FAISS: k-means++ starts tried on a sample, the best one run on everything.

What a cluster maximises is the sum of its members' scores to its centre, a vector of length 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.similarity import normalize
from lookalike.types import Vectors

_SAMPLE_EACH, _SAMPLE = 32, 8_000  # vectors a cluster, and at least, on which starts are compared
_START_EACH = 8  # vectors a cluster among which k-means++ chooses: it reads all of them once a centre
_STEPS, _TRIES = 256, 8  # many centres are drawn several at a time: one by one, 1,024 of them cost 10 s
_SHORT = 4  # rounds of each start before they are compared
_SAME = 1e-6  # a score so near to 1 is of the same vector
_MENDS = 5


@dataclass(frozen=True, slots=True)
class KMeans:
    """`centres` (k, dim) of length 1; `assignments` (n,) and `scores` (n,) of each vector to its own centre.

    Clusters are numbered by size, the largest is 0; none is empty.
    """

    centres: Vectors
    assignments: NDArray[np.int32]
    scores: NDArray[np.float32]


def kmeans(
    vectors: Vectors,
    k: int,
    *,
    weights: NDArray[np.float32] | None = None,
    seeds: int = 3,
    iterations: int = 25,
    seed: int = 0,
) -> KMeans:
    """Group (n, dim) unit vectors into k clusters, fewer where there are fewer different vectors.

    `weights` (n,): how much each counts. The same arguments give the same result. Raises BadQuery when k > n.
    """
    if not 1 <= k <= len(vectors):
        raise BadQuery(f"{k:,} clusters of {len(vectors):,} pictures cannot be made; ask for 1 to {len(vectors):,}")
    size = max(_SAMPLE_EACH * k, _SAMPLE)
    everything = size >= len(vectors)
    rows = np.arange(len(vectors)) if everything else _some(len(vectors), size, seed)
    sample = vectors if everything else vectors[rows]
    shares = None if weights is None else weights[rows]
    rounds = iterations if everything else _SHORT
    starts = [plus_plus(sample, k, weights=shares, seed=seed + n) for n in range(seeds)]
    centres, _ = max((_lloyd(sample, start, rounds, shares) for start in starts), key=lambda run: run[1])
    if not everything:
        centres, _ = _lloyd(vectors, centres, iterations, weights)
    return _numbered(*_mended(vectors, centres))


def assign(vectors: Vectors, centres: Vectors) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest centre of each vector, and the score to it."""
    import faiss

    index = faiss.IndexFlatIP(centres.shape[1])
    index.add(np.ascontiguousarray(centres))
    scores, nearest = index.search(vectors, 1)
    return nearest[:, 0].astype(np.int32), np.clip(scores[:, 0], -1, 1)


def plus_plus(vectors: Vectors, k: int, *, weights: NDArray[np.float32] | None = None, seed: int = 0) -> Vectors:
    """k of the vectors, spread out: each is the best of a few drawn by squared distance to those before it.

    Arthur, Vassilvitskii: k-means++, 2007, in its greedy form.
    """
    random = np.random.default_rng(seed)
    rows = _some(len(vectors), max(_START_EACH * k, 1000), seed)
    some = vectors[rows]
    weight = np.ones(len(some)) if weights is None else weights[rows].astype(np.float64)
    chosen = [int(random.choice(len(some), p=weight / weight.sum()))]
    far = 1 - some @ some[chosen[0]]
    while len(chosen) < k:
        chance = np.cumsum(np.maximum(far, 0) * weight)
        if chance[-1] <= _SAME:  # nothing is left that differs: the rest start anywhere and are dropped when empty
            chosen += random.integers(0, len(some), k - len(chosen)).tolist()
            break
        at_once = min(max(k // _STEPS, 1), k - len(chosen))
        drawn = np.searchsorted(chance, random.random(max(at_once, _TRIES)) * chance[-1]).clip(max=len(some) - 1)
        farther = np.minimum(far[:, None], 1 - some @ some[drawn].T)
        best = np.argsort(weight @ farther, kind="stable")[:at_once]
        chosen += drawn[best].tolist()
        far = farther[:, best].min(axis=1)
    return np.ascontiguousarray(some[chosen])


def _lloyd(
    vectors: Vectors, start: Vectors, iterations: int, weights: NDArray[np.float32] | None = None
) -> tuple[Vectors, float]:
    """Centres after so many rounds, and the sum of scores before the last of them."""
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
    centres: Any = engine.centroids
    return normalize(centres), float(np.asarray(engine.obj)[-1])


def _mended(vectors: Vectors, centres: Vectors) -> tuple[Vectors, NDArray[np.int32], NDArray[np.float32]]:
    """Every vector assigned; an empty cluster begins again at the picture that is served worst."""
    nearest, scores = assign(vectors, centres)
    for _ in range(_MENDS):
        empty = np.flatnonzero(np.bincount(nearest, minlength=len(centres)) == 0)
        served = scores.copy()
        for number in empty:
            worst = int(np.argmin(served))
            if served[worst] >= 1 - _SAME:
                break
            centres[number] = vectors[worst]
            np.maximum(served, vectors @ vectors[worst], out=served)
        if not len(empty) or np.array_equal(served, scores):
            break
        nearest, scores = assign(vectors, centres)
    return centres, nearest, scores


def _numbered(centres: Vectors, nearest: NDArray[np.int32], scores: NDArray[np.float32]) -> KMeans:
    sizes = np.bincount(nearest, minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    number = np.zeros(len(centres), np.int32)
    number[order] = np.arange(len(order))
    return KMeans(np.ascontiguousarray(centres[order]), number[nearest], scores)


def _some(count: int, size: int, seed: int) -> NDArray[np.int64]:
    """`size` places out of `count`, in order; all where there are no more."""
    if size >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
