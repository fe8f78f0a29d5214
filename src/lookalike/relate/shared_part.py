"""Compare the parts that two images share, and nothing else of them: the place is known, the contents are not yet.

Matching points say that an image lies in a collage, on a page or on a screen. They do not say that it is the same one:
another screen of the same app, or another invoice of the same form, matches in as many points. So the shared part is
cut out of both images, and judged as two whole images are.

A cell of a collage often shows only the middle of its image, with the neighboring cells beside it. `trimmed_box` drops
strips along the sides in which hardly anything agrees.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.relate.content.content import COARSE, Overlap, overlap_of
from lookalike.relate.examine import LEGIBLE
from lookalike.relate.geometry.containment import Box, box_to_page, crop, part_shown, snap_to_pixels
from lookalike.relate.geometry.features import Features, find_features
from lookalike.relate.geometry.transform import plausible, project, summarize_transform
from lookalike.relate.geometry.verify import Match, verify, with_summary
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.relation import Subject, Verdict, judge
from lookalike.types import RGB

DETAIL_SIDE = 1536  # the long side at which an image is read to cut a small part out of it
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_MIN_WHOLE = 0.9  # share of an image from which it is compared as a whole
_NEARLY_WHOLE = 0.97  # of either side, from which nothing is cut
_MARGIN = 0.2  # of the part's sides: its place is exact to some pixels of a thumbnail
_MIN_SIDE = 16  # pixels
_MIN_SHARE = 0.01  # of either side of the image
_MIN_KEPT = 0.4  # of the shared area that must be left when strips are dropped
_HALF = 0.5  # share of a strip's windows that must differ for it to be dropped


@dataclass(frozen=True, slots=True)
class Sight:
    """An image to be compared in part: its features, its best available pixels, and what reads its file."""

    features: Features
    subject: Subject

    @classmethod
    def of(cls, pixels: RGB, size: tuple[int, int] | None = None) -> "Sight":
        """An image by its pixels. `size`: (width, height) of the full image, if they are reduced."""
        features = find_features(pixels, size=size)
        return cls(features, Subject(features=features, load=lambda side: reduced(pixels, side)))

    def pixels(self) -> RGB:
        """Return the image with a long side of at most DETAIL_SIDE; the reduced one if its file is unavailable."""
        loaded = None if self.subject.load is None else self.subject.load(DETAIL_SIDE)
        return self.features.picture if loaded is None else loaded


@dataclass(frozen=True, slots=True)
class SharedPart:
    """What two images share: how the first lies in the second, the corners (4, 2) in either, and the verdict on it."""

    match: Match
    in_first: NDArray[np.float64]
    in_second: NDArray[np.float64]
    verdict: Verdict


def judge_shared_part(first: Sight, second: Sight, hint: Match, calibration: Calibration) -> SharedPart | None:
    """Return what the two images share, and whether it is the same.

    `hint`: the match of the whole images, which says where to look. None if a closer look finds no such place. Takes
    about 0.1 s.
    """
    boxes = _box_around(part_shown(hint), hint.kept_first), _box_around(hint.outline, hint.kept_second)
    if min(*boxes[0][2:], *boxes[1][2:]) < _MIN_SHARE:
        return None
    first_part, second_part = _cut(first, boxes[0]), _cut(second, boxes[1])
    if first_part is None or second_part is None:
        return None
    (a, outer_a), (b, outer_b) = first_part, second_part
    match = hint if (outer_a, outer_b) == (_WHOLE, _WHOLE) else verify(a.features, b.features)
    if match.model == "none":
        return None
    box_a, box_b = _shared_boxes(a.features.picture, b.features.picture, match)
    shared_a, shared_b = _cut(a, box_a), _cut(b, box_b)
    if shared_a is None or shared_b is None:
        return None
    verdict = judge(shared_a[0].subject, shared_b[0].subject, calibration)
    whole = _in_wholes(match, outer_a, outer_b, first.features, second.features)
    if whole is None:
        return None
    if whole.kept_second >= whole.kept_first:  # a cell shows a rectangle of its image, wherever it lies
        in_second = corners_of(_box_in(box_b, outer_b))
        in_first = project(np.linalg.inv(whole.transform), in_second)
    else:
        in_first = corners_of(_box_in(box_a, outer_a))
        in_second = project(whole.transform, in_first)
    return SharedPart(whole, in_first, in_second, verdict)


def trimmed_box(overlap: Overlap) -> Box | None:
    """Return the overlap without the strips along its sides in which most windows differ, as fractions of its frame.

    None if there are no such strips, or too little is left. Each side gives up the rows whose sum of differing windows
    less half of all windows is largest (a maximum prefix sum).
    """
    excess = overlap.bad.astype(np.float32) - _HALF * overlap.busy
    height, width = excess.shape
    top, bottom, left, right = 0, height, 0, width
    rim = overlap.window  # a window at the seam shows both sides of it
    columns, rows = _span(excess.sum(axis=0), rim), _span(excess.sum(axis=1), rim)
    if excess[:, slice(*columns)].sum() < excess[slice(*rows)].sum():  # the worse strips first: they cross the others
        left, right = columns
    for _ in range(2):
        top, bottom = _span(excess[:, left:right].sum(axis=1), rim)
        left, right = _span(excess[top:bottom].sum(axis=0), rim)
    if (top, left, bottom, right) == (0, 0, height, width):
        return None
    remaining = float(overlap.core[top:bottom, left:right].sum()) / float(overlap.core.sum())
    return (
        (left / width, top / height, (right - left) / width, (bottom - top) / height)
        if remaining >= _MIN_KEPT
        else None
    )


def corners_of(box: Box) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a box, clockwise from the top left."""
    x, y, width, height = box
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def reduced(image: RGB, side: int) -> RGB:
    """Return the image with a long side of at most `side`."""
    share = side / max(image.shape[:2])
    if share >= 1:
        return image
    return scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))


