"""Metrics of the ranking of one query, by their definitions: what `retrieval` computes for all queries at once.

`ranked` (n,), best first: whether the image at each rank is a right answer.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


def worst_order(scores: NDArray[Any], right: Flags) -> Flags:
    """Sort (n,) right answers by (n,) scores, best first; among equal scores the wrong ones first."""
    return np.asarray(right[np.lexsort((right, -np.asarray(scores, np.float64)))], np.bool_)


def recall_at(ranked: Flags, k: int) -> float:
    """Return 1 if a right answer is among the first k, else 0: Recall@K of metric learning, R@1 of copy detection."""
    return float(ranked[:k].any())


def precision_at(ranked: Flags, k: int) -> float:
    """Return the share of right answers among the first k; ranks beyond the end of the ranking count as wrong."""
    return float(ranked[:k].sum() / k)


def average_precision(ranked: Flags) -> float:
    """Return the mean of the precision at each right answer (non-interpolated AP); NaN if there is none."""
    ranks = np.flatnonzero(ranked)
    return float(np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1))) if len(ranks) else float("nan")


def average_precision_at_r(ranked: Flags) -> float:
    """Return MAP@R of one query: the sum of precision at the right answers among the first R, over their number R.

    Musgrave, Belongie, Lim: A Metric Learning Reality Check, 2020.
    """
    total = int(ranked.sum())
    ranks = np.flatnonzero(ranked[:total])
    return float(np.sum(np.arange(1, len(ranks) + 1) / (ranks + 1)) / total) if total else float("nan")


def ndcg(ranked: Flags) -> float:
    """Return the gain 1 / log2(rank + 1) of right answers over that of the best order (Järvelin, Kekäläinen 2002)."""
    ranks = np.flatnonzero(ranked)
    if not len(ranks):
        return float("nan")
    return float(np.sum(1 / np.log2(ranks + 2)) / np.sum(1 / np.log2(np.arange(len(ranks)) + 2)))


def reciprocal_rank(ranked: Flags) -> float:
    """Return 1 / rank of the first right answer; 0 if there is none."""
    return float(1 / (1 + np.argmax(ranked))) if ranked.any() else 0.0
