"""Mirrored and turned copies: a tiny grey picture of each image, brought into one of its eight positions.

The network knows a mirrored photo again (score .95 and more) but not one upside down (.3 to .6) or turned by a quarter
(.2 to .5), and embedding seven more positions of every image would cost seven times the indexing. A 16 x 16 grey
picture of the thumbnail costs 0.15 ms. Its first moments say which of the eight positions is the
normal one (mass to the right, mass below, more to the right than below), so one search finds what was eight; where a
moment is too near to the border to be sure, the picture is entered in both positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.pairs import Pairs, cross_pairs, near_pairs

SIDE = 16
UNSURE = 0.06  # of a unit vector's moment, which lies between -1 and 1: jpeg, resizing and light crops move it by less

Grey = NDArray[np.float32]

# How position n is made: mirrored left to right, then upside down, then rows and columns exchanged.
_EITHER = (False, True)
POSITIONS = tuple((m, f, e) for m in _EITHER for f in _EITHER for e in _EITHER)
WORDS = {
    (False, False, False): "",
    (True, False, False): "mirrored",
    (False, True, False): "upside down and mirrored",
    (True, True, False): "upside down",
    (False, False, True): "turned by a quarter and mirrored",
    (True, False, True): "turned by 90°",
    (False, True, True): "turned by 90°",
    (True, True, True): "turned by a quarter and mirrored",
}


@dataclass(frozen=True, slots=True)
class Greys:
    """`vectors` (n, 256) of length 1 and the `rows` they belong to; a picture in an unsure position has several."""

    vectors: NDArray[np.floating[Any]]
    rows: NDArray[np.int64]


def turned_pairs(greys: Greys, others: Greys | None, min_score: float) -> Iterator[Pairs]:
    """Pairs of different rows whose tiny pictures agree in some position: within `greys`, or across to `others`."""
    right = greys if others is None else others
    found = (
        near_pairs(greys.vectors, min_score) if others is None else cross_pairs(greys.vectors, right.vectors, min_score)
    )
    for pairs in found:
        first, second = greys.rows[pairs.first], right.rows[pairs.second]
        different = first != second if others is None else np.ones(len(first), np.bool_)
        if others is None:
            first, second = np.minimum(first, second), np.maximum(first, second)
        yield Pairs(first[different], second[different], pairs.score[different])


def tiny(image: NDArray[np.uint8] | None) -> Grey | None:
    """A grey picture (H, W) as (256,) levels of mean 0 and length 1; None when there is none or it is one colour."""
    import cv2

    return None if image is None else _unit(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def normal_positions(greys: Grey) -> Greys:
    """Each of (n, 256) in its normal position, or in all that may be it. `rows` count within `greys`."""
    squares = greys.reshape(-1, SIDE, SIDE)
    right, below = _moments(squares)
    size = np.abs(right) - np.abs(below)
    mirrored, flipped, exchanged = (_choices(value) for value in (right, below, -size))
    vectors, rows = [], []
    for position in POSITIONS:
        fits = np.flatnonzero(
            np.all([c[:, int(p)] for c, p in zip((mirrored, flipped, exchanged), position, strict=True)], 0)
        )
        if len(fits):
            vectors.append(in_position(squares[fits], position).reshape(len(fits), -1))
            rows.append(fits)
    if not vectors:
        return Greys(np.zeros((0, SIDE * SIDE), np.float32), np.zeros(0, np.int64))
    return Greys(np.ascontiguousarray(np.concatenate(vectors)), np.concatenate(rows).astype(np.int64))


def in_position(squares: Grey, position: Sequence[bool]) -> Grey:
    """Squares (n, 16, 16) mirrored, turned upside down, rows and columns exchanged, in this order."""
    mirrored, flipped, exchanged = position
    squares = squares[:, :, ::-1] if mirrored else squares
    squares = squares[:, ::-1] if flipped else squares
    return squares.transpose(0, 2, 1) if exchanged else squares


def position_of(kept: Grey, extra: Grey) -> tuple[float, str]:
    """The best score of two tiny pictures over the eight positions, and that position in words ("" for upright)."""
    square = kept.reshape(1, SIDE, SIDE)
    scores = [float(in_position(square, position).ravel() @ extra) for position in POSITIONS]
    best = int(np.argmax(scores))
    return scores[best], WORDS[POSITIONS[best]]


def _moments(squares: Grey) -> tuple[Grey, Grey]:
    """Mass to the right and mass below, of unit squares, each between -1 and 1."""
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    ramp /= np.linalg.norm(ramp) * SIDE**0.5
    return np.einsum("nij,j->n", squares, ramp), np.einsum("nij,i->n", squares, ramp)


def _choices(value: Grey) -> NDArray[np.bool_]:
    """(n, 2): may it stay, may it be changed; both where the value is too near to 0."""
    return np.stack([value > -UNSURE, value < UNSURE], 1)


def _unit(image: NDArray[np.uint8]) -> Grey | None:
    levels = image.astype(np.float32).ravel()
    levels -= levels.mean()
    length = float(np.linalg.norm(levels))
    return levels / length if length > SIDE else None  # less than one level of contrast
