"""Compare the parts that two images share, and nothing else of them: the place is known, the contents are not yet.

Matching points say that an image lies in a collage, on a page or on a screen. They do not say that it is the same one:
another screen of the same app, or another invoice of the same form, matches in as many points. So the shared part is
cut out of both images, and judged as two whole images are.

A cell of a collage often shows only the middle of its image, with the neighboring cells beside it. `trimmed_box` drops
strips along the sides in which hardly anything agrees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import at_most
from lookalike.relate.content.content import COARSE, Overlap, overlap_of
from lookalike.relate.examine import LEGIBLE
from lookalike.relate.geometry.boxes import (
    WHOLE,
    Box,
    box_around,
    box_in_page,
    corners_of,
    crop,
    intersection,
    snap_to_pixels,
    transform_box,
)
from lookalike.relate.geometry.containment import in_wholes, part_shown
from lookalike.relate.geometry.feature_cache import Loader
from lookalike.relate.geometry.features import Features, find_features
from lookalike.relate.geometry.transform import project
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.relation import Subject, Verdict, judge
from lookalike.types import RGB

PAGE_SIDE = 1536  # the long side at which an image is read to find or to cut a small part of it
MARGIN = 0.2  # of a part's sides: its place is exact to some pixels of a thumbnail
MIN_SIDE = 16  # pixels of a part
MIN_SHARE = 0.01  # of either side of the image
_MIN_WHOLE = 0.9  # share of an image from which it is compared as a whole
_NEARLY_WHOLE = 0.97  # of either side, from which nothing is cut
_MIN_KEPT = 0.4  # of the shared area that must be left when strips are dropped
_HALF = 0.5  # share of a strip's windows that must differ for it to be dropped


@dataclass(frozen=True, slots=True)
class Sight:
    """An image to be compared in part: its features, and what reads it at about a given side (`Subject.load`)."""

    features: Features
    load: Loader | None

    @classmethod
    def of(cls, pixels: RGB, size: tuple[int, int] | None = None) -> "Sight":
        """An image by its pixels. `size`: (width, height) of the full image, if they are reduced."""
        features = find_features(pixels, size=size)
        return cls(features, lambda side: at_most(pixels, side))

    @property
    def subject(self) -> Subject:
        return Subject(features=self.features, load=self.load)

    def pixels(self) -> RGB:
        """Return the image at about PAGE_SIDE; the reduced one of the features if its file is unavailable."""
        loaded = None if self.load is None else self.load(PAGE_SIDE)
        return self.features.picture if loaded is None else loaded

    def part(self, box: Box) -> "tuple[Sight, Box] | None":
        """Return what a box shows, and its exact place; None if that is too small."""
        if min(box[2:]) >= _NEARLY_WHOLE:
            return self, WHOLE
        if min(box[2:]) < MIN_SHARE:
            return None
        pixels = self.pixels()
        exact = snap_to_pixels(pixels, box)
        part = crop(pixels, exact)
        return None if min(part.shape[:2]) < MIN_SIDE else (Sight.of(part), exact)


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
    first_part = first.part(_box_with_margin(part_shown(hint), hint.kept_first))
    second_part = second.part(_box_with_margin(hint.outline, hint.kept_second))
    if first_part is None or second_part is None:
        return None
    (a, outer_a), (b, outer_b) = first_part, second_part
    match = hint if (outer_a, outer_b) == (WHOLE, WHOLE) else verify(a.features, b.features)
    whole = in_wholes(match, (outer_a, _size(first)), (outer_b, _size(second)))
    if whole is None:
        return None
    box_a, box_b = _shared_boxes(a.features.picture, b.features.picture, match)
    shared_a, shared_b = a.part(box_a), b.part(box_b)
    if shared_a is None or shared_b is None:
        return None
    verdict = judge(shared_a[0].subject, shared_b[0].subject, calibration)
    if whole.kept_second >= whole.kept_first:  # a cell shows a rectangle of its image, wherever it lies
        in_second = corners_of(box_in_page(box_b, outer_b))
        in_first = project(np.linalg.inv(whole.transform), in_second)
    else:
        in_first = corners_of(box_in_page(box_a, outer_a))
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
    if remaining < _MIN_KEPT:
        return None
    return left / width, top / height, (right - left) / width, (bottom - top) / height


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


def _shared_boxes(first: RGB, second: RGB, match: Match) -> tuple[Box, Box]:
    """Return the boxes of what two aligned images share, as fractions of either."""
    back = np.asarray(np.linalg.inv(match.transform), np.float64)
    shared = transform_box(WHOLE, back), transform_box(WHOLE, match.transform)
    overlap = overlap_of(first, second, match.transform, negative=match.negative, side=COARSE)
    # The parts of a page that agree are its form: without the others, two of one form would be copies.
    if overlap is None or overlap.drawn > LEGIBLE or (box := trimmed_box(overlap)) is None:
        return shared
    moved = (box, transform_box(box, match.transform)) if overlap.swapped else (transform_box(box, back), box)
    return intersection(shared[0], moved[0]), intersection(shared[1], moved[1])


def _box_with_margin(outline: NDArray[np.float64], covered: float) -> Box:
    """Return the box of an outline with a margin; the whole image if the outline covers it."""
    if covered >= _MIN_WHOLE:
        return WHOLE
    return box_around(outline, margin=MARGIN)


def _size(sight: Sight) -> tuple[int, int]:
    return sight.features.width, sight.features.height
