"""Choose the number of clusters by stability.

Two halves of the images are clustered separately, and both clusterings are applied to a third part. A number of
clusters is good where the two agree (Ben-Hur, Elisseeff, Guyon, 2002; Lange et al., 2004). Agreement is the adjusted
Rand index, which is 0 for chance agreement at any number of clusters. Each of the bands 2-12, 13-96 and 97-768 gives
one number: the largest within .02 of the band's best, since two halves agree easily about two clusters. Clusters have
at least 20 images on average.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.kmeans import assign, kmeans
from lookalike.types import Vectors

BANDS = ((2, 12), (13, 96), (97, 768))
_SAMPLE = 6_000
_MIN_MEAN_SIZE = 20  # images per cluster, on average
_STEP, _WIDE_STEP = 1.25, 1.5  # ratio between the numbers tried above 12, and above 96
_REPEATS = 2
_TIE = 0.02
_REFINEMENTS = (1.12, 1.06, 1.03)  # steps around the best number of a band


@dataclass(frozen=True, slots=True)
class LevelChoice:
    """The chosen `levels`, and `curve`: the agreement (adjusted Rand index) for each number of clusters tried."""

    levels: tuple[int, ...]
    curve: dict[int, float]


def choose_levels(vectors: Vectors, *, seed: int = 0) -> LevelChoice:
    """Return the numbers of clusters for (n, dim) vectors; (1,) if there are too few images."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(vectors))[:_SAMPLE]
    max_k = max(len(vectors) // _MIN_MEAN_SIZE, 1)
    bands = [(low, min(high, max_k)) for low, high in BANDS if low <= max_k]
    curve: dict[int, float] = {}
    levels = []
    for low, high in bands:
        for k in _candidates(low, high):
            curve[k] = _stability(vectors, rows, k, seed)
        for step in _REFINEMENTS:
            best = max(range(low, high + 1), key=lambda k: curve.get(k, -1.0))
            for k in {round(best / step), round(best * step)} - set(curve):
                if low <= k <= high:
                    curve[k] = _stability(vectors, rows, k, seed)
        levels.append(_best(curve, low, high))
    return LevelChoice(tuple(levels) or (1,), dict(sorted(curve.items())))


def agreement(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    """Return the adjusted Rand index (Hubert, Arabie, 1985) of two clusterings of the same images."""
    cells = np.unique(np.stack((a, b)), axis=1, return_counts=True)[1]
    both, first, second = (float((n * (n - 1.0)).sum() / 2) for n in (cells, np.bincount(a), np.bincount(b)))
    chance = first * second / max(len(a) * (len(a) - 1) / 2, 1)
    highest = (first + second) / 2
    return 1.0 if highest == chance else (both - chance) / (highest - chance)


def _best(curve: dict[int, float], low: int, high: int) -> int:
    within = {k: value for k, value in curve.items() if low <= k <= high}
    return max(k for k, value in within.items() if value >= max(within.values()) - _TIE)


def _candidates(low: int, high: int) -> list[int]:
    """The numbers of clusters to try first: all up to 12, then a geometric series."""
    if high <= 12:
        return list(range(low, high + 1))
    numbers, step = [low], _STEP if low < BANDS[-1][0] else _WIDE_STEP
    while round(numbers[-1] * step) <= high:
        numbers.append(round(numbers[-1] * step))
    return numbers


def _stability(vectors: Vectors, rows: NDArray[np.int64], k: int, seed: int) -> float:
    """The mean agreement over random splits into two halves to cluster and a third part to compare on."""
    agreements = []
    repeats = _REPEATS if k <= BANDS[0][1] else 1
    for repeat in range(repeats):
        parts = np.array_split(np.random.default_rng(seed + repeat).permutation(rows), 3)
        if len(parts[1]) < k:
            continue
        third = vectors[parts[2]]
        first, second = (
            assign(
                third, kmeans(vectors[part], k, seeds=2 if k <= 96 else 1, iterations=10, seed=seed + repeat).centers
            )[0]
            for part in parts[:2]
        )
        agreements.append(agreement(first, second))
    return float(np.mean(agreements)) if agreements else 0.0
