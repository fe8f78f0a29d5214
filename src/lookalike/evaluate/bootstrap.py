"""Bootstrap intervals of figures, and of the difference of two models, by resampling queries.

Efron, Tibshirani: An Introduction to the Bootstrap, 1993 (percentile interval, paired differences).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.evaluate.metrics import Flags, Floats
from lookalike.evaluate.retrieval import Retrieval

TIMES = 1000
LEVEL = 0.95
_CHUNK = 50

Interval = tuple[float, float]
Draws = Mapping[str, Floats]
Groups = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of two models on the same queries, with the 95% interval of the difference.

    `p`: the two-sided p-value, the chance of a difference this large between equal models.
    """

    one: float
    other: float
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        return self.one - self.other

    @property
    def more_than_chance(self) -> bool:
        """Whether the 95% interval of the difference excludes zero."""
        return self.low > 0 or self.high < 0


def resampling_weights(count: int, *, times: int, seed: int, groups: Groups | None = None) -> Iterator[Floats]:
    """Yield arrays (at most 50, count): how often each query is drawn, in `times` rows altogether.

    `groups` (count,): a number per query; queries of the same number are drawn together, since images of one object are
    not independent.
    """
    random = np.random.default_rng(seed)
    members = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    size = int(members.max()) + 1
    for start in range(0, times, _CHUNK):
        rounds = min(_CHUNK, times - start)
        counts = [np.bincount(random.integers(0, size, size), minlength=size)[members] for _ in range(rounds)]
        yield np.stack(counts).astype(np.float64)


def bootstrap(result: Retrieval, *, times: int = TIMES, seed: int = 0, groups: Groups | None = None) -> Draws:
    """Return (times,) values of every figure, each over queries drawn with replacement.

    Figures that are means are exact. Pooled figures are computed from counts at 256 scores, then shifted by the
    difference between the exact value of the whole set and its value from these counts.
    """
    per = result.per_query
    names = list(per.values)
    answered = per.answered.astype(np.float64)
    values = np.stack([np.nan_to_num(per.values[name]) for name in names], axis=1)
    right, wrong = (part[:, ::-1].astype(np.float32) for part in (per.right_above, per.wrong_above))
    whole = figures_of_counts(right.sum(axis=0, dtype=np.float64)[None], wrong.sum(axis=0, dtype=np.float64)[None])
    draws: dict[str, list[Floats]] = {name: [] for name in (*names, *whole) if name in result.figures}
    for weight in resampling_weights(len(answered), times=times, seed=seed, groups=groups):
        count = np.maximum(weight @ answered, 1)
        for name, column in zip(names, ((weight @ values) / count[:, None]).T, strict=True):
            draws[name].append(column)
        weight32 = weight.astype(np.float32)
        for name, value in figures_of_counts(
            (weight32 @ right).astype(np.float64), (weight32 @ wrong).astype(np.float64)
        ).items():
            if name in draws:
                draws[name].append(np.clip(value + result.figures[name] - whole[name], 0, 1))
    return {name: np.concatenate(parts) for name, parts in draws.items()}


def bootstrap_pairs(scores: Floats, same: Flags, *, times: int = TIMES, seed: int = 0) -> Draws:
    """Return (times,) values of every figure of (n,) pairs, each over pairs drawn with replacement."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    right = same[order].astype(np.float64)
    parts: list[dict[str, Floats]] = []
    for weight in resampling_weights(len(scores), times=times, seed=seed):
        ordered = weight[:, order]
        parts.append(
            figures_of_counts(
                np.cumsum(ordered * right, axis=1)[:, ends], np.cumsum(ordered * (1 - right), axis=1)[:, ends]
            )
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def figures_of_counts(right: Floats, wrong: Floats) -> dict[str, Floats]:
    """Return figures of pairs, (draws,) each, from (draws, scores) counts of right and wrong pairs at or above a score.

    Scores fall along the second axis; the last must be the lowest that occurs.
    """
    zero = np.zeros((len(right), 1))
    right, wrong = np.concatenate((zero, right), axis=1), np.concatenate((zero, wrong), axis=1)
    total_right, total_wrong = np.maximum(right[:, -1:], 1), np.maximum(wrong[:, -1:], 1)
    tpr, fpr = right / total_right, wrong / total_wrong
    middle = (right[:, 1:] + right[:, :-1]) / 2
    gained = np.diff(tpr, axis=1)
    precise = right >= 0.9 * np.maximum(right + wrong, 1)
    gap = np.abs(fpr - (1 - tpr))
    nearest = gap.argmin(axis=1)
    rows = np.arange(len(right))
    return {
        "micro-AP": np.sum(gained * middle / np.maximum(middle + wrong[:, 1:], 1e-9), axis=1),
        "recall@P90": np.max(tpr * precise, axis=1),
        "ROC-AUC": np.sum(np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2, axis=1),
        "EER": (fpr[rows, nearest] + 1 - tpr[rows, nearest]) / 2,
        "TPR@FPR1e-2": np.max(tpr * (fpr <= 1e-2), axis=1),
        "TPR@FPR1e-3": np.max(tpr * (fpr <= 1e-3), axis=1),
    }


def intervals(draws: Draws, level: float = LEVEL) -> dict[str, Interval]:
    """Return the middle 95% of the drawn values of each figure."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {
        name: (float(low), float(high)) for name, values in draws.items() for low, high in [np.quantile(values, ends)]
    }


def differences(
    one: Mapping[str, float], other: Mapping[str, float], draws_one: Draws, draws_other: Draws
) -> dict[str, Difference]:
    """Return the difference of two models in each figure. Both draws need the same seed and the same queries."""
    result = {}
    for name in draws_one:
        if name not in draws_other:
            continue
        if len(draws_one[name]) != len(draws_other[name]):
            raise BadQuery("the two models have different numbers of draws; use the same times and seed for both")
        apart = draws_one[name] - draws_other[name]
        beyond = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
        ((low, high),) = intervals({name: apart}).values()
        result[name] = Difference(
            one=one[name], other=other[name], low=low, high=high, p=min(1.0, 2 * (beyond + 1) / (len(apart) + 1))
        )
    return result
