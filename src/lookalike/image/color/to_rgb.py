"""Convert samples of any depth and channel count to RGB, by the rules of docs/images.md."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_BATCH_ROWS = 512  # rows flattened at a time, to bound the memory of each step
WHITE, IGNORE_ALPHA = 255, -1
GRAY = 160  # the background on which white logos match their colored versions best: figures in docs/images.md
NEAR_WHITE = 40  # levels; a pixel whose channels are all this close to white vanishes on a white background
MAX_HIDDEN_ALPHA = 26  # of 255: an alpha channel that never exceeds this was left unset or scaled wrongly
MIN_VISIBLE_FRACTION = 0.05  # of the opaque area that must differ from white (white logos: 0, palest emoji: .10)


def in_full_range(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Scale samples of 1 to 15 bits to the full range of uint8 or uint16."""
    if samples.dtype == np.bool_:
        return samples
    if samples.dtype.kind != "u" or bits >= 8 * samples.dtype.itemsize or bits > 16:
        return samples
    kind = np.uint8 if bits < 8 else np.uint16
    full = np.iinfo(kind).max
    steps = np.minimum(np.arange(1 << (8 * samples.dtype.itemsize)), (1 << bits) - 1)
    table = np.rint(steps * (full / ((1 << bits) - 1))).astype(kind)
    return np.asarray(table[samples])


def to_uint8(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert samples of any type to 8 bits.

    16 bits are scaled. Floats from 0 to 1 are scaled by 255; any other type or range is stretched from its minimum to
    its maximum.
    """
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype in (np.dtype("<u2"), np.dtype(">u2")):
        import cv2

        scaled = cv2.convertScaleAbs(np.ascontiguousarray(samples, dtype=np.uint16), alpha=1 / 257)
        return np.asarray(scaled, np.uint8).reshape(samples.shape)
    return _stretched(samples)


def _stretched(samples: NDArray[Any]) -> NDArray[np.uint8]:
    values = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if samples.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = 255 / (high - low) if high > low else 0.0
    return np.asarray(np.rint((values - low) * scale), np.uint8)


def flatten_to_rgb(samples: NDArray[np.uint8], background: int | None = None) -> RGB:
    """Convert 8-bit samples to RGB, with alpha blended onto a background.

    `samples`: (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB, (H, W, 4) RGBA; of more channels the
    first three are used. `background`: gray level beneath transparent pixels; when `samples` is only a part of an
    image, pass the `choose_background` of the whole.
    """
    import cv2

    if samples.ndim == 2:
        samples = samples[:, :, None]
    match samples.shape[2]:
        case 1:
            return np.asarray(cv2.cvtColor(np.ascontiguousarray(samples), cv2.COLOR_GRAY2RGB), np.uint8)
        case 2 | 4:
            return _flattened(samples, choose_background(samples) if background is None else background)
        case channels:
            return np.ascontiguousarray(samples if channels == 3 else samples[:, :, :3])


def choose_background(samples: NDArray[Any]) -> int:
    """Return the background level for (H, W, 2 or 4) samples of 8 or 16 bits: WHITE, or GRAY if they vanish on white.

    IGNORE_ALPHA when alpha is full everywhere, or when it would hide the whole image, as some writers of BMP, TGA and
    PAM leave it; but when all pixels have one color, alpha is the image and counts. Only a small part of the samples is
    copied.
    """
    full = int(np.iinfo(samples.dtype).max)
    alpha, color = samples[:, :, -1], samples[:, :, :-1]
    if int(alpha.min()) == full:
        return IGNORE_ALPHA
    if int(alpha.max()) * 255 <= MAX_HIDDEN_ALPHA * full and not _is_single_color(color):
        return IGNORE_ALPHA
    step = max(1, min(alpha.shape) // 256)
    return WHITE if _shows_on_white(to_uint8(color[::step, ::step]), to_uint8(alpha[::step, ::step])) else GRAY


def _flattened(samples: NDArray[np.uint8], background: int) -> RGB:
    import cv2

    rgb = np.empty((*samples.shape[:2], 3), np.uint8)
    background_share = np.rint(background * (255 - np.arange(256)) / 255).astype(np.uint8)
    for top in range(0, len(samples), _BATCH_ROWS):
        rows = np.ascontiguousarray(samples[top : top + _BATCH_ROWS])
        if rows.shape[2] == 4:
            color = cv2.cvtColor(rows, cv2.COLOR_RGBA2RGB)
        else:
            color = cv2.cvtColor(np.ascontiguousarray(rows[:, :, 0]), cv2.COLOR_GRAY2RGB)
        if background != IGNORE_ALPHA:
            alpha = cv2.cvtColor(np.ascontiguousarray(rows[:, :, -1]), cv2.COLOR_GRAY2RGB)
            color = cv2.add(cv2.multiply(color, alpha, scale=1 / 255), cv2.LUT(alpha, background_share))
        rgb[top : top + _BATCH_ROWS] = color
    return rgb


def _is_single_color(color: NDArray[Any]) -> bool:
    """Return whether all pixels have one color; alpha is then the whole image, however faint."""
    first = color[:1, :1]
    return all(bool((color[top : top + _BATCH_ROWS] == first).all()) for top in range(0, len(color), _BATCH_ROWS))


def _shows_on_white(color: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bool:
    weight = alpha.astype(np.float32)
    opaque = float(weight.sum())
    stands_out = color.min(axis=2) < WHITE - NEAR_WHITE
    return opaque == 0 or float(weight[stands_out].sum()) >= MIN_VISIBLE_FRACTION * opaque
