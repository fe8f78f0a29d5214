"""Scores of unrelated pictures, and how rarely they are high: what makes a score mean something."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import cosine
from lookalike.types import Vectors

_FROM, _TO = 0.98, 0.998  # the part of the scores that the tail is fitted to; beyond may lie unknown copies
_NEAREST = 10
LEAST = 200  # pictures of background: fewer say nothing of a query


@dataclass(frozen=True, slots=True)
class Tail:
    """P(score of an unrelated picture >= s) = `share` * (1 + shape * (s - start) / scale) ** (-1 / shape).

    A generalised Pareto tail beyond `start` (Pickands, 1975), for raw scores or, with `normalised`, for scores less
    the query's own level.
    """

    start: float
    scale: float
    shape: float
    share: float
    normalised: bool = False

    def chance(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """The chance that one unrelated picture scores so high."""
        over = np.maximum(np.asarray(scores, np.float64) - self.start, 0) / self.scale
        if abs(self.shape) < 1e-6:
            rarity = np.exp(-over)
        else:
            rarity = np.maximum(1 + self.shape * over, 1e-12) ** (-1 / self.shape)
        beyond = self.share * rarity
        # Below the tail the chance is not modelled: anything between `share` and 1.
        return np.asarray(np.where(np.asarray(scores) < self.start, 1.0, beyond), np.float64)

    def score_at(self, chance: float) -> float:
        """The score that an unrelated picture reaches with that chance."""
        if chance >= self.share:
            return self.start
        rarity = chance / self.share
        if abs(self.shape) < 1e-6:
            return float(self.start - self.scale * np.log(rarity))
        return float(self.start + self.scale * (rarity**-self.shape - 1) / self.shape)

    def to_json(self) -> dict[str, Any]:
        numbers = {name: round(float(getattr(self, name)), 7) for name in ("start", "scale", "shape", "share")}
        return {**numbers, "normalised": self.normalised}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Tail":
        start, scale, shape, share = (float(raw[name]) for name in ("start", "scale", "shape", "share"))
        return cls(start, scale, shape, share, bool(raw["normalised"]))


@dataclass(frozen=True, slots=True)
class Background:
    """Vectors (n, dim) of pictures that a query is held against to learn what an ordinary score is for it."""

    vectors: Vectors

    def level(self, queries: Vectors) -> NDArray[np.float64]:
        """The mean of each query's 10 highest scores with the background, itself left out; 0 where it is too small.

        Douze et al.: The 2021 Image Similarity Dataset and Challenge, arXiv:2106.09672, section on score
        normalisation.
        """
        if len(self.vectors) < LEAST:
            return np.zeros(len(queries))
        scores = cosine(queries, self.vectors).astype(np.float64)
        scores[scores > 0.9999] = -1
        top = np.partition(scores, -_NEAREST, axis=1)[:, -_NEAREST:]
        return np.asarray(top.mean(axis=1), np.float64)


def fit_tail(scores: NDArray[Any], *, normalised: bool) -> Tail:
    """A tail from the scores of pairs that are nearly all unrelated.

    Fitted between the 98 and 99.8 % quantiles, where the few pairs that are copies after all do not reach: the scale
    and shape that give the quantiles seen, by least squares. The shape is held between -.3 and 0: cosines are bounded,
    and a longer tail than exponential was never seen.
    """
    ordered = np.sort(np.asarray(scores, np.float64).ravel())
    levels = 1 - np.geomspace(1 - _FROM, 1 - _TO, 16)
    at = np.quantile(ordered, levels)
    start, share = float(at[0]), 1 - _FROM
    rarity = (1 - levels[1:]) / share
    best = (np.inf, 0.0, 1e-3)
    for shape in np.linspace(-0.3, 0.0, 31):
        unit = -np.log(rarity) if shape > -1e-6 else (rarity**-shape - 1) / shape
        over = at[1:] - start
        scale = max(float(over @ unit / (unit @ unit)), 1e-4)
        best = min(best, (float(((over - scale * unit) ** 2).sum()), float(shape), scale))
    return Tail(start, best[2], best[1], share, normalised)
