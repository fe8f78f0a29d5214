"""Pages of one template that are filled in otherwise, known by what sets each apart from the rest of them.

Two receipts of one shop agree in most of what they show. What they have in common with all the others is no argument:
less the mean of the others, copies still agree and other fillings do not (median correlation .95 and .06; figures:
docs/benchmarks-duplicates.md). Nor are two pages copies that agree in nearly all they show and in one place not at all.
A comparison costs a tenth of a millisecond, where reading costs fifty.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.examine import LEGIBLE
from lookalike.relate.geometry.features import Features
from lookalike.relate.geometry.verify import upright_likeness

_SIDE = 64  # pixels: lines of text are rows of grey, whose lengths differ
_GROUND, _LOCAL = 5.0, 6.5  # pixels: shadows and tints of the paper are wider, and contrast is brought to one level
_FLOOR = 4.0  # grey levels of contrast, that is not blown up
_ALIGNED = 0.9  # correlation of whole pages from which they are laid out alike, and lie over each other
_MIN_OTHERS = 3
_OTHER = 0.3  # correlation, less the mean of the others, below which two pages say something else
_MIN_APART = 0.2  # of either page from that mean: copies are as near to each other
_PLACE = 2.0  # pixels of 64: as wide as a word or a number of a page
_INK = 0.5  # local deviations, from which there is something to compare
_ELSEWHERE, _THERE = 0.1, 0.7  # median difference of two pages where there is ink, and the largest
_MIN_INK = 30  # pixels
_MAX_APART = 0.45  # deviation from the mean of the others; what is turned or cropped differs by more, everywhere


def other_fillings(page: Features, others: Sequence[Features | None]) -> list[bool]:
    """Which of the others are pages of the same template with something else filled in, beyond doubt.

    False is no verdict: of photographs, or where it is not clear; the more others, the better the template is known.
    """
    clear = [False] * len(others)
    if page.drawn <= LEGIBLE:
        return clear
    aligned = {n: _signature(other) for n, other in enumerate(others) if other is not None and _is_aligned(page, other)}
    if not aligned:
        return clear
    own = _signature(page)
    for n, row in aligned.items():
        clear[n] = _differs_in_one_place(own, row)
    if len(aligned) <= _MIN_OTHERS:
        return clear
    rows = np.stack(list(aligned.values()))
    mean = (rows.sum(axis=0) - rows) / (len(rows) - 1)  # for each of them, of all but itself
    a, b = own - mean, rows - mean
    power_a, power_b = (a * a).mean(axis=1), (b * b).mean(axis=1)
    agreement = (a * b).mean(axis=1) / np.sqrt(np.maximum(power_a * power_b, 1e-9))
    apart = np.sqrt((power_a + power_b) / 2)
    # Where the others are copies of the page, their mean is the page, and nothing is left but noise.
    telling = np.sqrt(np.minimum(power_a, power_b)) > _MIN_APART
    for n, other_content in zip(aligned, (agreement < _OTHER) & telling & (apart < _MAX_APART), strict=True):
        clear[n] |= bool(other_content)
    return clear


def _differs_in_one_place(page: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two signatures agree nearly everywhere, and in one place not at all. What lies askew differs all over."""
    difference = _local(page - other)
    ink = np.maximum(_local(page), _local(other)) > _INK
    if float(difference.max()) < _THERE or int(ink.sum()) < _MIN_INK:
        return False
    return float(np.median(difference[ink])) < _ELSEWHERE


def _local(signature: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    power = cv2.GaussianBlur((signature * signature).reshape(_SIDE, _SIDE), (0, 0), _PLACE)
    return np.asarray(np.sqrt(power), np.float32)


def _is_aligned(page: Features, other: Features) -> bool:
    return other.drawn > LEGIBLE and upright_likeness(page, other) > _ALIGNED


def _signature(page: Features) -> NDArray[np.float32]:
    """(64 * 64,) light and dark against the paper around it, in local deviations."""
    import cv2

    grey = cv2.resize(cv2.cvtColor(page.small, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = grey.astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _GROUND)
    local = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _LOCAL) + _FLOOR**2)
    return np.asarray(fine / local, np.float32).ravel()
