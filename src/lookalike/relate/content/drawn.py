"""Tell drawn images (text, charts, screens, logos) from photographs."""

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import at_most
from lookalike.types import RGB

_SIDE = 256


def drawn_share(image: RGB, mask: NDArray[np.bool_] | None = None) -> float:
    """Return how far an image consists of flat colors and strokes: 0 for photographs, towards 1 for pages and screens.

    In a small window with contrast, the pixels of a page lie at either extreme and those of a photograph in between;
    and a page has few gray levels. `mask` (H, W): the part to measure; the surroundings of a rotated photograph are
    flat.
    """
    import cv2

    image = at_most(image, _SIDE)
    if mask is not None and mask.shape != image.shape[:2]:
        size = image.shape[1], image.shape[0]
        mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((9, 9), np.uint8)
    high, low = cv2.dilate(gray, kernel), cv2.erode(gray, kernel)
    contrast = cv2.subtract(high, low)
    busy = contrast > 40 if mask is None else (contrast > 40) & mask
    visible = gray if mask is None else gray[mask]
    if busy.sum() < 0.01 * visible.size or not visible.size:
        return 0.0
    margin = contrast[busy] * 0.15
    near_extreme = (high[busy].astype(np.float32) - gray[busy] < margin) | (
        gray[busy].astype(np.float32) - low[busy] < margin
    )
    levels = np.bincount(visible.ravel() >> 2, minlength=64) / visible.size
    logit = 9.0 * (min(float(near_extreme.mean()), 0.62) - 0.47) + 10.0 * (float(np.sort(levels)[-4:].sum()) - 0.48)
    return float(1 / (1 + np.exp(-logit)))
