"""The graph of nearest neighbors of millions of vectors: rounds of joins of small groups, improved by NN-Descent.

Each round groups the vectors by k-means with another seed, in two steps, and compares every vector with all of its
group. Then each vector is compared with the neighbors of its neighbors (Dong, Charikar, Li: Efficient k-nearest
neighbor graph construction for generic similarity measures, WWW 2011). Rounds end once a sample of vectors has 90% of
its true neighbors. Besides the graph, memory does not grow with the number of vectors, which may be mapped from a file.
Figures: docs/benchmarks-scale.md.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.store.vector_storage import load_faiss
from lookalike.types import Vectors

RECALL = 0.9
MAX_ROUNDS = 8
GROUP_SIZE = 4000  # of 800 the same recall takes 1.3 times as long, of 8,000 1.1 times
_TRAINING_SIZE, _ITERATIONS = 32, 4  # vectors per center, and rounds: groups need not be good, only different
_SAMPLE = 200  # vectors whose true neighbors are known
_BLOCK = 1024
_READ = 16_384
_NONE = -2.0  # the score of a missing neighbor

Rows: TypeAlias = NDArray[np.int32]
Scores: TypeAlias = NDArray[np.float32]
Progress: TypeAlias = Callable[[float], None]


def approximate_neighbors(
    vectors: Vectors,
    k: int,
    *,
    rounds: int = MAX_ROUNDS,
    group_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Rows, Scores]:
    """Return rows (n, k) of each vector's nearest others, best first, and their scores; k is below n.

    Where fewer than k are known, rows of -1 with score -1 fill the rest. `rounds`: no more than so many, of groups of
    `group_size` (GROUP_SIZE by default). `progress`: called with the recall so far.
    """
    graph = _Graph(vectors, k)
    random = np.random.default_rng(seed)
    sample = np.sort(random.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False))
    true, _ = exact_neighbors(vectors, sample, k)
    for _ in range(rounds):
        for group in _groups(vectors, group_size or GROUP_SIZE, int(random.integers(1 << 30))):
            graph.join(group)
        graph.descend()
        recall = graph.recall(sample, true)
        if progress:
            progress(recall)
        if recall >= RECALL:
            break
    return graph.result()


class _Graph:
    """For each vector the k best others known so far, best first."""

    def __init__(self, vectors: Vectors, k: int) -> None:
        self._vectors = np.asarray(vectors)  # FAISS takes no subclass, as a mapped file is
        self._k = k
        self.rows: Rows = np.full((len(vectors), k), -1, np.int32)
        self.scores: Scores = np.full((len(vectors), k), _NONE, np.float32)

    def join(self, own: NDArray[np.int64]) -> None:
        """Compare all of a group with each other."""
        faiss = load_faiss()
        group = self._vectors[own]
        k = min(self._k + 1, len(own))
        scores, near = faiss.knn(group, group, k, metric=faiss.METRIC_INNER_PRODUCT)
        rows = own[near].astype(np.int32)
        scores[rows == own[:, None]] = _NONE
        both, joined = np.concatenate([self.rows[own], rows], 1), np.concatenate([self.scores[own], scores], 1)
        order = np.argsort(both, axis=1)
        both, joined = np.take_along_axis(both, order, 1), np.take_along_axis(joined, order, 1)
        joined[:, 1:][both[:, 1:] == both[:, :-1]] = _NONE
        self.rows[own], self.scores[own] = _best(both, joined, self._k)

    def descend(self) -> None:
        """Compare each vector with the neighbors of its neighbors."""
        for start in range(0, len(self.rows), _BLOCK):
            self._descend(np.arange(start, min(start + _BLOCK, len(self.rows))))

    def _descend(self, own: NDArray[np.int64]) -> None:
        faiss = load_faiss()
        near = self.rows[own]
        further = self.rows[near].reshape(len(own), -1)
        candidates = np.sort(np.concatenate([near, further], 1), axis=1)
        unwanted = (candidates < 0) | (candidates == own[:, None])
        unwanted[:, 1:] |= candidates[:, 1:] == candidates[:, :-1]
        scores = np.empty(candidates.shape, np.float32)
        queries, positions = self._vectors[own], np.where(unwanted, -1, candidates).astype(np.int64)
        pointer = faiss.swig_ptr
        faiss.fvec_inner_products_by_idx(
            pointer(scores), pointer(queries), pointer(self._vectors), pointer(positions), queries.shape[1],
            len(own), candidates.shape[1],
        )  # fmt: skip
        scores[unwanted] = _NONE
        self.rows[own], self.scores[own] = _best(candidates, scores, self._k)

    def recall(self, sample: NDArray[np.int64], true: Rows) -> float:
        """The share of the true neighbors (m, k) of a sample (m,) that are known."""
        known = (true[:, :, None] == self.rows[sample][:, None, :]).any(axis=2)
        return float(known.mean())

    def result(self) -> tuple[Rows, Scores]:
        missing = self.scores < -1.5
        self.rows[missing] = -1
        self.scores[missing] = -1
        return self.rows, np.clip(self.scores, -1, 1, out=self.scores)


def _best(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """The k best of each row, best first."""
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, top, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    top = np.take_along_axis(top, order, 1)
    return np.take_along_axis(rows, top, 1), np.take_along_axis(values, order, 1)


def exact_neighbors(vectors: Vectors, sample: NDArray[np.int64], k: int) -> tuple[Rows, Scores]:
    """Return rows (m, k) and scores of the nearest others of a sample of rows (m,), by comparing them with all."""
    queries = _take(vectors, sample)
    rows, scores = np.full((len(sample), k), -1, np.int32), np.full((len(sample), k), _NONE, np.float32)
    size = max(_READ * _SAMPLE // max(len(sample), _SAMPLE), _BLOCK)
    for start in range(0, len(vectors), size):
        nearest = queries @ vectors[start : start + size].T
        own = np.flatnonzero((sample >= start) & (sample < start + size))
        nearest[own, sample[own] - start] = _NONE
        top = np.argpartition(-nearest, min(k, nearest.shape[1]) - 1, axis=1)[:, :k]
        both = np.concatenate([rows, (top + start).astype(np.int32)], 1)
        rows, scores = _best(both, np.concatenate([scores, np.take_along_axis(nearest, top, 1)], 1), k)
    return rows, np.clip(scores, -1, 1)


def _groups(vectors: Vectors, size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each group of similar vectors: of each of some large groups, which are split again."""
    random = np.random.default_rng(seed)
    large = max(1, round((len(vectors) / size) ** 0.5))
    for members in _split(vectors, np.arange(len(vectors)), large, random):
        yield from _split(vectors, members, max(1, round(len(members) / size)), random)


