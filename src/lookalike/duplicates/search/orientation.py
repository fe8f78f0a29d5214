"""Mirrored and rotated copies: a tiny gray signature of each thumbnail, brought into a normal orientation.

The network recognizes a mirrored photo (score .95 and more) but not one upside down (.3 to .6) or rotated by 90° (.2 to
.5), and embedding seven more orientations of every image would make indexing seven times as expensive. The signature, a
16 x 16 gray version of the thumbnail, costs 0.15 ms. Its first moments define which of the eight orientations is the
normal one (mass to the right, mass below, more to the right than below), so one search replaces eight. Where a moment
is too small to be reliable, the signature is entered in both orientations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search import pairs as pairs_module
from lookalike.duplicates.search.pairs import ScoredPairs, cross_pairs, near_pairs, nearest_pairs
from lookalike.tasks import TaskPool

SIDE = 16
MIN_MOMENT = 0.06  # of a unit vector's moment, in [-1, 1]; JPEG, resizing and light crops change it by less

GrayArray: TypeAlias = NDArray[np.float32]

_BOOLEANS = (False, True)
# Each orientation: mirrored left to right, then flipped upside down, then transposed.
ORIENTATIONS = tuple((m, f, t) for m in _BOOLEANS for f in _BOOLEANS for t in _BOOLEANS)


@dataclass(frozen=True, slots=True)
class OrientedThumbnails:
    """Signatures in normal orientation. `vectors` (n, 256) of length 1; `rows` (n,): the row of each one's image.

    An image whose normal orientation is ambiguous has several.
    """

    vectors: NDArray[np.floating[Any]]
    rows: NDArray[np.int64]


def rotated_pairs(
    thumbnails: OrientedThumbnails, others: OrientedThumbnails | None, min_score: float, tasks: TaskPool | None = None
) -> Iterator[ScoredPairs]:
    """Yield pairs of rows whose signatures agree in some orientation: within `thumbnails`, or across to `others`."""
    right = thumbnails if others is None else others
    for pairs in _similar(thumbnails, others, min_score, tasks):
        first, second = thumbnails.rows[pairs.first], right.rows[pairs.second]
        different = first != second if others is None else np.ones(len(first), np.bool_)
        if others is None:
            first, second = np.minimum(first, second), np.maximum(first, second)
        yield ScoredPairs(first[different], second[different], pairs.score[different])


def _similar(
    thumbnails: OrientedThumbnails, others: OrientedThumbnails | None, min_score: float, tasks: TaskPool | None
) -> Iterator[ScoredPairs]:
    if others is not None:
        return cross_pairs(thumbnails.vectors, others.vectors, min_score, tasks=tasks)
    if len(thumbnails.vectors) > pairs_module.MAX_EXACT:
        return iter([nearest_pairs(np.asarray(thumbnails.vectors, np.float32), min_score)])
    return near_pairs(thumbnails.vectors, min_score, tasks=tasks)


def signature(image: NDArray[np.uint8] | None) -> GrayArray | None:
    """Return a gray image (H, W) as a vector (256,) of mean 0 and length 1; None for no image or a uniform one."""
    import cv2

    return None if image is None else _unit(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def normalize_orientation(signatures: GrayArray) -> OrientedThumbnails:
    """Return signatures (n, 256) in every orientation that may be their normal one; `rows` index `signatures`."""
    squares = signatures.reshape(-1, SIDE, SIDE)
    right, below = _moments(squares)
    size = np.abs(right) - np.abs(below)
    mirrored, flipped, transposed = (_choices(value) for value in (right, below, -size))
    vectors, rows = [], []
    for orientation in ORIENTATIONS:
        fits = np.flatnonzero(
            np.all([c[:, int(o)] for c, o in zip((mirrored, flipped, transposed), orientation, strict=True)], 0)
        )
        if len(fits):
            vectors.append(reorient(squares[fits], orientation).reshape(len(fits), -1))
            rows.append(fits)
    if not vectors:
        return OrientedThumbnails(np.zeros((0, SIDE * SIDE), np.float32), np.zeros(0, np.int64))
    return OrientedThumbnails(np.ascontiguousarray(np.concatenate(vectors)), np.concatenate(rows).astype(np.int64))


def reorient(squares: GrayArray, orientation: Sequence[bool]) -> GrayArray:
    """Return squares (n, 16, 16) mirrored, flipped upside down and transposed, in this order."""
    mirrored, flipped, transposed = orientation
    squares = squares[:, :, ::-1] if mirrored else squares
    squares = squares[:, ::-1] if flipped else squares
    return squares.transpose(0, 2, 1) if transposed else squares


def _moments(squares: GrayArray) -> tuple[GrayArray, GrayArray]:
    """Return the horizontal and vertical moments of unit squares, each in [-1, 1]: mass to the right, mass below."""
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    ramp /= np.linalg.norm(ramp) * SIDE**0.5
    return np.einsum("nij,j->n", squares, ramp), np.einsum("nij,i->n", squares, ramp)


def _choices(value: GrayArray) -> NDArray[np.bool_]:
    """Return (n, 2): whether the orientation may stay, whether it may change; both where the value is near 0."""
    return np.stack([value > -MIN_MOMENT, value < MIN_MOMENT], 1)


def _unit(image: NDArray[np.uint8]) -> GrayArray | None:
    levels = image.astype(np.float32).ravel()
    levels -= levels.mean()
    length = float(np.linalg.norm(levels))
    return levels / length if length > SIDE else None  # less than one level of contrast
