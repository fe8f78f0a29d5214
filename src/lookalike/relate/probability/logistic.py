"""Logistic regression with nonnegative weights, from evidence to a probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

_STEPS = 3000
_RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Logistic:
    """P = 1 / (1 + exp(-(bias + weights . x))). No weight is negative: more evidence never counts against."""

    bias: float
    weights: tuple[float, ...]

    def logit(self, rows: Rows) -> NDArray[np.float64]:
        """(n, inputs) to (n,)."""
        return np.asarray(self.bias + np.atleast_2d(rows) @ np.array(self.weights), np.float64)

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        return sigmoid(self.logit(rows))

    def to_json(self) -> dict[str, Any]:
        return {"bias": round(self.bias, 5), "weights": [round(w, 5) for w in self.weights]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Logistic":
        return cls(float(raw["bias"]), tuple(map(float, raw["weights"])))


def sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -40, 40))), np.float64)


def fit_logistic(rows: Rows, truth: Sequence[bool] | NDArray[np.bool_], *, ridge: float = _RIDGE) -> Logistic:
    """Fit weights that minimize cross-entropy with a small ridge penalty, by projected accelerated gradient descent.

    Probabilities hold for the share of true examples among the rows.

    Targets are moved away from 0 and 1 as Platt proposes (Probabilistic outputs for support vector machines, 1999), so
    that a few hundred examples do not claim certainty.
    """
    x, y = np.asarray(rows, np.float64), np.asarray(truth, np.float64)
    center, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = np.concatenate(((x - center) / scale, np.ones((len(x), 1))), axis=1)
    yes, no = max(float(y.sum()), 1.0), max(float(len(y) - y.sum()), 1.0)
    target = np.where(y > 0, (yes + 1) / (yes + 2), 1 / (no + 2))
    share = np.full(len(y), 1 / len(y))
    solved = _descend(z, target, share, ridge)
    weights = solved[:-1] / scale
    return Logistic(float(solved[-1] - weights @ center), tuple(float(w) for w in weights))


def _descend(z: Rows, target: NDArray[np.float64], share: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    step = 4 / float(np.linalg.eigvalsh((z * share[:, None]).T @ z)[-1])
    weights = lookahead = np.zeros(z.shape[1])
    for n in range(_STEPS):
        slope = z.T @ (share * (sigmoid(z @ lookahead) - target))
        slope[:-1] += ridge * lookahead[:-1]
        next_weights = lookahead - step * slope
        next_weights[:-1] = np.maximum(next_weights[:-1], 0)
        lookahead = next_weights + n / (n + 3) * (next_weights - weights)
        weights = next_weights
    return weights
