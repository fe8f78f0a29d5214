"""CIE L*a*b* samples to sRGB. Their white is taken for D65, as by ImageMagick and libvips; no file says which it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_ROWS = 256  # converted at a time: floats take four times the memory of samples


def lab_to_rgb(samples: NDArray[Any], *, offset: bool) -> RGB:
    """(H, W, 3) L, a, b of 8 or 16 bits or floats, as TIFF stores them, in sRGB.

    `offset`: a and b are stored with 128 added (ICCLAB, TIFF 6.0 supplement 1), else as signed numbers (CIELAB, TIFF
    6.0 section 23). Of 16 bits, a and b are in steps of 1/256.
    """
    import cv2

    found = np.empty((*samples.shape[:2], 3), np.uint8)
    for top in range(0, len(samples), _ROWS):
        lab = _in_units(samples[top : top + _ROWS], offset=offset)
        found[top : top + _ROWS] = np.rint(np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1) * 255)
    return found


def _in_units(rows: NDArray[Any], *, offset: bool) -> NDArray[np.float32]:
    """L from 0 to 100, a and b from -128 to 127."""
    if rows.dtype.kind == "f":
        return np.ascontiguousarray(rows, np.float32)
    size = rows.dtype.itemsize
    step = float(1 << (8 * size - 8))
    rows = np.ascontiguousarray(rows)
    light = rows[..., :1].astype(f"u{size}").astype(np.float32) * (100 / ((1 << 8 * size) - 1))
    if offset:
        chroma = rows[..., 1:].astype(f"u{size}").astype(np.float32) / step - 128
    else:
        chroma = rows[..., 1:].astype(f"u{size}").view(f"i{size}").astype(np.float32) / step
    return np.ascontiguousarray(np.concatenate((light, chroma), axis=2))
