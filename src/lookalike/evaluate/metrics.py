"""Figures of one ranking, of pooled pairs, of clusters. Plain NumPy over scores, so that each can be checked by hand.

A score is higher where two pictures are more alike. Among equal scores the wrong ones come first, so that an embedder
that gives everything the same score gets nothing for it; ROC-AUC alone follows its definition (a tie is worth half).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

# --- one query: `ranked` tells of each place, best first, whether its picture is a right answer


def worst_order(scores: NDArray[Any], right: Flags) -> Flags:
    """(n,) scores and right answers to the (n,) ranking, best score first; among equal scores the wrong ones first."""
    return np.asarray(right[np.lexsort((right, -np.asarray(scores, np.float64)))], np.bool_)


def recall_at(ranked: Flags, k: int) -> float:
    """1 where a right answer is among the first k, else 0: Recall@K of metric learning, R@1 of copy detection."""
    return float(ranked[:k].any())


def precision_at(ranked: Flags, k: int) -> float:
    """The share of right answers among the first k; places beyond the end of the ranking count as wrong."""
    return float(ranked[:k].sum() / k)


def average_precision(ranked: Flags) -> float:
    """Mean of the precision at each right answer (non-interpolated AP); NaN where there is none."""
    places = np.flatnonzero(ranked)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1))) if len(places) else float("nan")


def average_precision_at_r(ranked: Flags) -> float:
    """MAP@R of one query: precision at the right answers among the first R, over R = how many there are.

    Musgrave, Belongie, Lim: A Metric Learning Reality Check, 2020.
    """
    total = int(ranked.sum())
    places = np.flatnonzero(ranked[:total])
    return float(np.sum(np.arange(1, len(places) + 1) / (places + 1)) / total) if total else float("nan")


def ndcg(ranked: Flags) -> float:
    """Gain 1 / log2(place + 1) of each right answer, over that of the best order (Järvelin, Kekäläinen 2002)."""
    places = np.flatnonzero(ranked)
    if not len(places):
        return float("nan")
    return float(np.sum(1 / np.log2(places + 2)) / np.sum(1 / np.log2(np.arange(len(places)) + 2)))


def reciprocal_rank(ranked: Flags) -> float:
    """1 / place of the first right answer; 0 where there is none."""
    return float(1 / (1 + np.argmax(ranked))) if ranked.any() else 0.0


# --- pairs of pictures, pooled: each has a score and is of the same label or not


@dataclass(frozen=True, slots=True)
class Tally:
    """How many right and wrong pairs have each score: (n,) distinct scores, highest first, and two counts of each."""

    scores: Floats
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[Any], right: Flags) -> Self:
        """Count (n,) pairs."""
        values, place = np.unique(np.asarray(scores, np.float64), return_inverse=True)
        positive, every = (np.bincount(part, minlength=len(values)) for part in (place[np.asarray(right)], place))
        return cls(values[::-1], positive[::-1], (every - positive)[::-1])

    def __add__(self, other: "Tally") -> "Tally":
        values, place = np.unique(np.concatenate((self.scores, other.scores)), return_inverse=True)
        summed = []
        for mine, theirs in ((self.right, other.right), (self.wrong, other.wrong)):
            counts = np.zeros(len(values), np.int64)
            np.add.at(counts, place, np.concatenate((mine, theirs)))
            summed.append(counts[::-1])
        return Tally(values[::-1], *summed)

    @property
    def pairs(self) -> int:
        return int(self.right.sum() + self.wrong.sum())


_EXPANDED = 10_000_000  # right pairs at a time: 80 MB an array


def micro_ap(tally: Tally) -> float:
    """µAP: the average precision of all pairs of all queries in one ranking, as DISC2021 judges (arXiv:2106.09672).

    Among pairs of one score the wrong ones come first. NaN where no pair is right.
    """
    hit = np.flatnonzero(tally.right)
    if not len(hit):
        return float("nan")
    right = tally.right[hit]
    before, wrong = np.cumsum(right) - right, np.cumsum(tally.wrong)[hit]
    total, start = 0.0, 0
    ends = np.searchsorted(np.cumsum(right), np.arange(_EXPANDED, right.sum() + _EXPANDED, _EXPANDED), side="left") + 1
    for end in np.unique(np.minimum(ends, len(hit))):
        counts = right[start:end]
        first = np.repeat(before[start:end] - np.cumsum(counts) + counts, counts)
        places = first + np.arange(1, counts.sum() + 1)  # among right pairs, from 1
        total += float(np.sum(places / (places + np.repeat(wrong[start:end], counts))))
        start = int(end)
    return total / int(right.sum())


def precision_recall(tally: Tally) -> tuple[Floats, Floats]:
    """(n,) precision and (n,) recall where everything from each score upwards is taken."""
    right, wrong = np.cumsum(tally.right), np.cumsum(tally.wrong)
    return right / np.maximum(right + wrong, 1), right / max(int(tally.right.sum()), 1)


def recall_at_precision(tally: Tally, precision: float = 0.9) -> tuple[float, float]:
    """The largest recall of a cut-off whose precision is at least so high, and that score; (0, inf) where none is."""
    reached, recall = precision_recall(tally)
    good = np.flatnonzero((reached >= precision) & (np.cumsum(tally.right) > 0))
    if not len(good):
        return 0.0, float("inf")
    # The highest score with that recall: lower ones would only add wrong pairs.
    best = good[np.argmax(recall[good])]
    return float(recall[best]), float(tally.scores[best])


def roc(tally: Tally) -> tuple[Floats, Floats]:
    """(n + 1,) false and true positive rates from (0, 0) to (1, 1), a point a distinct score. Raises BadQuery."""
    if not tally.right.sum() or not tally.wrong.sum():
        raise BadQuery("pairs of one kind only: give some that are the same and some that are not")
    return tuple(  # type: ignore[return-value]
        np.concatenate(([0.0], np.cumsum(part) / part.sum())) for part in (tally.wrong, tally.right)
    )


def roc_auc(tally: Tally) -> float:
    """The chance that a right pair's score is above a wrong pair's; a tie is worth half."""
    fpr, tpr = roc(tally)
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))


def equal_error_rate(tally: Tally) -> float:
    """The error where as many right pairs are refused as wrong ones accepted, on the line between measured points."""
    fpr, tpr = roc(tally)
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def tpr_at_fpr(tally: Tally, limit: float) -> float:
    """The share of right pairs accepted by the lowest cut-off that lets at most this share of wrong ones through.

    With fewer than 1 / limit wrong pairs that is: none.
    """
    fpr, tpr = roc(tally)
    return float(tpr[np.flatnonzero(fpr <= limit)[-1]])


# --- clusters: (n,) names given by a clustering beside the (n,) true labels


def _table(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """How often each cluster meets each label, as (pairs that occur: cluster, label, count)."""
    if len(clusters) != len(labels) or not len(labels):
        raise BadQuery(f"{len(clusters)} clusters and {len(labels)} labels were given; one of each a picture is wanted")
    rows = np.unique(np.asarray(clusters), return_inverse=True)[1]
    columns = np.unique(np.asarray(labels), return_inverse=True)[1]
    cells, counts = np.unique(np.stack((rows, columns)), axis=1, return_counts=True)
    return np.concatenate((cells, counts[None]))


def purity(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> float:
    """The share of pictures whose label is the most frequent one of their cluster."""
    rows, _, counts = _table(clusters, labels)
    best = np.zeros(rows.max() + 1, np.int64)
    np.maximum.at(best, rows, counts)
    return float(best.sum() / counts.sum())


def mutual_information(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> float:
    """NMI: mutual information over the mean of the two entropies, 1 where both say the same."""
    rows, columns, counts = _table(clusters, labels)
    share = counts / counts.sum()
    a, b = np.bincount(rows, share), np.bincount(columns, share)
    entropies = (-np.sum(a * np.log(a)) - np.sum(b * np.log(b))) / 2
    if entropies <= 0:
        return 1.0  # one cluster, one label: they agree
    return float(max(0.0, np.sum(share * np.log(share / (a[rows] * b[columns])))) / entropies)


def adjusted_rand(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> float:
    """ARI: pairs of pictures on which both agree, 0 for chance and 1 for the same (Hubert, Arabie 1985)."""
    rows, columns, counts = _table(clusters, labels)
    a, b = (np.bincount(part, counts) for part in (rows, columns))
    both, first, second, every = (float(np.sum(n * (n - 1) / 2)) for n in (counts, a, b, counts.sum(keepdims=True)))
    expected = first * second / every if every else 0.0
    highest = (first + second) / 2
    return 1.0 if highest == expected else (both - expected) / (highest - expected)
