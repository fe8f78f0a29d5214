"""One block of queries against the whole gallery: from scores to what is kept of each query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluate.metrics import Flags, Floats
from lookalike.similarity import cosine
from lookalike.types import Vectors

# Scores that agree to six places are ties: float32 sums in another order differ by a tenth of that. Whole numbers also
# let pooled pairs be counted by score instead of kept, 4.9 billion of them at 70,000 x 70,000.
STEPS = 1_000_000
LEAST = -2 * STEPS  # below every score: what is left out

Ints = NDArray[np.int64]
Steps = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerQuery:
    """One entry a query, in the order asked.

    `values`: each figure that is a mean over queries, (queries,), NaN where no right answer exists. `first_rank`: place
    of the first right answer, from 1 (0: none exists). `right`, `wrong`: gallery rows of the best right and best wrong
    answer (-1: none) with their scores. `right_above`, `wrong_above`: (queries, edges) pairs of each query that score
    at least each of some rising scores; the bootstrap of pooled figures adds them up.
    """

    values: Mapping[str, Floats]
    first_rank: Ints
    right: Ints
    wrong: Ints
    right_score: Floats
    wrong_score: Floats
    right_above: Steps
    wrong_above: Steps

    @property
    def answered(self) -> Flags:
        """(queries,) whether a right answer exists."""
        return self.first_rank > 0


@dataclass(frozen=True, slots=True)
class Block:
    """Scores (queries, gallery) in whole steps of 1e-6, which of them are right, and which count at all."""

    steps: Steps
    right: Flags
    kept: Flags
    asked: Steps

    @classmethod
    def of(cls, queries: Vectors, gallery: Vectors, asked: Steps, known: Steps, own: Ints) -> Self:
        """`asked`, `known`: labels as numbers. `own`: (n, 2) rows of queries and gallery that are one picture."""
        steps = np.rint(cosine(queries, gallery) * np.float32(STEPS)).astype(np.int32)
        kept = np.ones(steps.shape, np.bool_)
        kept[own[:, 0], own[:, 1]] = False
        return cls(steps, (asked[:, None] == known) & kept, kept, asked)


def rank_block(block: Block, known: Steps, *, edges: Steps, ks: Sequence[int], neighbours: int) -> PerQuery:
    """Rank the gallery for each query of the block, the wrong first among ties."""
    # One number holds a score and, in its last bit, whether it is wrong: sorting it is the worst order.
    keys = 2 * block.steps + ~block.right
    keys[~block.kept] = 2 * LEAST + 1
    ordered = np.sort(keys, axis=1)  # rising
    places = _Places.of((ordered[:, ::-1] & 1) == 0)
    values = places.values(ks) | {f"{neighbours}-NN": _vote(block, known, keys, ordered, neighbours)}
    values[f"{neighbours}-NN"][places.totals == 0] = np.nan
    rows = np.arange(len(keys))
    right_steps = np.where(block.right, block.steps, LEAST)
    wrong_steps = np.where(block.right | ~block.kept, LEAST, block.steps)
    right, wrong = right_steps.argmax(axis=1), wrong_steps.argmax(axis=1)
    right_best, wrong_best = right_steps[rows, right], wrong_steps[rows, wrong]
    right_above = _right_above(places, ordered, edges)
    every_above = np.stack([len(row) - np.searchsorted(row, 2 * edges) for row in ordered]).astype(np.int32)
    return PerQuery(
        values=values,
        first_rank=places.first_rank,
        right=np.where(right_best > LEAST, right, -1),
        wrong=np.where(wrong_best > LEAST, wrong, -1),
        right_score=_score(right_best),
        wrong_score=_score(wrong_best),
        right_above=right_above,
        wrong_above=every_above - right_above,
    )


def _score(steps: NDArray[np.int32]) -> Floats:
    scores: Floats = np.where(steps > LEAST, steps / STEPS, np.nan)
    return scores


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the right answers lie: (n,) query and place from 0, in order, and (queries,) how many each query has."""

    rows: Ints
    places: Ints
    totals: Ints

    @classmethod
    def of(cls, ranked: Flags) -> Self:
        rows, places = np.nonzero(ranked)
        return cls(rows, places, ranked.sum(axis=1))

    @property
    def starts(self) -> Ints:
        return np.cumsum(self.totals) - self.totals

    @property
    def first_rank(self) -> Ints:
        first = np.zeros(len(self.totals), np.int64)
        has = self.totals > 0
        first[has] = self.places[self.starts[has]] + 1
        return first

    def values(self, ks: Sequence[int]) -> dict[str, Floats]:
        """The figures of metrics.py for each query at once; NaN where nothing is right."""
        nth = np.arange(len(self.rows)) - self.starts[self.rows]
        gain = 1 / np.log2(np.arange(max(int(self.totals.max()), 1)) + 2)
        best = np.cumsum(gain)[np.maximum(self.totals, 1) - 1]
        precision = (nth + 1) / (self.places + 1)
        first = self.first_rank
        values = {f"recall@{k}": ((first > 0) & (first <= k)).astype(np.float64) for k in ks}
        values |= {f"precision@{k}": self._sum(self.places < k) / k for k in ks}
        divisor = np.maximum(self.totals, 1)
        values["mAP"] = self._sum(precision) / divisor
        values["mAP@R"] = self._sum(precision * (self.places < self.totals[self.rows])) / divisor
        values["nDCG"] = self._sum(1 / np.log2(self.places + 2)) / best
        values["MRR"] = 1 / np.maximum(first, 1)
        for figure in values.values():
            figure[self.totals == 0] = np.nan
        return values

    def _sum(self, weights: NDArray[np.generic]) -> Floats:
        return np.asarray(np.bincount(self.rows, weights.astype(np.float64), minlength=len(self.totals)), np.float64)