def _span(excess: NDArray[np.float32], rim: int) -> tuple[int, int]:
    """Return start and end of what remains without the best prefix and suffix and the rims beside them.

    All if nothing would remain.
    """
    count = len(excess)
    before, after = _best_prefix(excess), _best_prefix(excess[::-1])
    start, end = before + rim * (before > 0), count - after - rim * (after > 0)
    return (start, end) if start < end else (0, count)


def _best_prefix(values: NDArray[np.float32]) -> int:
    """Return the length of the prefix with the largest sum; 0 if none has a positive one."""
    return int(np.argmax(np.concatenate(([0.0], np.cumsum(values)))))


def _box_around(outline: NDArray[np.float64], covered: float) -> Box:
    """Return the box of an outline with a margin, within the image; the whole image if the outline covers it."""
    if covered >= _MIN_WHOLE:
        return _WHOLE
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = _MARGIN * (high - low)
    return _box_of(np.stack((low - margin, high + margin)))


def _box_of(points: NDArray[np.float64]) -> Box:
    (x, y), (right, bottom) = points.min(axis=0).clip(0, 1), points.max(axis=0).clip(0, 1)
    return float(x), float(y), float(right - x), float(bottom - y)


def _cut(sight: Sight, box: Box) -> tuple[Sight, Box] | None:
    """Return the part of an image, and its exact box; None if it is too small."""
    if min(box[2:]) >= _NEARLY_WHOLE:
        return sight, _WHOLE
    pixels = sight.pixels()
    exact = snap_to_pixels(pixels, box)
    part = crop(pixels, exact)
    return None if min(part.shape[:2]) < _MIN_SIDE else (Sight.of(part), exact)


def _shared_boxes(first: RGB, second: RGB, match: Match) -> tuple[Box, Box]:
    """Return the boxes of what two aligned images share, as fractions of either."""
    frame = corners_of(_WHOLE)
    back = np.asarray(np.linalg.inv(match.transform), np.float64)
    shared = _box_of(project(back, frame)), _box_of(project(match.transform, frame))
    overlap = overlap_of(first, second, match.transform, negative=match.negative, side=COARSE)
    # The parts of a page that agree are its form: without the others, two of one form would be copies.
    if overlap is None or overlap.drawn > LEGIBLE:
        return shared
    box = trimmed_box(overlap)
    if box is None:
        return shared
    corners = corners_of(box)
    in_first = corners if overlap.swapped else project(back, corners)
    in_second = project(match.transform, corners) if overlap.swapped else corners
    return _intersection(shared[0], _box_of(in_first)), _intersection(shared[1], _box_of(in_second))


def _box_in(inner: Box, outer: Box) -> Box:
    """Turn a box in fractions of another one into fractions of the whole image."""
    x, y, width, height = outer
    return x + inner[0] * width, y + inner[1] * height, inner[2] * width, inner[3] * height


def _intersection(a: Box, b: Box) -> Box:
    x, y = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return x, y, max(0.0, right - x), max(0.0, bottom - y)


def _in_wholes(match: Match, first_box: Box, second_box: Box, first: Features, second: Features) -> Match | None:
    """Turn a match of two parts into one of the whole images; None if that is not plausible."""
    matrix = box_to_page(second_box) @ match.transform @ np.linalg.inv(box_to_page(first_box))
    matrix = np.asarray(matrix / matrix[2, 2], np.float64)
    summary = summarize_transform(
        matrix, (first.width, first.height), (second.width, second.height), mirrored=match.mirrored
    )
    if not plausible(summary):
        return None
    points = match.points.copy()
    points[:, :2] = points[:, :2] * first_box[2:] + first_box[:2]
    points[:, 2:] = points[:, 2:] * second_box[2:] + second_box[:2]
    return with_summary(replace(match, points=points), matrix, summary)
