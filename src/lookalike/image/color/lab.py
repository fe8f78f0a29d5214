"""Convert CIE L*a*b* samples to sRGB.

The white point is assumed to be D65, as in ImageMagick and libvips; files do not record it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_BATCH_ROWS = 256  # rows converted at a time: floats take four times the memory of 8-bit samples


def lab_to_rgb(samples: NDArray[Any], *, offset: bool) -> RGB:
    """Convert (H, W, 3) samples L, a, b as TIFF stores them (8 bits, 16 bits or floats) to sRGB.

    `offset`: a and b are stored with 128 added (ICCLAB, TIFF 6.0 supplement 1); otherwise they are signed (CIELAB,
    TIFF 6.0 section 23). With 16 bits, a and b are in steps of 1/256.
    """
    import cv2

    rgb = np.empty((*samples.shape[:2], 3), np.uint8)
    for top in range(0, len(samples), _BATCH_ROWS):
        lab = _to_lab_units(samples[top : top + _BATCH_ROWS], offset=offset)
        rgb[top : top + _BATCH_ROWS] = np.rint(np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1) * 255)
    return rgb


def _to_lab_units(rows: NDArray[Any], *, offset: bool) -> NDArray[np.float32]:
    """Scale samples to floats: L from 0 to 100, a and b from -128 to 127."""
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
