"""Decide whether an image has enough detail to be judged; plain, tiny and blurred ones result in "cannot tell"."""

from enum import StrEnum

import numpy as np

from lookalike.image import is_plain
from lookalike.relate.geometry.features import Features

_MIN_SIDE = 32  # pixels of the short side
_MIN_FEATURES = 12
_MIN_CONTRAST = 8.0  # gray levels of deviation; less is plain rather than blurred
_MIN_DETAIL = 0.06  # share of the contrast in details of a few pixels; less is blurred


class Quality(StrEnum):
    """Why an image cannot be judged."""

    TOO_SMALL = "too_small"
    TOO_PLAIN = "too_plain"
    TOO_BLURRED = "too_blurred"


def too_poor(features: Features, *, few_points: bool = False) -> Quality | None:
    """Return why the image cannot be judged, or None if it can.

    `few_points`: do not require points, because the contents agree without them. Finding them takes 6 ms.
    """
    if min(features.width, features.height) < _MIN_SIDE:
        return Quality.TOO_SMALL
    if is_plain(features.small):
        return Quality.TOO_PLAIN
    if not few_points and len(features) < _MIN_FEATURES:
        return Quality.TOO_BLURRED if _is_blurred(features) else Quality.TOO_PLAIN
    return None


def _is_blurred(features: Features) -> bool:
    """Return whether the small image of 128 pixels has contrast but no fine detail."""
    import cv2

    gray = cv2.cvtColor(features.small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 2.0))
    contrast = float(gray.std())
    return contrast > _MIN_CONTRAST and float(fine.mean()) < _MIN_DETAIL * contrast
