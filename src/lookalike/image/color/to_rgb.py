"""From samples of any depth and channels to RGB: the rules of docs/images.md, one function each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_ROWS = 512  # laid on a ground at a time: each step takes as much memory as its rows
WHITE, IGNORED = 255, -1
GREY = 160  # white logos find their coloured twins best on it: docs/images.md has the figures
NEAR_WHITE = 40  # levels; a pixel none of whose channels is farther from white vanishes on a white ground
NEVER_OPAQUE = 26  # of 255: an alpha that nowhere exceeds this hides everything; it was left unset, or scaled wrongly
VISIBLE_SHARE = 0.05  # of the opaque area that must stand out from white (white logos: 0, the palest emoji: .10)


def in_full_range(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of 1 to 15 bits in 8 or 16: what the file calls full light is full light."""
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
    """Samples of any type as 8 bits: 16-bit is scaled, floats are 0..1 or else their own least to largest."""
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


def to_rgb_on_ground(samples: NDArray[np.uint8], ground: int | None = None) -> RGB:
    """(H, W), (H, W, 1), (H, W, 2) grey and alpha, (H, W, 3), (H, W, 4) with alpha; of more, the first three.

    `ground`: what is laid beneath what is transparent, by `ground_of` the whole where this is a part of it.
    """
    import cv2

    if samples.ndim == 2:
        samples = samples[:, :, None]
    match samples.shape[2]:
        case 1:
            return np.asarray(cv2.cvtColor(np.ascontiguousarray(samples), cv2.COLOR_GRAY2RGB), np.uint8)
        case 2 | 4:
            return _flattened(samples, ground_of(samples) if ground is None else ground)
        case channels:
            return np.ascontiguousarray(samples if channels == 3 else samples[:, :, :3])


def ground_of(samples: NDArray[Any]) -> int:
    """What to lay beneath (H, W, 2 or 4) samples of 8 or 16 bits: white, or mid grey if they would all but vanish.

    IGNORED for an alpha that is full everywhere, or that would hide the whole picture: writers of BMP, TGA and PAM
    leave such behind. Unless there is nothing beneath: then it is all there is. Copies little of the samples.
    """
    full = int(np.iinfo(samples.dtype).max)
    alpha, colour = samples[:, :, -1], samples[:, :, :-1]
    if int(alpha.min()) == full:
        return IGNORED
    if int(alpha.max()) * 255 <= NEVER_OPAQUE * full and not _is_of_one_colour(colour):
        return IGNORED
    step = max(1, min(alpha.shape) // 256)
    return WHITE if _shows_on_white(to_uint8(colour[::step, ::step]), to_uint8(alpha[::step, ::step])) else GREY


def _flattened(samples: NDArray[np.uint8], ground: int) -> RGB:
    import cv2

    found = np.empty((*samples.shape[:2], 3), np.uint8)
    through = np.rint(ground * (255 - np.arange(256)) / 255).astype(np.uint8)
    for top in range(0, len(samples), _ROWS):
        rows = np.ascontiguousarray(samples[top : top + _ROWS])
        if rows.shape[2] == 4:
            colour = cv2.cvtColor(rows, cv2.COLOR_RGBA2RGB)
        else:
            colour = cv2.cvtColor(np.ascontiguousarray(rows[:, :, 0]), cv2.COLOR_GRAY2RGB)
        if ground != IGNORED:
            cover = cv2.cvtColor(np.ascontiguousarray(rows[:, :, -1]), cv2.COLOR_GRAY2RGB)
            colour = cv2.add(cv2.multiply(colour, cover, scale=1 / 255), cv2.LUT(cover, through))
        found[top : top + _ROWS] = colour
    return found


def _is_of_one_colour(colour: NDArray[Any]) -> bool:
    """Then the alpha is all the picture there is, however faint."""
    first = colour[:1, :1]
    return all(bool((colour[top : top + _ROWS] == first).all()) for top in range(0, len(colour), _ROWS))


def _shows_on_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bool:
    weight = alpha.astype(np.float32)
    opaque = float(weight.sum())
    stands_out = colour.min(axis=2) < WHITE - NEAR_WHITE
    return opaque == 0 or float(weight[stands_out].sum()) >= VISIBLE_SHARE * opaque
