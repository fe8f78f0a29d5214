"""All pairs of vectors whose score is at least `min_score`: exact, in blocks, with memory that does not grow.

The trick is a bound. Turn the vectors so that their first coordinates hold most of them (PCA), keep those, and put the
length of the rest into one more coordinate. By Cauchy and Schwarz the product of two such short vectors is never below
the score: x.y = x1.y1 + x2.y2 <= x1.y1 + |x2||y2|. Pairs whose bound is too small are out for certain, the few others
are scored in full. Recall is 1, at a fifth of the arithmetic (docs/benchmarks-duplicates.md).
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery

Stored: TypeAlias = NDArray[np.float32] | NDArray[np.float16]
Progress: TypeAlias = Callable[[int, int], None]

ROWS, COLUMNS = 512, 1024  # a block of bounds is 2 MB, which the cache holds
_PART = 8192
_SLACK = 2e-5  # float32 products of unit vectors are off by less, whatever the order of their sums
_SAMPLE = 2048
_FEW = 4096  # rows: below, finding the axes takes longer than it saves
_GEMM, _GATHER = 0.025, 600.0  # ns: one multiplication of a block product; one pair scored by itself
_MOST_AT_ONCE = 1 << 14  # pairs scored together: 2 x 20 MB at dim 320, a thread


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows `first` and `second` (n,) of int64 and their `score` (n,), float32."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True, slots=True)
class Bound:
    """A turn of the space: `basis` (dim, short) with orthonormal columns."""

    basis: NDArray[np.float32]

    def shorten(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(n, short + 1): the products of two of these are at least the scores of the vectors they stand for."""
        rows = np.asarray(vectors, np.float32)
        short = np.empty((len(rows), self.basis.shape[1] + 1), np.float32)
        short[:, :-1] = rows @ self.basis
        rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", short[:, :-1], short[:, :-1])
        short[:, -1] = np.sqrt(np.maximum(rest, 0))
        return short


def near_pairs(vectors: Stored, min_score: float, *, progress: Progress | None = None) -> Iterator[Pairs]:
    """Every pair of different rows (first < second) whose score is at least `min_score`, some at a time.

    `vectors` (n, dim) of length 1; float16 and memory-mapped arrays are read a block at a time. Exact: the score of
    every pair is computed or bounded in float32.
    """
    yield from _pairs(vectors, vectors, min_score, progress)


def cross_pairs(
    vectors: Stored, others: Stored, min_score: float, *, progress: Progress | None = None
) -> Iterator[Pairs]:
    """Every pair of a row of `vectors` and a row of `others` whose score is at least `min_score`, some at a time."""
    yield from _pairs(vectors, others, min_score, progress)


def _pairs(vectors: Stored, others: Stored, min_score: float, progress: Progress | None) -> Iterator[Pairs]:
    if not -1 <= min_score <= 1:
        raise BadQuery(f"min_score is {min_score}; a score lies between -1 and 1")
    if not len(vectors) or not len(others):
        return
    bound = choose_bound(others, min_score)
    strip = _Strip(vectors, others, bound, _shortened(bound, others), min_score, _Buffers())
    starts = range(0, len(vectors), ROWS)
    for start, found in zip(starts, _in_order(strip, starts), strict=True):
        yield from found
        if progress:
            progress(_done(start + ROWS, len(vectors), symmetric=vectors is others), len(vectors))


def _done(rows: int, count: int, *, symmetric: bool) -> int:
    """Rows' worth of work done: of a symmetric search what is left is a triangle."""
    left = max(count - rows, 0)
    return count - (left * left // count if symmetric else left)


def _in_order(strip: "_Strip", starts: Sequence[int]) -> Iterator[list[Pairs]]:
    """The strips' results in order, a few ahead.

    One thread a core, each with BLAS to itself: BLAS's own threads take 1.5 to 10 times the CPU on blocks so thin, most
    on a busy machine.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        ahead: deque[Future[list[Pairs]]] = deque()
        for start in starts:
            ahead.append(pool.submit(strip, start))
            if len(ahead) > 2 * (os.cpu_count() or 1):
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class _Buffers(threading.local):
    """A block's products and which of them reach, once a thread: fresh memory for each block doubles the time."""

    def __init__(self) -> None:
        self.product = np.empty(ROWS * COLUMNS, np.float32)
        self.reached = np.empty(ROWS * COLUMNS, np.bool_)

    def of(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return self.product[:count], self.reached[:count]


@dataclass(frozen=True, slots=True)
class _Strip:
    """The search of some rows among all columns; `bounds` are the columns, shortened."""

    vectors: Stored
    others: Stored
    bound: Bound
    bounds: NDArray[np.float32]
    min_score: float
    buffers: "_Buffers"

    def __call__(self, start: int) -> list[Pairs]:
        symmetric = self.others is self.vectors
        rows = self.vectors[start : start + ROWS]
        short = self.bounds[start : start + ROWS] if symmetric else self.bound.shorten(rows)
        found: list[Pairs] = []
        for at in range(start if symmetric else 0, len(self.others), COLUMNS):
            first, second = self._reaching(short, at)
            first += start
            if symmetric and at < start + ROWS:
                upper = first < second
                first, second = first[upper], second[upper]
            found += self._scored(first, second)
        return found

    def _reaching(self, short: NDArray[np.float32], at: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        columns = self.bounds[at : at + COLUMNS]
        product, reached = self.buffers.of(len(short) * len(columns))
        np.matmul(short, columns.T, out=product.reshape(len(short), len(columns)))
        np.greater_equal(product, np.float32(self.min_score - _SLACK), out=reached)
        # One pass over flat numbers: np.nonzero of two axes takes three times as long.
        first, second = np.divmod(np.flatnonzero(reached), len(columns))
        return first, second + at

    def _scored(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Iterator[Pairs]:
        for at in range(0, len(first), _MOST_AT_ONCE):
            i, j = first[at : at + _MOST_AT_ONCE], second[at : at + _MOST_AT_ONCE]
            left, right = np.asarray(self.vectors[i], np.float32), np.asarray(self.others[j], np.float32)
            score = np.minimum(np.einsum("ij,ij->i", left, right), np.float32(1))
            enough = score >= self.min_score
            if enough.any():
                yield Pairs(i[enough], j[enough], score[enough])


def _shortened(bound: Bound, vectors: Stored) -> NDArray[np.float32]:
    parts = [bound.shorten(vectors[at : at + _PART]) for at in range(0, len(vectors), _PART)]
    return np.concatenate(parts)


def choose_bound(vectors: NDArray[Any], min_score: float) -> Bound:
    """The basis whose length makes the search cheapest, judged by how many pairs of a sample its bound lets through."""
    if len(vectors) < _FEW:
        return Bound(np.eye(vectors.shape[1], dtype=np.float32))
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False))
    sample = np.asarray(vectors[chosen], np.float32)
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = np.ascontiguousarray(axes[:, ::-1], np.float32)
    dim = sample.shape[1]
    lengths = sorted({min(length, dim) for length in (16, 24, 32, 48, 64, 96, 128, 192, dim)})
    return min((Bound(axes[:, :length]) for length in lengths), key=lambda bound: _cost(bound, sample, min_score))


def _cost(bound: Bound, sample: NDArray[np.float32], min_score: float) -> float:
    """Nanoseconds a pair."""
    short = bound.shorten(sample[:512])
    passing = np.count_nonzero(np.triu(short @ short.T >= min_score, 1)) / max(len(short) * (len(short) - 1) / 2, 1)
    return float(_GEMM * short.shape[1] + _GATHER * passing)
