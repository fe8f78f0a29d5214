"""Detect text in a part of an image."""

import numpy as np

from lookalike.types import RGB

_MIN_EDGE = 60  # gray levels between adjacent pixels


def is_text(part: RGB) -> bool:
    """Return whether a part is a wide strip with many vertical edges side by side."""
    import cv2

    gray = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = gray.shape
    if width < 2.5 * height or height < 4:
        return False
    edges = np.abs(np.diff(gray, axis=1)).max(axis=0) > _MIN_EDGE
    changes = int(np.abs(np.diff(edges.astype(np.int8))).sum())
    return bool(changes * height / width > 3)
