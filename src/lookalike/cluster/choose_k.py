"""How many clusters: the numbers at which two halves of the pictures, clustered apart, agree best about a third part.

Stability in the sense of Ben-Hur, Elisseeff, Guyon (2002) and Lange et al. (2004), measured by the adjusted Rand index,
which is 0 for agreement by chance at any number of clusters. From each of the bands 2-12, 13-96 and 97-768 the largest
number is taken that is within .02 of the band's best, since two halves agree easily about two clusters. A cluster keeps
at least 20 pictures on average.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.kmeans import assign, kmeans
from lookalike.types import Vectors

BANDS = ((2, 12), (13, 96), (97, 768))
_SAMPLE = 6_000
_FEWEST = 20  # pictures a cluster, on average
_STEP, _WIDE_STEP = 1.25, 1.5  # between the numbers tried beyond 12, and beyond 96
_REPEATS = 2
_TIE = 0.02
_NEARER = (1.12, 1.06, 1.03)  # steps around the best rung of a band


@dataclass(frozen=True, slots=True)
class Choice:
    """`levels` chosen; `curve`: the agreement (adjusted Rand index) at each number tried."""

    levels: tuple[int, ...]
    curve: dict[int, float]


def choose_levels(vectors: Vectors, *, seed: int = 0) -> Choice:
    """Numbers of clusters for (n, dim) vectors; (1,) where there are too few pictures to tell."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(vectors))[:_SAMPLE]
    most = max(len(vectors) // _FEWEST, 1)
    bands = [(low, min(high, most)) for low, high in BANDS if low <= most]
    curve: dict[int, float] = {}
    levels = []
    for low, high in bands:
        for k in _ladder(low, high):
            curve[k] = _stability(vectors, rows, k, seed)
        for step in _NEARER:
            best = max(range(low, high + 1), key=lambda k: curve.get(k, -1.0))
            for k in {round(best / step), round(best * step)} - set(curve):
                if low <= k <= high:
                    curve[k] = _stability(vectors, rows, k, seed)
        levels.append(_best(curve, low, high))
    return Choice(tuple(levels) or (1,), dict(sorted(curve.items())))


def agreement(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    """Adjusted Rand index (Hubert, Arabie 1985) of two groupings of the same pictures."""
    cells = np.unique(np.stack((a, b)), axis=1, return_counts=True)[1]
    both, first, second = (float((n * (n - 1.0)).sum() / 2) for n in (cells, np.bincount(a), np.bincount(b)))
    chance = first * second / max(len(a) * (len(a) - 1) / 2, 1)
    highest = (first + second) / 2
    return 1.0 if highest == chance else (both - chance) / (highest - chance)


def _best(curve: dict[int, float], low: int, high: int) -> int:
    within = {k: value for k, value in curve.items() if low <= k <= high}
    return max(k for k, value in within.items() if value >= max(within.values()) - _TIE)


def _ladder(low: int, high: int) -> list[int]:
    if high <= 12:
        return list(range(low, high + 1))
    rungs, step = [low], _STEP if low < BANDS[-1][0] else _WIDE_STEP
    while round(rungs[-1] * step) <= high:
        rungs.append(round(rungs[-1] * step))
    return rungs


def _stability(vectors: Vectors, rows: NDArray[np.int64], k: int, seed: int) -> float:
    """Mean agreement over a few divisions into two halves that are clustered and a third part that is judged."""
    found = []
    repeats = _REPEATS if k <= BANDS[0][1] else 1
    for repeat in range(repeats):
        parts = np.array_split(np.random.default_rng(seed + repeat).permutation(rows), 3)
        if len(parts[1]) < k:
            continue
        judged = vectors[parts[2]]
        first, second = (
            assign(
                judged, kmeans(vectors[part], k, seeds=2 if k <= 96 else 1, iterations=10, seed=seed + repeat).centres
            )[0]
            for part in parts[:2]
        )
        found.append(agreement(first, second))
    return float(np.mean(found)) if found else 0.0
