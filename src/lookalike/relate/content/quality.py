"""Decide whether an image has enough detail to be judged; plain, tiny and blurred ones result in "cannot tell"."""

import numpy as np

from lookalike.image import is_plain
from lookalike.relate.geometry.features import Features

_MIN_SIDE = 32  # pixels of the short side
_MIN_FEATURES = 12
_MIN_CONTRAST = 8.0  # gray levels of deviation; less is plain rather than blurred
_MIN_DETAIL = 0.06  # share of the contrast in details of a few pixels; less is blurred


def too_poor(features: Features, *, few_points: bool = False) -> str:
    """Return why the image cannot be judged ("too plain", "too small", "too blurred"), or "" if it can.

    `few_points`: do not require points, because the contents agree without them. Finding them takes 6 ms.
    """
    if min(features.width, features.height) < _MIN_SIDE:
        return f"too small ({features.width} x {features.height} pixels)"
    if is_plain(features.small):
        return "too plain"
    if not few_points and len(features) < _MIN_FEATURES:
        return "too blurred" if _is_blurred(features) else "too plain"
    return ""


def _is_blurred(features: Features) -> bool:
    """Return whether the small image of 128 pixels has contrast but no fine detail."""
    import cv2

    gray = cv2.cvtColor(features.small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 2.0))
    contrast = float(gray.std())
    return contrast > _MIN_CONTRAST and float(fine.mean()) < _MIN_DETAIL * contrast
