"""One block of queries ranked against the whole gallery, reduced to the figures of each query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluate.metrics import Flags, Floats
from lookalike.evaluate.registry import Metric, merge_figures
from lookalike.similarity import cosine
from lookalike.types import Vectors

# Scores equal to six decimal places are ties: float32 sums in another order differ by a tenth of that. With integers,
# pooled pairs can be counted by score instead of stored, 4.9 billion of them at 70,000 x 70,000.
STEPS = 1_000_000
EXCLUDED = -2 * STEPS  # below every score: marks pairs that are left out

Ints = NDArray[np.int64]
Steps = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerQuery:
    """Figures of each query, in the order of the queries.

    `values`: each figure that is averaged over queries, (queries,), NaN if no right answer exists. `first_rank`: the
    rank of the first right answer, from 1 (0: none exists). `right`, `wrong`: gallery rows of the best right and best
    wrong answer (-1: none), with their scores. `right_above`, `wrong_above`: (queries, edges) numbers of pairs at or
    above each of some rising scores; the bootstrap of pooled figures adds them up.
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
class ScoreBlock:
    """Scores (queries, gallery) in integer steps of 1e-6, which of them are right, and which are valid.

    `query_codes` (queries,): labels as numbers.
    """

    steps: Steps
    right: Flags
    valid: Flags
    query_codes: Steps

    @classmethod
    def of(cls, queries: Vectors, gallery: Vectors, query_codes: Steps, gallery_codes: Steps, same: Ints) -> Self:
        """Score a block. `same` (n, 2): rows of queries and gallery that are the same image, which are not valid."""
        steps = np.rint(cosine(queries, gallery) * np.float32(STEPS)).astype(np.int32)
        valid = np.ones(steps.shape, np.bool_)
        valid[same[:, 0], same[:, 1]] = False
        return cls(steps, (query_codes[:, None] == gallery_codes) & valid, valid, query_codes)


def rank_block(
    block: ScoreBlock,
    gallery_codes: Steps,
    *,
    edges: Steps,
    ks: Sequence[int],
    neighbors: int,
    metrics: Sequence[Metric] = (),
) -> PerQuery:
    """Rank the gallery for each query of the block, wrong answers first among ties."""
    # A key holds the score and, in its last bit, whether the answer is wrong: sorting keys gives the worst order.
    keys = 2 * block.steps + ~block.right
    keys[~block.valid] = 2 * EXCLUDED + 1
    ordered = np.sort(keys, axis=1)  # rising
    ranked = (ordered[:, ::-1] & 1) == 0
    answers = _RightAnswers.of(ranked)
    values = answers.values(ks) | {f"{neighbors}-NN": _vote(block, gallery_codes, keys, ordered, neighbors)}
    values[f"{neighbors}-NN"][answers.totals == 0] = np.nan
    lengths = block.valid.sum(axis=1)
    for metric in metrics:
        values = merge_figures(values, {metric.name: _of_each(metric, ranked, lengths, answers.totals)})
    rows = np.arange(len(keys))
    right_steps = np.where(block.right, block.steps, EXCLUDED)
    wrong_steps = np.where(block.right | ~block.valid, EXCLUDED, block.steps)
    right, wrong = right_steps.argmax(axis=1), wrong_steps.argmax(axis=1)
    right_best, wrong_best = right_steps[rows, right], wrong_steps[rows, wrong]
    right_above = _right_above(answers, ordered, edges)
    all_above = np.stack([len(row) - np.searchsorted(row, 2 * edges) for row in ordered]).astype(np.int32)
    return PerQuery(
        values=values,
        first_rank=answers.first_rank,
        right=np.where(right_best > EXCLUDED, right, -1),
        wrong=np.where(wrong_best > EXCLUDED, wrong, -1),
        right_score=_score(right_best),
        wrong_score=_score(wrong_best),
        right_above=right_above,
        wrong_above=all_above - right_above,
    )


def _score(steps: NDArray[np.int32]) -> Floats:
    scores: Floats = np.where(steps > EXCLUDED, steps / STEPS, np.nan)
    return scores


