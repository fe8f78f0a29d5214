"""Label propagation: a few labeled images name the rest, or leave them unsure.

The k nearest labeled images vote with weight exp(score / temperature). The temperature minimizes the negative log
likelihood of the labeled images, each predicted without itself (Guo et al.: On calibration of modern neural networks,
2017, with votes instead of logits). Whatever the vote, an image is unsure if its best score to a labeled image is lower
than that of nearly all labeled images, or if it is badly connected to labeled images along nearest neighbors: below the
connectivity that 70% of the labeled images of its label have without their own labels. A threshold per label, from
held-out images of the label, is class-conditional conformal prediction (Vovk, Lindsay, Nouretdinov, Gammerman: Mondrian
confidence machine, 2003); the connectivity of 70% of all labeled images bounds it below, because few labels say little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbors import blocks, drop_self, index_for, nearest_neighbors
from lookalike.deprecation import renamed_property
from lookalike.errors import BadQuery
from lookalike.types import Vectors

VOTERS = 10
MIN_CONFIDENCE = 0.9
UNSURE, NONE_OF_THESE = "unsure", "none of these"
"""What stands in the place of a label in the tables that are written: they say nothing of what an image shows."""
_FAR_SHARE = 0.05  # share of the labeled images that would count as far from the others
_UNCONNECTED_SHARE = 0.3  # share of the held-out labeled images that would count as unconnected; the vote doubts most
_TEMPERATURES = np.geomspace(0.005, 0.5, 24)
_BLOCK = 8192
_MIN_SUSPICION = 0.5  # another label must be more likely than not before a given one is suspect

_WALK_NEIGHBORS = 30
_WALK_TEMPERATURE = 0.1  # a neighbor whose score is lower by this is visited 1 / e as often
_WALK_CONTINUE = 0.9  # chance to continue after each step
_WALK_STEPS = 20
_WALK_FOLDS = 5

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VoteCalibration:
    """What the stated confidence is worth: each labeled image predicted without itself, at temperatures of other folds.

    `confidence` (m,); `right` (m,): whether the predicted label is the given one; `temperature`, `floor` (the lowest
    score to a labeled image): as used for the rest.
    """

    confidence: Floats
    right: NDArray[np.bool_]
    temperature: float
    floor: float

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of confidence and accuracy over ten bins (Naeini et al., 2015)."""
        return expected_calibration_error(self.confidence, self.right)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A labeled image whose neighbors contradict its label.

    `row`; its `label`; the label of its neighbors (`instead`) with its `confidence`; rows and `scores` of `neighbors`.
    """

    row: int
    label: str
    instead: str
    confidence: float
    neighbors: tuple[int, ...]
    scores: tuple[float, ...]

    given = renamed_property("given", "label")

    neighbours = renamed_property("neighbours", "neighbors")


@dataclass(frozen=True, slots=True)
class PropagatedLabels:
    """For each of n vectors: `guess`, its `confidence`, `nearest` score to a labeled image, and whether it is `sure`.

    `calibration`: what the confidence is worth. `suspects`: labels that their neighbors contradict, the surest first.
    """

    guess: NDArray[np.object_]
    confidence: Floats
    nearest: Floats
    sure: NDArray[np.bool_]
    calibration: VoteCalibration
    suspects: list[Suspect]

    @property
    def labels(self) -> NDArray[np.object_]:
        """(n,) the label, or "" if unsure."""
        return np.where(self.sure, self.guess, "")


def propagate_labels(
    vectors: Vectors,
    rows: NDArray[np.int64],
    labels: Sequence[str],
    *,
    min_confidence: float = MIN_CONFIDENCE,
    voters: int = VOTERS,
) -> PropagatedLabels:
    """Propagate the `labels` of some `rows` to (n, dim) unit vectors; labeled rows keep their own.

    Raises BadQuery without two images of each of two labels: calibration needs labels to hold out.
    """
    names, codes = np.unique(np.asarray(labels, object).astype(str), return_inverse=True)
    counts = np.bincount(codes) if len(codes) else np.zeros(0, np.int64)
    if (counts >= 2).sum() < 2:
        raise BadQuery(
            f"{len(codes)} labeled images of {len(names)} labels are too few to spread: "
            "label at least two images of each of two labels; ten of each are better"
        )
    labeled = np.ascontiguousarray(vectors[rows])
    calibration, suspects = _calibrate(labeled, codes, names, rows, voters)
    best = np.empty(len(vectors), np.int64)
    confidence, nearest = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    index = index_for(labeled, len(vectors))
    for part in blocks(len(vectors), _BLOCK):
        near, scores = _nearest_labeled(index, vectors[part], voters)
        shares = _vote(codes[near], scores, calibration.temperature, len(names))
        best[part], confidence[part], nearest[part] = shares.argmax(1), shares.max(1), scores[:, 0]
    reached, held_out = connectivity(vectors, rows)
    connected = reached >= _min_connectivity(held_out, codes)[best]
    sure = (confidence >= min_confidence) & (nearest >= calibration.floor) & connected
    guess = names.astype(object)[best]
    guess[rows], confidence[rows], sure[rows] = names[codes], 1.0, True
    return PropagatedLabels(guess, confidence, nearest, sure, calibration, suspects)


def expected_calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the mean over images of the gap between a bin's mean confidence and its share of right answers."""
    bin_of = np.minimum((np.asarray(confidence) * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, confidence, bins) - np.bincount(bin_of, right, bins)
    return float(np.abs(gaps).sum() / max(len(bin_of), 1))


def _calibrate(
    labeled: Vectors, codes: NDArray[np.int64], names: NDArray[np.str_], rows: NDArray[np.int64], voters: int
) -> tuple[VoteCalibration, list[Suspect]]:
    near, scores = _nearest_others(labeled, voters)
    testable = np.bincount(codes)[codes] >= 2  # the only image of a label cannot be predicted by others
    folds = np.arange(len(codes)) % 2
    shares = np.empty((len(codes), len(names)), np.float32)
    for fold in (0, 1):
        fitted = _fit_temperature(codes[near], scores, codes, testable & (folds != fold))
        shares[folds == fold] = _vote(codes[near[folds == fold]], scores[folds == fold], fitted, len(names))
    temperature = _fit_temperature(codes[near], scores, codes, testable)
    right = shares.argmax(1) == codes
    floor = float(np.quantile(scores[testable, 0], _FAR_SHARE))
    suspects = [
        Suspect(int(rows[n]), names[codes[n]], names[shares[n].argmax()], float(shares[n].max()),
                tuple(rows[near[n, :5]].tolist()), tuple(scores[n, :5].tolist()))
        for n in np.flatnonzero(testable & ~right & (shares.max(1) >= _MIN_SUSPICION))
    ]  # fmt: skip
    suspects.sort(key=lambda suspect: -suspect.confidence)
    return VoteCalibration(shares.max(1)[testable], right[testable], temperature, floor), suspects


def _nearest_others(labeled: Vectors, voters: int) -> tuple[NDArray[np.int64], Floats]:
    """Rows of each labeled vector's nearest others, best first, and their scores."""
    rows, scores = drop_self(*_nearest_labeled(index_for(labeled, len(labeled)), labeled, voters + 1))
    return rows.astype(np.int64), scores


def _nearest_labeled(index: Any, queries: Vectors, voters: int) -> tuple[NDArray[np.int64], Floats]:
    """Rows (n, k) among the labeled vectors, best first, and their scores."""
    scores, near = index.search(np.ascontiguousarray(queries), min(voters, index.ntotal))
    missing = near < 0  # an inverted file may find fewer: the best one again, with no weight
    return np.where(missing, near[:, :1], near), np.where(missing, -1, np.clip(scores, -1, 1)).astype(np.float32)


def _vote(labels: NDArray[np.int64], scores: Floats, temperature: float, count: int) -> Floats:
    """(n, k) voters' labels and scores to (n, count) shares of the vote."""
    weights = np.exp((scores - scores[:, :1]) / temperature)
    cells = np.arange(len(labels))[:, None] * count + labels
    shares = np.bincount(cells.ravel(), weights.ravel(), len(labels) * count).reshape(-1, count)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _fit_temperature(
    labels: NDArray[np.int64], scores: Floats, codes: NDArray[np.int64], rows: NDArray[np.bool_]
) -> float:
    """The temperature with the lowest negative log likelihood over these rows; a vote of 0 counts as 1 in 1,000."""
    if not rows.any():
        rows = np.ones_like(rows)
    agree = labels[rows] == codes[rows][:, None]

    def loss(temperature: float) -> float:
        weights = np.exp((scores[rows] - scores[rows, :1]) / temperature)
        return float(-np.log(np.maximum((weights * agree).sum(1) / weights.sum(1), 1e-3)).mean())

    return float(min(_TEMPERATURES, key=loss))


# --- connectivity: random walks along nearest neighbors


def _min_connectivity(held_out: Floats, codes: NDArray[np.int64]) -> Floats:
    """Return for each label the connectivity below which an image is not of it; no less than that of all labels.

    `held_out`, `codes`: (m,) of the labeled images. A label of one image has no more than the bound of all labels.
    """
    testable = np.bincount(codes)[codes] >= 2
    overall = np.quantile(held_out[testable], _UNCONNECTED_SHARE)
    own = [np.quantile(held_out[codes == code], _UNCONNECTED_SHARE) for code in range(codes.max() + 1)]
    return np.where(np.bincount(codes) >= 2, np.maximum(own, overall), overall).astype(np.float32)


def connectivity(vectors: Vectors, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the chance that a random walk from each of (n, dim) vectors reaches one of the labeled `rows`.

    Two arrays: (n,) of all vectors, and (m,) of `rows` themselves, each computed with its fifth of them unlabeled. The
    walk goes from neighbor to neighbor and may stop at any step. An unlabeled kind of image holds together: its
    neighbors are each other, and a walk rarely leaves it, even if the nearest labeled image is not far. After Zhu,
    Ghahramani, Lafferty: Semi-supervised learning using Gaussian fields and harmonic functions, 2003.
    """
    near, scores = nearest_neighbors(vectors, _WALK_NEIGHBORS)
    if not near.shape[1]:
        return np.ones(len(vectors), np.float32), np.ones(len(rows), np.float32)
    weights = scores  # in place: a graph of ten million images takes a gigabyte
    for part in blocks(len(near), _BLOCK):
        weights[part] = np.exp((scores[part] - scores[part, :1]) / _WALK_TEMPERATURE)
        weights[part] /= weights[part].sum(axis=1, keepdims=True)
    held_out = np.zeros(len(rows), np.float32)
    folds = np.random.default_rng(0).permutation(len(rows)) % _WALK_FOLDS
    for fold in range(_WALK_FOLDS):
        unlabeled = folds == fold
        held_out[unlabeled] = _walk(near, weights, rows[~unlabeled])[rows[unlabeled]]
    return _walk(near, weights, rows), held_out


def _walk(near: NDArray[np.int32], weights: Floats, rows: NDArray[np.int64]) -> Floats:
    reached = np.zeros(len(near), np.float32)
    reached[rows] = 1
    for _ in range(_WALK_STEPS):
        before, reached = reached, np.empty_like(reached)
        for part in blocks(len(near), _BLOCK):
            reached[part] = _WALK_CONTINUE * np.einsum("nk,nk->n", weights[part], before[near[part]])
        reached[rows] = 1
    return reached
