"""The distribution of scores of unrelated images, in particular of its upper tail."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import with_new_keys, with_old_keys
from lookalike.similarity import cosine
from lookalike.types import Vectors

# quantiles between which the tail is fitted; unknown copies may lie above
_MIN_QUANTILE, _MAX_QUANTILE = 0.98, 0.998
_NEAREST = 10
MIN_BACKGROUND = 200  # images of background; fewer say nothing about a query


@dataclass(frozen=True, slots=True)
class Tail:
    """P(score of an unrelated image >= s) = `share` * (1 + shape * (s - start) / scale) ** (-1 / shape).

    A generalized Pareto tail above `start` (Pickands, 1975), for raw scores or, if `normalized`, for scores minus the
    query's own level.
    """

    start: float
    scale: float
    shape: float
    share: float
    normalized: bool = False

    def chance(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability that one unrelated image scores as high."""
        over = np.maximum(np.asarray(scores, np.float64) - self.start, 0) / self.scale
        if abs(self.shape) < 1e-6:
            rarity = np.exp(-over)
        else:
            rarity = np.maximum(1 + self.shape * over, 1e-12) ** (-1 / self.shape)
        tail_probability = self.share * rarity
        # Below the tail the probability is not modeled: anything between `share` and 1.
        return np.asarray(np.where(np.asarray(scores) < self.start, 1.0, tail_probability), np.float64)

    def score_at(self, chance: float) -> float:
        """Return the score that an unrelated image reaches with the given probability."""
        if chance >= self.share:
            return self.start
        rarity = chance / self.share
        if abs(self.shape) < 1e-6:
            return float(self.start - self.scale * np.log(rarity))
        return float(self.start + self.scale * (rarity**-self.shape - 1) / self.shape)

    def to_json(self) -> dict[str, Any]:
        numbers = {name: round(float(getattr(self, name)), 7) for name in ("start", "scale", "shape", "share")}
        return with_old_keys({**numbers, "normalized": self.normalized})

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Tail":
        raw = with_new_keys(raw)
        start, scale, shape, share = (float(raw[name]) for name in ("start", "scale", "shape", "share"))
        return cls(start, scale, shape, share, bool(raw["normalized"]))


@dataclass(frozen=True, slots=True)
class Background:
    """Vectors (n, dim) of images that queries are compared with, to measure their typical scores."""

    vectors: Vectors

    def level(self, queries: Vectors) -> NDArray[np.float64]:
        """Return the mean of each query's 10 highest scores in the background, itself excluded; 0 if that is too small.

        Douze et al.: The 2021 Image Similarity Dataset and Challenge, arXiv:2106.09672, section on score
        normalization.
        """
        if len(self.vectors) < MIN_BACKGROUND:
            return np.zeros(len(queries))
        scores = cosine(queries, self.vectors).astype(np.float64)
        scores[scores > 0.9999] = -1
        top = np.partition(scores, -_NEAREST, axis=1)[:, -_NEAREST:]
        return np.asarray(top.mean(axis=1), np.float64)


def fit_tail(scores: NDArray[Any], *, normalized: bool) -> Tail:
    """Fit a tail to the scores of pairs that are nearly all unrelated.

    The fit uses the quantiles from 98 to 99.8%, which the few pairs of unknown copies do not reach: scale and shape
    that give the observed quantiles, by least squares. The shape is limited to -.3 to 0: cosines are bounded, and a
    tail longer than exponential was never observed.
    """
    ordered = np.sort(np.asarray(scores, np.float64).ravel())
    levels = 1 - np.geomspace(1 - _MIN_QUANTILE, 1 - _MAX_QUANTILE, 16)
    at = np.quantile(ordered, levels)
    start, share = float(at[0]), 1 - _MIN_QUANTILE
    rarity = (1 - levels[1:]) / share
    best = (np.inf, 0.0, 1e-3)
    for shape in np.linspace(-0.3, 0.0, 31):
        unit = -np.log(rarity) if shape > -1e-6 else (rarity**-shape - 1) / shape
        over = at[1:] - start
        scale = max(float(over @ unit / (unit @ unit)), 1e-4)
        best = min(best, (float(((over - scale * unit) ** 2).sum()), float(shape), scale))
    return Tail(start, best[2], best[1], share, normalized)
