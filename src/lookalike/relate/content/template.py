"""Find pages of one template that are filled in differently, by what distinguishes each from the others.

Two receipts of one shop agree in most of what they show, but what they share with all the others proves nothing. After
subtracting the mean of the others, copies still agree and differently filled pages do not (median correlation .95 and
.06; docs/benchmarks-duplicates.md). Two pages that agree nearly everywhere and in one place not at all are no copies
either. A comparison takes a tenth of a millisecond; reading the files takes fifty.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.examine import LEGIBLE
from lookalike.relate.geometry.features import Features
from lookalike.relate.geometry.verify import upright_correlation

_SIDE = 64  # pixels: lines of text are gray rows of different lengths
# pixels: shadows and tints of the paper are wider; the scale at which contrast is equalized
_BACKGROUND_SIGMA, _CONTRAST_SIGMA = 5.0, 6.5
_CONTRAST_FLOOR = 4.0  # gray levels of contrast that are not amplified
_MIN_ALIGNED = 0.9  # correlation of whole pages from which they have one layout and are aligned
_MIN_OTHERS = 3
_MAX_CORRELATION = 0.3  # after subtracting the mean of the others; below it, two pages have different contents
_MIN_APART = 0.2  # of either page from that mean; copies are closer to each other
_PLACE_SIGMA = 2.0  # pixels of 64: as wide as a word or a number on a page
_MIN_INK_CONTRAST = 0.5  # local deviations, from which there is something to compare
# median difference of two pages where there is ink, and the largest
_MAX_MEDIAN_DIFFERENCE, _MIN_LARGEST_DIFFERENCE = 0.1, 0.7
_MIN_INK_PIXELS = 30
_MAX_APART = 0.45  # deviation from the mean of the others; a rotated or cropped page differs by more, everywhere


def filled_differently(page: Features, others: Sequence[Features | None]) -> list[bool]:
    """Return which of the others are certainly pages of the same template with different contents.

    False is no verdict: it also stands for photographs and unclear cases. The more others there are, the better the
    template is known.
    """
    differs = [False] * len(others)
    if page.drawn <= LEGIBLE:
        return differs
    aligned = {n: _signature(other) for n, other in enumerate(others) if other is not None and _is_aligned(page, other)}
    if not aligned:
        return differs
    own = _signature(page)
    for n, row in aligned.items():
        differs[n] = _differs_in_one_place(own, row)
    if len(aligned) <= _MIN_OTHERS:
        return differs
    rows = np.stack(list(aligned.values()))
    mean = (rows.sum(axis=0) - rows) / (len(rows) - 1)  # for each of them, of all the others
    a, b = own - mean, rows - mean
    power_a, power_b = (a * a).mean(axis=1), (b * b).mean(axis=1)
    agreement = (a * b).mean(axis=1) / np.sqrt(np.maximum(power_a * power_b, 1e-9))
    distance = np.sqrt((power_a + power_b) / 2)
    # If the others are copies of the page, their mean is the page, and only noise remains.
    informative = np.sqrt(np.minimum(power_a, power_b)) > _MIN_APART
    for n, other_content in zip(
        aligned, (agreement < _MAX_CORRELATION) & informative & (distance < _MAX_APART), strict=True
    ):
        differs[n] |= bool(other_content)
    return differs


def _differs_in_one_place(page: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether two signatures agree nearly everywhere and in one place not at all.

    A misaligned page differs everywhere.
    """
    difference = _local(page - other)
    ink = np.maximum(_local(page), _local(other)) > _MIN_INK_CONTRAST
    if float(difference.max()) < _MIN_LARGEST_DIFFERENCE or int(ink.sum()) < _MIN_INK_PIXELS:
        return False
    return float(np.median(difference[ink])) < _MAX_MEDIAN_DIFFERENCE


def _local(signature: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    power = cv2.GaussianBlur((signature * signature).reshape(_SIDE, _SIDE), (0, 0), _PLACE_SIGMA)
    return np.asarray(np.sqrt(power), np.float32)


def _is_aligned(page: Features, other: Features) -> bool:
    return other.drawn > LEGIBLE and upright_correlation(page, other) > _MIN_ALIGNED


def _signature(page: Features) -> NDArray[np.float32]:
    """Return (64 * 64,) brightness relative to the surrounding paper, in local deviations."""
    import cv2

    gray = cv2.resize(cv2.cvtColor(page.small, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    gray = gray.astype(np.float32)
    fine = gray - cv2.GaussianBlur(gray, (0, 0), _BACKGROUND_SIGMA)
    local = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _CONTRAST_SIGMA) + _CONTRAST_FLOOR**2)
    return np.asarray(fine / local, np.float32).ravel()
