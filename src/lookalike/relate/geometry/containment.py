"""Find one image inside another: where, how large and how rotated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.transform import UNIT_SQUARE, Matrix, intersection_area, project
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.types import RGB, Relation

Box = tuple[float, float, float, float]  # x, y, width, height as fractions of the image

PAGE_SIDE = 1536
PAGE_FEATURES = 3000
_TILE_SIZE = 0.5  # of either side; tiles overlap by half
_MARGIN = 0.2
_MIN_HINT_INLIERS = 4  # inliers that are worth a closer check


@dataclass(frozen=True, slots=True)
class Location:
    """Where an image lies in another one.

    `outline`: (4, 2), its corners as fractions of the larger image, clockwise from its own top left. `share`: of the
    larger image's area. `turn`: degrees clockwise. `scale`: pixels there per pixel of the query. `relation`: of the
    parts that they share, COPY or SAME_OBJECT, with its `probability`. `shared`: the corners (4, 2) of what both show,
    as fractions of the first and of the second image; None if only points were compared.
    """

    outline: NDArray[np.float64]
    share: float
    turn: float
    scale: float
    mirrored: bool
    probability: float
    inliers: int
    match: Match
    relation: Relation = Relation.COPY
    shared: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


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


def to_location(match: Match, calibration: Calibration) -> Location | None:
    probability = calibration.copy_by_match(None, match)
    if match.model == "none" or probability < 0.5:
        return None
    return location_of(match, probability)


def location_of(match: Match, probability: float, relation: Relation = Relation.COPY) -> Location:
    return Location(
        match.outline,
        match.kept_second,
        match.turn,
        match.scale,
        match.mirrored,
        probability,
        match.inliers,
        match,
        relation,
    )


def containment_kind(match: Match) -> str:
    """Return how the first image lies in the second: "inside", "holds", "the same image" or "overlaps"."""
    inside, holds = match.kept_first >= 0.9, match.kept_second >= 0.9
    if inside and holds:
        return "the same image"
    return "inside" if inside else "holds" if holds else "overlaps"


def part_shown(match: Match) -> NDArray[np.float64]:
    """Return (4, 2), the second's corners as fractions of the first: the part of the first that the second shows."""
    return project(np.linalg.inv(match.transform), UNIT_SQUARE)


def box_to_page(box: Box) -> Matrix:
    """Return the matrix from fractions of a part to fractions of the whole."""
    x, y, width, height = box
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1]])


def crop(page: RGB, box: Box) -> RGB:
    """Return a part of an image at full resolution; exactly the box if it comes from `snap_to_pixels`."""
    left, top, right, bottom = box_edges(page.shape[:2], box)
    return np.ascontiguousarray(page[top:bottom, left:right])


def snap_to_pixels(page: RGB, box: Box) -> Box:
    """Return the box that `crop` returns: in a small part, an offset of half a pixel is a visible difference."""
    height, width = page.shape[:2]
    left, top, right, bottom = box_edges((height, width), box)
    return left / width, top / height, (right - left) / width, (bottom - top) / height


def box_edges(shape: tuple[int, ...], box: Box) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a box in pixels of an image of (height, width); at least one pixel."""
    height, width = shape
    x, y, w, h = box
    left, top = min(int(x * width + 1e-6), width - 1), min(int(y * height + 1e-6), height - 1)
    return left, top, max(left + 1, round((x + w) * width)), max(top + 1, round((y + h) * height))
