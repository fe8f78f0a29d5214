"""Whether a part of a picture holds words."""

import numpy as np

from lookalike.types import RGB

_EDGE = 60  # grey levels between two neighbours


def is_text(part: RGB) -> bool:
    """A wide strip with many upright edges side by side."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey.shape
    if width < 2.5 * height or height < 4:
        return False
    edges = np.abs(np.diff(grey, axis=1)).max(axis=0) > _EDGE
    changes = int(np.abs(np.diff(edges.astype(np.int8))).sum())
    return bool(changes * height / width > 3)
