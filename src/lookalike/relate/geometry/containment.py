"""Where one image lies in another: how large, how rotated, and which of the two contains the other."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.boxes import Box, box_to_page
from lookalike.relate.geometry.transform import (
    UNIT_SQUARE,
    intersection_area,
    plausible,
    project,
    summarize_transform,
)
from lookalike.relate.geometry.verify import Match, with_summary
from lookalike.types import Relation

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Location:
    """Where an image lies in another one.

    `outline`: (4, 2), its corners as fractions of the larger image, clockwise from its own top left. `share`: of the
    larger image's area. `turn`: degrees clockwise. `scale`: pixels there per pixel of the query. `relation`: of the
    parts that they share, COPY or SAME_OBJECT, with its `probability`. `shared`: the corners (4, 2) of what both show,
    as fractions of the first and of the second image.
    """

    outline: NDArray[np.float64]
    share: float
    turn: float
    scale: float
    mirrored: bool
    probability: float
    inliers: int
    match: Match
    relation: Relation
    shared: tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Containment:
    """An image that contains the query (kind "inside"), is contained in it ("holds"), or overlaps it ("overlaps").

    `kind` is that of `containment_kind`.
    """

    id: str
    path: str
    kind: str
    location: Location


def outline_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the intersection over union of two convex outlines (4, 2) in one frame."""
    shared = intersection_area(first, second)
    union = sum(intersection_area(outline, outline) for outline in (first, second)) - shared
    return shared / union if union > 0 else 0.0


def containment_kind(match: Match) -> str:
    """Return how the first image lies in the second: "inside", "holds", "the same image" or "overlaps"."""
    inside, holds = match.kept_first >= 0.9, match.kept_second >= 0.9
    if inside and holds:
        return "the same image"
    return "inside" if inside else "holds" if holds else "overlaps"


def in_wholes(match: Match, first: tuple[Box, Size], second: tuple[Box, Size]) -> Match | None:
    """Turn a match of two parts into one of the whole images; None if that is not plausible.

    `first`, `second`: the box of the part, and (width, height) of the whole image in pixels.
    """
    if match.model == "none":
        return None
    (a, size_a), (b, size_b) = first, second
    matrix = box_to_page(b) @ match.transform @ np.linalg.inv(box_to_page(a))
    matrix = np.asarray(matrix / matrix[2, 2], np.float64)
    summary = summarize_transform(matrix, size_a, size_b, mirrored=match.mirrored)
    if not plausible(summary):
        return None
    points = match.points.copy()
    points[:, :2] = points[:, :2] * a[2:] + a[:2]
    points[:, 2:] = points[:, 2:] * b[2:] + b[:2]
    return with_summary(replace(match, points=points), matrix, summary)


def part_shown(match: Match) -> NDArray[np.float64]:
    """Return (4, 2), the second's corners as fractions of the first: the part of the first that the second shows."""
    return project(np.linalg.inv(match.transform), UNIT_SQUARE)