def _right_above(places: _Places, ordered: Steps, edges: Steps) -> Steps:
    """(queries, edges) right answers at or above each edge."""
    steps = ordered[places.rows, ordered.shape[1] - 1 - places.places] >> 1
    below = np.searchsorted(edges, steps, side="right")  # how many edges the score reaches
    cells = np.bincount(places.rows * (len(edges) + 1) + below, minlength=len(places.totals) * (len(edges) + 1))
    reached = cells.reshape(len(places.totals), len(edges) + 1)
    return np.ascontiguousarray(np.cumsum(reached[:, ::-1], axis=1)[:, ::-1][:, 1:], dtype=np.int32)


def _vote(block: Block, known: Steps, keys: Steps, ordered: Steps, neighbours: int) -> Floats:
    """1 where most of the nearest have the query's label. Of equally many votes the higher sum of scores wins."""
    k = min(neighbours, keys.shape[1])
    # The k nearest without sorting rows a second time: all keys that reach the k-th, surplus ties cut off after.
    rows, columns = np.nonzero(keys >= ordered[:, -k][:, None])
    order = np.lexsort((columns, -keys[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(rows, np.arange(len(keys)))
    nearest = columns[starts[:, None] + np.arange(k)]  # (queries, k)
    steps: Ints = np.take_along_axis(block.steps, nearest, axis=1).astype(np.int64)
    valid = np.take_along_axis(block.kept, nearest, axis=1)
    labels = np.where(known[nearest] == -1, -3 - nearest, known[nearest])  # each without a label is its own
    alike: Flags = (labels[:, :, None] == labels[:, None, :]) & valid[:, None, :]
    votes = alike.sum(axis=2) * (2 * k * STEPS + 1) + (alike * (steps[:, None, :] + STEPS)).sum(axis=2)
    right = labels == block.asked[:, None]
    ballot = np.where(valid, 2 * votes + ~right, -1)
    return np.take_along_axis(right, ballot.argmax(axis=1)[:, None], axis=1)[:, 0].astype(np.float64)
