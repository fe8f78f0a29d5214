"""Metrics of pooled pairs and of clusters, in plain NumPy, so that each can be checked by hand.

A higher score means more similar images. Among equal scores wrong answers rank first, so an embedder that gives
everything the same score gains nothing; only ROC-AUC follows its own definition (a tie counts half).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

# --- pooled pairs of images: each has a score and is of the same label or not


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of right and wrong pairs at each score: (n,) distinct scores, highest first, and two counts each."""

    scores: Floats
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[Any], right: Flags) -> Self:
        """Count (n,) pairs."""
        values, index = np.unique(np.asarray(scores, np.float64), return_inverse=True)
        positive, total = (np.bincount(part, minlength=len(values)) for part in (index[np.asarray(right)], index))
        return cls(values[::-1], positive[::-1], (total - positive)[::-1])

    def __add__(self, other: "Tally") -> "Tally":
        values, index = np.unique(np.concatenate((self.scores, other.scores)), return_inverse=True)
        summed = []
        for mine, theirs in ((self.right, other.right), (self.wrong, other.wrong)):
            counts = np.zeros(len(values), np.int64)
            np.add.at(counts, index, np.concatenate((mine, theirs)))
            summed.append(counts[::-1])
        return Tally(values[::-1], *summed)

    @property
    def pairs(self) -> int:
        """The number of pairs, right and wrong."""
        return int(self.right.sum() + self.wrong.sum())


_CHUNK = 10_000_000  # right pairs at a time: 80 MB per array


def micro_ap(tally: Tally) -> float:
    """Return µAP: the average precision of all pairs of all queries in one ranking, as in DISC2021 (arXiv:2106.09672).

    Among pairs of one score the wrong ones come first. NaN if no pair is right.
    """
    nonzero = np.flatnonzero(tally.right)
    if not len(nonzero):
        return float("nan")
    right = tally.right[nonzero]
    before, wrong = np.cumsum(right) - right, np.cumsum(tally.wrong)[nonzero]
    total, start = 0.0, 0
    ends = np.searchsorted(np.cumsum(right), np.arange(_CHUNK, right.sum() + _CHUNK, _CHUNK), side="left") + 1
    for end in np.unique(np.minimum(ends, len(nonzero))):
        counts = right[start:end]
        first = np.repeat(before[start:end] - np.cumsum(counts) + counts, counts)
        ranks = first + np.arange(1, counts.sum() + 1)  # among right pairs, from 1
        total += float(np.sum(ranks / (ranks + np.repeat(wrong[start:end], counts))))
        start = int(end)
    return total / int(right.sum())


def precision_recall(tally: Tally) -> tuple[Floats, Floats]:
    """Return (n,) precision and (n,) recall with each distinct score as the threshold."""
    right, wrong = np.cumsum(tally.right), np.cumsum(tally.wrong)
    return right / np.maximum(right + wrong, 1), right / max(int(tally.right.sum()), 1)


def recall_at_precision(tally: Tally, precision: float = 0.9) -> tuple[float, float]:
    """Return the largest recall of a threshold with at least this precision, and that threshold; (0, inf) if none."""
    reached, recall = precision_recall(tally)
    good = np.flatnonzero((reached >= precision) & (np.cumsum(tally.right) > 0))
    if not len(good):
        return 0.0, float("inf")
    # The highest score with that recall: lower ones only add wrong pairs.
    best = good[np.argmax(recall[good])]
    return float(recall[best]), float(tally.scores[best])


def roc(tally: Tally) -> tuple[Floats, Floats]:
    """Return (n + 1,) false and true positive rates from (0, 0) to (1, 1), one point per distinct score.

    Raises BadQuery if all pairs are right, or all wrong.
    """
    if not tally.right.sum() or not tally.wrong.sum():
        raise BadQuery("pairs of one kind only; give some that are the same and some that are not")
    return tuple(  # type: ignore[return-value]
        np.concatenate(([0.0], np.cumsum(part) / part.sum())) for part in (tally.wrong, tally.right)
    )


def roc_auc(tally: Tally) -> float:
    """Return the chance that a right pair scores above a wrong pair; a tie counts half."""
    fpr, tpr = roc(tally)
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))


def equal_error_rate(tally: Tally) -> float:
    """Return the error rate at which false negatives equal false positives, interpolated between measured points."""
    fpr, tpr = roc(tally)
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def tpr_at_fpr(tally: Tally, limit: float) -> float:
    """Return the true positive rate at the lowest threshold whose false positive rate is at most `limit`.

    With fewer than 1 / limit wrong pairs, no wrong pair may pass.
    """
    fpr, tpr = roc(tally)
    return float(tpr[np.flatnonzero(fpr <= limit)[-1]])


# --- clusters: (n,) cluster of each image, and its (n,) label


def _contingency(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """(3, cells) cluster, label and count of each combination that occurs."""
    if len(clusters) != len(labels) or not len(labels):
        raise BadQuery(f"{len(clusters)} clusters and {len(labels)} labels; give one of each per image")
    rows = np.unique(np.asarray(clusters), return_inverse=True)[1]
    columns = np.unique(np.asarray(labels), return_inverse=True)[1]
    cells, counts = np.unique(np.stack((rows, columns)), axis=1, return_counts=True)
    return np.concatenate((cells, counts[None]))


def purity(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> float:
    """Return the share of images whose label is the most frequent one of their cluster."""
    rows, _, counts = _contingency(clusters, labels)
    best = np.zeros(rows.max() + 1, np.int64)
    np.maximum.at(best, rows, counts)
    return float(best.sum() / counts.sum())


def mutual_information(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> float:
    """Return NMI: mutual information over the mean of the two entropies, 1 if both agree."""
    rows, columns, counts = _contingency(clusters, labels)
    share = counts / counts.sum()
    a, b = np.bincount(rows, share), np.bincount(columns, share)
    entropies = (-np.sum(a * np.log(a)) - np.sum(b * np.log(b))) / 2
    if entropies <= 0:
        return 1.0  # one cluster and one label agree
    return float(max(0.0, np.sum(share * np.log(share / (a[rows] * b[columns])))) / entropies)


def adjusted_rand(clusters: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> float:
    """Return ARI: agreement on pairs of images, 0 for chance and 1 for equal partitions (Hubert, Arabie 1985)."""
    rows, columns, counts = _contingency(clusters, labels)
    a, b = (np.bincount(part, counts) for part in (rows, columns))
    both, first, second, total = (float(np.sum(n * (n - 1) / 2)) for n in (counts, a, b, counts.sum(keepdims=True)))
    expected = first * second / total if total else 0.0
    highest = (first + second) / 2
    return 1.0 if highest == expected else (both - expected) / (highest - expected)
