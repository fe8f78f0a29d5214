"""The places in which two pictures that lie over each other differ, and how."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.transform import project

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]

_MAX_REGIONS = 6
_RIM = 8  # pixels around what was laid on, that are mixed with it
_FLAT_RATIO = 0.3  # of the contrast: the other side's window is as good as empty
_LAID_ON, _NOT_LAID_ON = (
    0.5,
    0.15,
)  # probability from which what differs was laid over one of the two, and not the other


@dataclass(frozen=True, slots=True)
class Region:
    """A place that differs. `box`: x, y, width, height in shares of the second picture. `area`: share of the overlap.

    `kind`: "differs" (both show something there, and not the same), "added" (only the second does), "removed" (only
    the first), "overlay" (something drawn lies over what the first shows), "uncovered" (the reverse).
    """

    kind: str
    box: Box
    area: float


Place = tuple[str, tuple[int, int, int, int], int]  # kind; x, y, width, height and area in pixels


def places(bad: Mask, deviations: tuple[Grey, Grey], laid: tuple[float, float]) -> list[Place]:
    """The largest places that differ. `laid`: the probabilities that all of it was laid over the first, the second."""
    import cv2

    width = bad.shape[1]
    reach = max(3, round(0.03 * width))
    joined = cv2.morphologyEx(bad.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((max(3, reach // 2), reach), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined)
    found: list[Place] = []
    for n in sorted(range(1, count), key=lambda n: -int(boxes[n][4]))[:_MAX_REGIONS]:
        x, y, w, h, area = (int(v) for v in boxes[n])
        part = slice(y, y + h), slice(x, x + w)
        here = (labels[part] == n) & bad[part]
        if here.any():
            contrasts = [float(deviation[part][here].mean()) for deviation in deviations]
            found.append((_kind(contrasts[0], contrasts[1], laid), (x, y, w, h), area))
    return found


def is_laid_on(laid: tuple[float, float]) -> bool:
    """Whether all that differs was laid over one of the two, and it is clear over which."""
    return max(laid) >= _LAID_ON and min(laid) <= _NOT_LAID_ON


def _kind(contrast_first: float, contrast_second: float, laid: tuple[float, float]) -> str:
    if is_laid_on(laid):
        return "overlay" if laid[1] >= laid[0] else "uncovered"
    if max(laid) >= _LAID_ON:  # on one of the two, and it is not clear on which
        return "added" if contrast_second >= contrast_first else "removed"
    if contrast_first < _FLAT_RATIO * contrast_second:
        return "added"
    if contrast_second < _FLAT_RATIO * contrast_first:
        return "removed"
    return "differs"


def region_of(place: Place, shape: tuple[int, ...], back: Matrix | None) -> Region:
    """A place in shares of the second picture. `back`: from the frame it was found in, where that is the first's."""
    kind, (x, y, w, h), area = place
    height, width = shape
    box = (x / width, y / height, w / width, h / height)
    return Region(kind, box if back is None else moved_box(box, back), area / (height * width))


def uncovered(core: Mask, found: list[Place]) -> Mask:
    """Without what was laid over: a logo's colours say nothing of the picture's."""
    free = core.copy()
    for kind, (x, y, w, h), _ in found:
        if kind in {"overlay", "uncovered"}:
            free[max(0, y - _RIM) : y + h + _RIM, max(0, x - _RIM) : x + w + _RIM] = False
    return free


def moved_box(box: Box, matrix: Matrix) -> Box:
    """The box (x, y, width, height) in shares around a box that a transform of shares moved, cut to the frame."""
    x, y, w, h = box
    corners = project(matrix, np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]))
    low, high = np.clip(corners.min(axis=0), 0, 1), np.clip(corners.max(axis=0), 0, 1)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
