"""Is there enough to see in a picture to judge it by? Plain, tiny and blurred ones answer with "cannot tell"."""

import numpy as np

from lookalike.image import is_plain
from lookalike.relate.geometry.features import Features

_TINY = 32  # pixels of the short side
_FEW = 12  # features
_CONTRAST = 8.0  # grey levels of deviation: less is plain rather than blurred
_FINE = 0.06  # share of the contrast that lies in detail of a few pixels: less is blurred


def too_poor(features: Features, *, few_points: bool = False) -> str:
    """Why the picture cannot be judged ("too plain", "too small", "too blurred"); empty where it can.

    `few_points`: it need not have points, since what it shows agrees without them. They cost 6 ms to find.
    """
    if min(features.width, features.height) < _TINY:
        return f"too small ({features.width} x {features.height} pixels)"
    if is_plain(features.small):
        return "too plain"
    if not few_points and len(features) < _FEW:
        return "too blurred" if _is_blurred(features) else "too plain"
    return ""


def _is_blurred(features: Features) -> bool:
    """Whether there is light and shade, and no detail in it, at the small picture's 128 pixels."""
    import cv2

    grey = cv2.cvtColor(features.small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0))
    contrast = float(grey.std())
    return contrast > _CONTRAST and float(fine.mean()) < _FINE * contrast
