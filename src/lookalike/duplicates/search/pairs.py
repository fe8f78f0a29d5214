"""All pairs of vectors whose score is at least `min_score`: an exact search in blocks, with constant memory.

The search uses an upper bound of the score. Vectors are rotated by PCA, so that their first coordinates hold most of
their length; these are retained, and the length of the rest becomes one more coordinate. By Cauchy-Schwarz the product
of two such reduced vectors is never below the score: x.y = x1.y1 + x2.y2 <= x1.y1 + |x2||y2|. Pairs whose bound is too
small are discarded; only the others are scored in full. Recall is 1, at a fifth of the arithmetic
(docs/benchmarks-duplicates.md).
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.image import single_threaded_blas
from lookalike.search.neighbor_graph import approximate_neighbors
from lookalike.tasks import LocalTasks, TaskPool

Stored: TypeAlias = NDArray[np.float32] | NDArray[np.float16]
Progress: TypeAlias = Callable[[int, int], None]

ROWS, COLUMNS = 512, 1024  # a block of bounds is 2 MB, which fits into the cache
_REDUCE_BATCH = 8192
_ROUNDING_ERROR = 2e-5  # float32 products of unit vectors are off by less, whatever the order of their sums
_SAMPLE_SIZE = 2048
_MIN_ROWS_FOR_PCA = 4096  # with fewer rows PCA takes longer than it saves
_PRODUCT_NS, _PAIR_NS = 0.025, 600.0  # one multiplication of a block product; one pair scored individually
MAX_EXACT = 1_500_000  # rows; all pairs of so many take ten minutes on two cores
_GROUP_SIZE = 1000  # of a round: copies are in one group in nearly each
_NEAREST, _ROUNDS = 10, 3
_MAX_PAIRS_AT_ONCE = 1 << 14  # pairs scored together: 2 x 20 MB at dim 320, a thread


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Pairs of rows: `first` and `second` (n,) int64, with their `score` (n,) float32."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True, slots=True)
class ScoreBound:
    """The projection behind the upper bound. `basis` (dim, reduced dim) has orthonormal columns."""

    basis: NDArray[np.float32]

    def reduce(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Return (n, reduced dim + 1); the product of two such rows is at least the score of their vectors."""
        rows = np.asarray(vectors, np.float32)
        reduced = np.empty((len(rows), self.basis.shape[1] + 1), np.float32)
        reduced[:, :-1] = rows @ self.basis
        rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", reduced[:, :-1], reduced[:, :-1])
        reduced[:, -1] = np.sqrt(np.maximum(rest, 0))
        return reduced


def near_pairs(
    vectors: Stored, min_score: float, *, progress: Progress | None = None, tasks: TaskPool | None = None
) -> Iterator[ScoredPairs]:
    """Yield all pairs of different rows (first < second) whose score is at least `min_score`, in blocks.

    `vectors` (n, dim) of length 1; float16 and memory-mapped arrays are read a block at a time. Exact: the score of
    every pair is computed or bounded in float32.
    """
    yield from _pairs(vectors, vectors, min_score, progress, tasks or LocalTasks())


def cross_pairs(
    vectors: Stored,
    others: Stored,
    min_score: float,
    *,
    progress: Progress | None = None,
    tasks: TaskPool | None = None,
) -> Iterator[ScoredPairs]:
    """Yield all pairs of a row of `vectors` and a row of `others` whose score is at least `min_score`, in blocks."""
    yield from _pairs(vectors, others, min_score, progress, tasks or LocalTasks())


