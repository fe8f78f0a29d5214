"""Is a picture drawn (text, charts, screens, logos) or photographed?"""

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.types import RGB

_SIDE = 256


def drawn_share(image: RGB, where: NDArray[np.bool_] | None = None) -> float:
    """How far a picture consists of flat colours and strokes: 0 for photographs, towards 1 for pages and screens.

    Where a small window has contrast, a page's pixels lie at either end of it, a photograph's in between; and a page
    has few levels of grey. `where` (H, W): the part that is looked at; what lies around a turned photograph is flat.
    """
    import cv2

    share = _SIDE / max(image.shape[:2])
    if share < 1:
        image = scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))
        if where is not None:
            size = image.shape[1], image.shape[0]
            where = cv2.resize(where.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((9, 9), np.uint8)
    high, low = cv2.dilate(grey, kernel), cv2.erode(grey, kernel)
    spread = cv2.subtract(high, low)
    busy = spread > 40 if where is None else (spread > 40) & where
    seen = grey if where is None else grey[where]
    if busy.sum() < 0.01 * seen.size or not seen.size:
        return 0.0
    margin = spread[busy] * 0.15
    near = (high[busy].astype(np.float32) - grey[busy] < margin) | (grey[busy].astype(np.float32) - low[busy] < margin)
    levels = np.bincount(seen.ravel() >> 2, minlength=64) / seen.size
    logit = 9.0 * (min(float(near.mean()), 0.62) - 0.47) + 10.0 * (float(np.sort(levels)[-4:].sum()) - 0.48)
    return float(1 / (1 + np.exp(-logit)))