@dataclass(frozen=True, slots=True)
class _RightAnswers:
    """The right answers: (n,) query and rank from 0, in order, and (queries,) how many each query has."""

    rows: Ints
    ranks: Ints
    totals: Ints

    @classmethod
    def of(cls, ranked: Flags) -> Self:
        rows, ranks = np.nonzero(ranked)
        return cls(rows, ranks, ranked.sum(axis=1))

    @property
    def starts(self) -> Ints:
        return np.cumsum(self.totals) - self.totals

    @property
    def first_rank(self) -> Ints:
        first = np.zeros(len(self.totals), np.int64)
        has = self.totals > 0
        first[has] = self.ranks[self.starts[has]] + 1
        return first

    def values(self, ks: Sequence[int]) -> dict[str, Floats]:
        """Return the metrics of each query's ranking; NaN for a query without a right answer.

        recall@k: whether a right answer is among the first k. precision@k: the share of right answers among them; ranks
        beyond the end count as wrong. mAP: the mean precision at the right answers. mAP@R: that of the first R ranks,
        for R right answers (Musgrave, Belongie, Lim 2020). nDCG: the gain 1 / log2(rank + 1) of right answers over that
        of the best order (Järvelin, Kekäläinen 2002). MRR: 1 / rank of the first right answer.
        """
        nth = np.arange(len(self.rows)) - self.starts[self.rows]
        gain = 1 / np.log2(np.arange(max(int(self.totals.max()), 1)) + 2)
        best = np.cumsum(gain)[np.maximum(self.totals, 1) - 1]
        precision = (nth + 1) / (self.ranks + 1)
        first = self.first_rank
        values = {f"recall@{k}": ((first > 0) & (first <= k)).astype(np.float64) for k in ks}
        values |= {f"precision@{k}": self._sum(self.ranks < k) / k for k in ks}
        divisor = np.maximum(self.totals, 1)
        values["mAP"] = self._sum(precision) / divisor
        values["mAP@R"] = self._sum(precision * (self.ranks < self.totals[self.rows])) / divisor
        values["nDCG"] = self._sum(1 / np.log2(self.ranks + 2)) / best
        values["MRR"] = 1 / np.maximum(first, 1)
        for figure in values.values():
            figure[self.totals == 0] = np.nan
        return values

    def _sum(self, weights: NDArray[np.generic]) -> Floats:
        return np.asarray(np.bincount(self.rows, weights.astype(np.float64), minlength=len(self.totals)), np.float64)


def _of_each(metric: Metric, ranked: Flags, lengths: Ints, totals: Ints) -> Floats:
    """(queries,) values of a metric; NaN for a query without a right answer. Pairs that are left out rank last."""
    return np.array(
        [metric(row[:length]) if total else np.nan for row, length, total in zip(ranked, lengths, totals, strict=True)],
        np.float64,
    )


def _right_above(answers: _RightAnswers, ordered: Steps, edges: Steps) -> Steps:
    """(queries, edges) right answers at or above each edge."""
    steps = ordered[answers.rows, ordered.shape[1] - 1 - answers.ranks] >> 1
    below = np.searchsorted(edges, steps, side="right")  # number of edges at or below the score
    cells = np.bincount(answers.rows * (len(edges) + 1) + below, minlength=len(answers.totals) * (len(edges) + 1))
    reached = cells.reshape(len(answers.totals), len(edges) + 1)
    return np.ascontiguousarray(np.cumsum(reached[:, ::-1], axis=1)[:, ::-1][:, 1:], dtype=np.int32)


def _vote(block: ScoreBlock, gallery_codes: Steps, keys: Steps, ordered: Steps, neighbors: int) -> Floats:
    """1 if the query's label has most votes of its nearest neighbors; of tied labels the higher sum of scores wins."""
    k = min(neighbors, keys.shape[1])
    # The k nearest without sorting rows again: all keys not below the k-th, without surplus ties.
    rows, columns = np.nonzero(keys >= ordered[:, -k][:, None])
    order = np.lexsort((columns, -keys[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(rows, np.arange(len(keys)))
    nearest = columns[starts[:, None] + np.arange(k)]  # (queries, k)
    steps: Ints = np.take_along_axis(block.steps, nearest, axis=1).astype(np.int64)
    valid = np.take_along_axis(block.valid, nearest, axis=1)
    labels = np.where(gallery_codes[nearest] == -1, -3 - nearest, gallery_codes[nearest])  # no label: its own class
    same: Flags = (labels[:, :, None] == labels[:, None, :]) & valid[:, None, :]
    votes = same.sum(axis=2) * (2 * k * STEPS + 1) + (same * (steps[:, None, :] + STEPS)).sum(axis=2)
    right = labels == block.query_codes[:, None]
    ballot = np.where(valid, 2 * votes + ~right, -1)
    return np.take_along_axis(right, ballot.argmax(axis=1)[:, None], axis=1)[:, 0].astype(np.float64)