def nearest_pairs(vectors: NDArray[np.float32], min_score: float, *, progress: Progress | None = None) -> ScoredPairs:
    """Return the pairs (first < second) of rows and their _NEAREST nearest others that have at least `min_score`.

    For millions of vectors, where comparing all pairs takes hours. The nearest of all are missed least.
    """
    rounds: list[float] = []

    def report(recall: float) -> None:
        rounds.append(recall)
        if progress:
            progress(len(vectors) * len(rounds) // _ROUNDS, len(vectors))

    # In a thread of its own: the caller's, where BLAS and so FAISS are limited to one core, would take twice as long.
    with ThreadPoolExecutor(1) as pool:
        k = min(_NEAREST, len(vectors) - 1)
        graph = pool.submit(approximate_neighbors, vectors, k, rounds=_ROUNDS, group_size=_GROUP_SIZE, progress=report)
        rows, scores = graph.result()
    one, rank = np.nonzero((scores >= min_score) & (rows >= 0))
    other, score = rows[one, rank].astype(np.int64), scores[one, rank]
    first, second = np.minimum(one, other), np.maximum(one, other)
    _, unique = np.unique(first * len(vectors) + second, return_index=True)
    return ScoredPairs(first[unique], second[unique], score[unique])


def _pairs(
    vectors: Stored, others: Stored, min_score: float, progress: Progress | None, tasks: TaskPool
) -> Iterator[ScoredPairs]:
    if not -1 <= min_score <= 1:
        raise BadQuery(f"min_score is {min_score}; give a number between -1 and 1")
    if not len(vectors) or not len(others):
        return
    bound = choose_bound(others, min_score)
    # One thread for each task, with single-threaded BLAS: BLAS's own threads take 1.5 to 10 times the CPU on blocks
    # this thin, most on a busy machine.
    with single_threaded_blas():
        search = _StripSearch(vectors, others, bound, _reduced_rows(bound, others), min_score)
        starts = range(0, len(vectors), ROWS)
        for start, blocks in zip(starts, tasks.map(_strip_pairs, starts, search), strict=True):
            yield from blocks
            if progress:
                progress(_rows_done(start + ROWS, len(vectors), symmetric=vectors is others), len(vectors))


def _rows_done(rows: int, count: int, *, symmetric: bool) -> int:
    """Return the work done, in rows: of a symmetric search the remaining work is a triangle."""
    remaining = max(count - rows, 0)
    return count - (remaining * remaining // count if symmetric else remaining)


class _Buffers(threading.local):
    """Buffers of a block's products and comparisons, one pair a thread: new arrays for each block double the time."""

    product: NDArray[np.float32] | None = None
    passed: NDArray[np.bool_] | None = None

    def of(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if self.product is None or self.passed is None:
            self.product, self.passed = np.empty(ROWS * COLUMNS, np.float32), np.empty(ROWS * COLUMNS, np.bool_)
        return self.product[:count], self.passed[:count]


_buffers = _Buffers()


@dataclass(frozen=True, slots=True)
class _StripSearch:
    """The search of strips of ROWS rows among all columns. `columns`: the reduced vectors of `others`."""

    vectors: Stored
    others: Stored
    bound: ScoreBound
    columns: NDArray[np.float32]
    min_score: float

    def pairs(self, start: int) -> list[ScoredPairs]:
        symmetric = self.others is self.vectors
        rows = self.vectors[start : start + ROWS]
        reduced = self.columns[start : start + ROWS] if symmetric else self.bound.reduce(rows)
        blocks: list[ScoredPairs] = []
        for column in range(start if symmetric else 0, len(self.others), COLUMNS):
            first, second = self._above_bound(reduced, column)
            first += start
            if symmetric and column < start + ROWS:
                upper = first < second
                first, second = first[upper], second[upper]
            blocks += self._score_pairs(first, second)
        return blocks

    def _above_bound(self, reduced: NDArray[np.float32], start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        columns = self.columns[start : start + COLUMNS]
        product, passed = _buffers.of(len(reduced) * len(columns))
        np.matmul(reduced, columns.T, out=product.reshape(len(reduced), len(columns)))
        np.greater_equal(product, np.float32(self.min_score - _ROUNDING_ERROR), out=passed)
        # One pass over the flat array: np.nonzero of two axes takes three times as long.
        first, second = np.divmod(np.flatnonzero(passed), len(columns))
        return first, second + start

    def _score_pairs(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Iterator[ScoredPairs]:
        for start in range(0, len(first), _MAX_PAIRS_AT_ONCE):
            i, j = first[start : start + _MAX_PAIRS_AT_ONCE], second[start : start + _MAX_PAIRS_AT_ONCE]
            x, y = np.asarray(self.vectors[i], np.float32), np.asarray(self.others[j], np.float32)
            score = np.minimum(np.einsum("ij,ij->i", x, y), np.float32(1))
            passed = score >= self.min_score
            if passed.any():
                yield ScoredPairs(i[passed], j[passed], score[passed])


def _strip_pairs(search: _StripSearch, start: int) -> list[ScoredPairs]:
    """Return the pairs of the rows from `start` on: a task."""
    return search.pairs(start)


def _reduced_rows(bound: ScoreBound, vectors: Stored) -> NDArray[np.float32]:
    parts = [bound.reduce(vectors[start : start + _REDUCE_BATCH]) for start in range(0, len(vectors), _REDUCE_BATCH)]
    return np.concatenate(parts)


def choose_bound(vectors: NDArray[Any], min_score: float) -> ScoreBound:
    """Return the bound that makes the search cheapest, estimated by how many pairs of a sample pass it."""
    if len(vectors) < _MIN_ROWS_FOR_PCA:
        return ScoreBound(np.eye(vectors.shape[1], dtype=np.float32))
    rng = np.random.default_rng(0)
    sampled = np.sort(rng.choice(len(vectors), min(_SAMPLE_SIZE, len(vectors)), replace=False))
    sample = np.asarray(vectors[sampled], np.float32)
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = np.ascontiguousarray(axes[:, ::-1], np.float32)
    dim = sample.shape[1]
    lengths = sorted({min(length, dim) for length in (16, 24, 32, 48, 64, 96, 128, 192, dim)})
    return min((ScoreBound(axes[:, :length]) for length in lengths), key=lambda bound: _cost(bound, sample, min_score))


def _cost(bound: ScoreBound, sample: NDArray[np.float32], min_score: float) -> float:
    """Return the estimated nanoseconds per pair."""
    reduced = bound.reduce(sample[:512])
    passing = np.count_nonzero(np.triu(reduced @ reduced.T >= min_score, 1)) / max(
        len(reduced) * (len(reduced) - 1) / 2, 1
    )
    return float(_PRODUCT_NS * reduced.shape[1] + _PAIR_NS * passing)
