"""How far figures may be chance: intervals by resampling queries, and the same for the difference of two models.

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
Drawn = Mapping[str, Floats]
Groups = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of two models on the same queries. `p`: how often chance alone would differ so much, both ways."""

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
        """Whether the 95 % interval of the difference leaves zero out."""
        return self.low > 0 or self.high < 0


def weights(count: int, *, times: int, seed: int, groups: Groups | None = None) -> Iterator[Floats]:
    """(at most 50, count) how often each query is drawn, until `times` draws were made.

    `groups`: (count,) a number a query; queries of a number are drawn together, since pictures of one thing are not
    independent.
    """
    random = np.random.default_rng(seed)
    members = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    size = int(members.max()) + 1
    for start in range(0, times, _CHUNK):
        rounds = min(_CHUNK, times - start)
        drawn = [np.bincount(random.integers(0, size, size), minlength=size)[members] for _ in range(rounds)]
        yield np.stack(drawn).astype(np.float64)


def draw(found: Retrieval, *, times: int = TIMES, seed: int = 0, groups: Groups | None = None) -> Drawn:
    """(times,) values of every figure, each over queries drawn with replacement.

    Figures that are means are exact. Pooled ones are computed at 256 scores and moved by what the whole set's exact
    value differs from its value there.
    """
    per = found.per_query
    names = list(per.values)
    answered = per.answered.astype(np.float64)
    values = np.stack([np.nan_to_num(per.values[name]) for name in names], axis=1)
    right, wrong = (part[:, ::-1].astype(np.float32) for part in (per.right_above, per.wrong_above))
    whole = pooled(right.sum(axis=0, dtype=np.float64)[None], wrong.sum(axis=0, dtype=np.float64)[None])
    drawn: dict[str, list[Floats]] = {name: [] for name in (*names, *whole) if name in found.figures}
    for weight in weights(len(answered), times=times, seed=seed, groups=groups):
        counted = np.maximum(weight @ answered, 1)
        for name, column in zip(names, ((weight @ values) / counted[:, None]).T, strict=True):
            drawn[name].append(column)
        light = weight.astype(np.float32)
        for name, value in pooled((light @ right).astype(np.float64), (light @ wrong).astype(np.float64)).items():
            if name in drawn:
                drawn[name].append(np.clip(value + found.figures[name] - whole[name], 0, 1))
    return {name: np.concatenate(parts) for name, parts in drawn.items()}


def draw_pairs(scores: Floats, same: Flags, *, times: int = TIMES, seed: int = 0) -> Drawn:
    """(times,) values of every figure of (n,) pairs, each over pairs drawn with replacement."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    right = same[order].astype(np.float64)
    parts: list[dict[str, Floats]] = []
    for weight in weights(len(scores), times=times, seed=seed):
        ordered = weight[:, order]
        parts.append(
            pooled(np.cumsum(ordered * right, axis=1)[:, ends], np.cumsum(ordered * (1 - right), axis=1)[:, ends])
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def pooled(right: Floats, wrong: Floats) -> dict[str, Floats]:
    """Figures of pairs, (draws,) each, from (draws, scores) how many right and wrong ones reach each falling score.

    The last score must be the lowest that occurs.
    """
    zero = np.zeros((len(right), 1))
    right, wrong = np.concatenate((zero, right), axis=1), np.concatenate((zero, wrong), axis=1)
    rights, wrongs = np.maximum(right[:, -1:], 1), np.maximum(wrong[:, -1:], 1)
    tpr, fpr = right / rights, wrong / wrongs
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


def intervals(drawn: Drawn, level: float = LEVEL) -> dict[str, Interval]:
    """The middle 95 % of the drawn values of each figure."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {
        name: (float(low), float(high)) for name, values in drawn.items() for low, high in [np.quantile(values, ends)]
    }


def differences(
    one: Mapping[str, float], other: Mapping[str, float], drawn_one: Drawn, drawn_other: Drawn
) -> dict[str, Difference]:
    """What two models differ by in each figure. Both must be drawn with the same seed over the same queries."""
    found = {}
    for name in drawn_one:
        if name not in drawn_other:
            continue
        if len(drawn_one[name]) != len(drawn_other[name]):
            raise BadQuery("the two models were drawn differently often; use the same times and seed for both")
        apart = drawn_one[name] - drawn_other[name]
        beyond = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
        ((low, high),) = intervals({name: apart}).values()
        found[name] = Difference(
            one=one[name], other=other[name], low=low, high=high, p=min(1.0, 2 * (beyond + 1) / (len(apart) + 1))
        )
    return found