def _split(
    vectors: Vectors, members: NDArray[np.int64], count: int, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield the members (rows of the vectors) that belong to each of `count` centers."""
    size = min(len(members), count * _TRAINING_SIZE)
    centers = _centers(_take(vectors, np.sort(random.choice(members, size, replace=False))), count, random)
    number = np.empty(len(members), np.int32)
    for start in range(0, len(members), _READ):
        some = slice(start, start + _READ)
        number[some] = _nearest(_take(vectors, members[some]), centers)
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(count + 1))
    for start, stop in pairwise(edges.tolist()):
        if start < stop:
            yield members[order[start:stop]]


def _centers(sample: Vectors, count: int, random: np.random.Generator) -> Vectors:
    engine: Any = load_faiss().Kmeans(
        sample.shape[1], count, niter=_ITERATIONS, spherical=True, seed=int(random.integers(1, 1 << 30)),
        min_points_per_centroid=1, max_points_per_centroid=len(sample),
    )  # fmt: skip
    engine.train(sample)
    return np.asarray(engine.centroids, np.float32)


def _nearest(vectors: Vectors, centers: Vectors) -> NDArray[np.int64]:
    faiss = load_faiss()
    nearest: NDArray[np.int64] = load_faiss().knn(vectors, centers, 1, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return nearest[:, 0]


def _take(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    return np.ascontiguousarray(np.asarray(vectors)[rows])
