"""Labels that spread: a few labelled pictures name the rest, or leave them unsure.

The k nearest labelled pictures vote with exp(score / temperature). The temperature is the one that makes the labelled
pictures themselves, each judged without itself, least surprising (Guo et al.: On calibration of modern neural networks,
2017, with the vote in the place of the logits). A picture is unsure whatever the vote says where nothing near it has
been named: less alike to everything labelled, or less connected to it (reach.py), than nine in ten labelled ones are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.connectivity import reach
from lookalike.errors import BadQuery
from lookalike.types import Vectors

VOTERS = 10
CONFIDENCE = 0.9
_FAR = 0.1  # of labelled pictures are as far from the others
_TEMPERATURES = np.geomspace(0.005, 0.5, 24)
_BLOCK = 8192
_LIKELY = 0.5  # another label must be more likely than not before a given one is suspicious

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Each labelled picture judged without itself, at temperatures fitted on other folds: what the confidence is worth.

    `confidence` (m,), `right` (m,) whether the label was found again; `temperature`, `floor` as used for the rest.
    """

    confidence: Floats
    right: NDArray[np.bool_]
    temperature: float
    floor: float

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of confidence and truth over ten bins (Naeini et al., 2015)."""
        return expected_calibration_error(self.confidence, self.right)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A labelled picture whose neighbours say otherwise: its row, the label they give, how sure, and their rows."""

    row: int
    given: str
    instead: str
    confidence: float
    neighbours: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """For each of n vectors: `guess`, its `confidence`, `nearest` score to a labelled one, and whether it is `sure`."""

    guess: NDArray[np.object_]
    confidence: Floats
    nearest: Floats
    sure: NDArray[np.bool_]
    calibration: Calibration
    suspects: list[Suspect]

    @property
    def labels(self) -> NDArray[np.object_]:
        """(n,) the label, or "" for unsure."""
        return np.where(self.sure, self.guess, "")


def spread(
    vectors: Vectors,
    rows: NDArray[np.int64],
    labels: Sequence[str],
    *,
    min_confidence: float = CONFIDENCE,
    voters: int = VOTERS,
) -> Spread:
    """Spread the `labels` of some `rows` over (n, dim) unit vectors; labelled rows keep their own.

    Raises BadQuery without two pictures of each of two labels: nothing could be held out to learn what a vote is worth.
    """
    names, given = np.unique(np.asarray(labels, object).astype(str), return_inverse=True)
    counts = np.bincount(given) if len(given) else np.zeros(0, np.int64)
    if (counts >= 2).sum() < 2:
        raise BadQuery(
            f"{len(given)} labelled pictures of {len(names)} labels are too few to spread: "
            "label at least two pictures of each of two labels, ten of each are better"
        )
    known = np.ascontiguousarray(vectors[rows])
    calibration, suspects = _held_out(known, given, names, rows, voters)
    guess, confidence, nearest = (
        np.empty(len(vectors), object),
        np.empty(len(vectors), np.float32),
        np.empty(len(vectors), np.float32),
    )
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        near, scores = _voters(vectors[part], known, voters)
        shares = _vote(given[near], scores, calibration.temperature, len(names))
        guess[part], confidence[part], nearest[part] = names[shares.argmax(1)], shares.max(1), scores[:, 0]
    met, held_out = reach(vectors, rows)
    connected = met >= np.quantile(held_out[counts[given] >= 2], _FAR)
    sure = (confidence >= min_confidence) & (nearest >= calibration.floor) & connected
    guess[rows], confidence[rows], sure[rows] = names[given], 1.0, True
    return Spread(guess, confidence, nearest, sure, calibration, suspects)


def refused_when_left_out(
    vectors: Vectors, rows: NDArray[np.int64], labels: Sequence[str], *, min_confidence: float = CONFIDENCE
) -> dict[str, float]:
    """By label: of its labelled pictures, the share that would be unsure if nobody had named that label."""
    given = np.asarray(labels, object).astype(str)
    found = {}
    for name in np.unique(given):
        others = np.flatnonzero(given != name)
        if (np.unique(given[others], return_counts=True)[1] >= 2).sum() < 2:
            continue
        asked = rows[given == name]
        picked = np.concatenate((rows[others], asked))
        told = spread(vectors[picked], np.arange(len(others)), given[others].tolist(), min_confidence=min_confidence)
        found[str(name)] = float(1 - told.sure[len(others) :].mean())
    return found


def expected_calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean over pictures of the gap between a bin's confidence and its share of right answers."""
    place = np.minimum((np.asarray(confidence) * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, confidence, bins) - np.bincount(place, right, bins)
    return float(np.abs(gaps).sum() / max(len(place), 1))


def _held_out(
    known: Vectors, given: NDArray[np.int64], names: NDArray[np.str_], rows: NDArray[np.int64], voters: int
) -> tuple[Calibration, list[Suspect]]:
    near, scores = _voters(known, known, voters, without_self=True)
    fair = np.bincount(given)[given] >= 2  # the only picture of a label cannot be found again
    folds = np.arange(len(given)) % 2
    shares = np.empty((len(given), len(names)), np.float32)
    for fold in (0, 1):
        fitted = _fit(given[near], scores, given, fair & (folds != fold))
        shares[folds == fold] = _vote(given[near[folds == fold]], scores[folds == fold], fitted, len(names))
    temperature = _fit(given[near], scores, given, fair)
    right = shares.argmax(1) == given
    floor = float(np.quantile(scores[fair, 0], _FAR))
    suspects = [
        Suspect(int(rows[n]), names[given[n]], names[shares[n].argmax()], float(shares[n].max()),
                tuple(rows[near[n, :5]].tolist()), tuple(scores[n, :5].tolist()))
        for n in np.flatnonzero(fair & ~right & (shares.max(1) >= _LIKELY))
    ]  # fmt: skip
    suspects.sort(key=lambda suspect: -suspect.confidence)
    return Calibration(shares.max(1)[fair], right[fair], temperature, floor), suspects


def _voters(
    asked: Vectors, known: Vectors, voters: int, *, without_self: bool = False
) -> tuple[NDArray[np.int64], Floats]:
    import faiss

    from lookalike.cluster.neighbours import without_self as others

    index = faiss.IndexFlatIP(known.shape[1])
    index.add(known)
    scores, near = index.search(np.ascontiguousarray(asked), min(voters + without_self, len(known)))
    if without_self:
        rows, scores = others(near, scores)
        return rows.astype(np.int64), scores
    return near, np.clip(scores, -1, 1)


def _vote(labels: NDArray[np.int64], scores: Floats, temperature: float, count: int) -> Floats:
    """(n, k) voters' labels and scores to (n, count) shares of the vote."""
    weights = np.exp((scores - scores[:, :1]) / temperature)
    place = np.arange(len(labels))[:, None] * count + labels
    shares = np.bincount(place.ravel(), weights.ravel(), len(labels) * count).reshape(-1, count)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _fit(labels: NDArray[np.int64], scores: Floats, given: NDArray[np.int64], rows: NDArray[np.bool_]) -> float:
    """The temperature at which the labels of these rows are least surprising; a vote of 0 counts as 1 in 1,000."""
    if not rows.any():
        rows = np.ones_like(rows)
    agree = labels[rows] == given[rows][:, None]

    def surprise(temperature: float) -> float:
        weights = np.exp((scores[rows] - scores[rows, :1]) / temperature)
        return float(-np.log(np.maximum((weights * agree).sum(1) / weights.sum(1), 1e-3)).mean())

    return float(min(_TEMPERATURES, key=surprise))
