"""The regions in which two aligned images differ, and how."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.boxes import Box, transform_box

Matrix = NDArray[np.float64]
GrayImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

_MAX_REGIONS = 6
_OVERLAY_MARGIN = 8  # pixels around an added mark that are mixed with it
_MAX_EMPTY_CONTRAST = 0.3  # of the contrast; below it, the other image's window is practically empty
# probability from which the difference was added to one image, and below which it was not added to the other
_MIN_OVERLAY, _MAX_OTHER_OVERLAY = 0.5, 0.15


@dataclass(frozen=True, slots=True)
class Region:
    """A region that differs. `box`: x, y, width, height as fractions of the second image. `area`: share of the overlap.

    `kind`: "differs" (both show something there, not the same), "added" (only the second does), "removed" (only the
    first does), "overlay" (something drawn covers what the first shows), "uncovered" (the reverse).
    """

    kind: str
    box: Box
    area: float


_OPPOSITE = {"added": "removed", "removed": "added", "overlay": "uncovered", "uncovered": "overlay"}

PixelRegion = tuple[str, tuple[int, int, int, int], int]  # kind; x, y, width, height and area in pixels


def find_regions(
    bad: Mask, deviations: tuple[GrayImage, GrayImage], overlay_probabilities: tuple[float, float]
) -> list[PixelRegion]:
    """Return the largest regions that differ.

    `overlay_probabilities`: that all of the difference was added to the first image, and to the second.
    """
    import cv2

    width = bad.shape[1]
    reach = max(3, round(0.03 * width))
    joined = cv2.morphologyEx(bad.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((max(3, reach // 2), reach), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined)
    regions: list[PixelRegion] = []
    for n in sorted(range(1, count), key=lambda n: -int(boxes[n][4]))[:_MAX_REGIONS]:
        x, y, w, h, area = (int(v) for v in boxes[n])
        part = slice(y, y + h), slice(x, x + w)
        here = (labels[part] == n) & bad[part]
        if here.any():
            contrasts = [float(deviation[part][here].mean()) for deviation in deviations]
            regions.append((_kind(contrasts[0], contrasts[1], overlay_probabilities), (x, y, w, h), area))
    return regions


def is_overlay(overlay_probabilities: tuple[float, float]) -> bool:
    """Return whether all that differs was added to one of the two, and it is clear to which."""
    return max(overlay_probabilities) >= _MIN_OVERLAY and min(overlay_probabilities) <= _MAX_OTHER_OVERLAY


def _kind(contrast_first: float, contrast_second: float, overlay_probabilities: tuple[float, float]) -> str:
    if is_overlay(overlay_probabilities):
        return "overlay" if overlay_probabilities[1] >= overlay_probabilities[0] else "uncovered"
    if max(overlay_probabilities) >= _MIN_OVERLAY:  # added to one of the two, but it is not clear to which
        return "added" if contrast_second >= contrast_first else "removed"
    if contrast_first < _MAX_EMPTY_CONTRAST * contrast_second:
        return "added"
    if contrast_second < _MAX_EMPTY_CONTRAST * contrast_first:
        return "removed"
    return "differs"


def to_region(region: PixelRegion, shape: tuple[int, ...], to_second: Matrix | None) -> Region:
    """Return a region in fractions of the second image. `to_second`: transform from its frame if that is the first."""
    kind, (x, y, w, h), area = region
    height, width = shape
    box = (x / width, y / height, w / width, h / height)
    return Region(kind, box if to_second is None else transform_box(box, to_second), area / (height * width))


def swap_region(region: Region, to_first: Matrix) -> Region:
    """Return a region of (a, b) as one of (b, a). `to_first`: the transform of fractions from b to a."""
    return Region(_OPPOSITE.get(region.kind, region.kind), transform_box(region.box, to_first), region.area)


def without_overlays(core: Mask, regions: list[PixelRegion]) -> Mask:
    """Return the mask without the added marks, whose colors say nothing about the image's."""
    free = core.copy()
    for kind, (x, y, w, h), _ in regions:
        if kind in {"overlay", "uncovered"}:
            free[
                max(0, y - _OVERLAY_MARGIN) : y + h + _OVERLAY_MARGIN,
                max(0, x - _OVERLAY_MARGIN) : x + w + _OVERLAY_MARGIN,
            ] = False
    return free
