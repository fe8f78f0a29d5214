"""Measure whether an object has different colors in two images, whatever their exposure and tint."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

LUMA = np.array((0.299, 0.587, 0.114))
MIN_OVEREXPOSED = 0.12  # of an image; text added to it covers less
MAX_PHOTO_DRAWN = 0.2  # `drawn_share` of the whole images below which no part is a page
_LOW_COLOR_SPREAD = 8.0  # levels of chroma; an image that varies by less shows one object in one color
_RIDGE = 1e-3
_MIN_PIXELS = 100  # of 2,304 pixels, that are not clipped
_GRAYSCALE_CHROMA = 0.02  # between the channels, of 1
_MAX_GAIN = 2.2  # of contrast
_MAX_UNIFORM_RESIDUAL = 5.0  # levels; below it all pixels follow one fit, and reweighting changes nothing
_MIN_CHANGE = 1.0  # levels by which another iteration changes the fit


def color_difference(a: RGB, b: RGB, core: Mask, drawn: float) -> tuple[float, float]:
    """Return the largest local color difference after a fit that most pixels agree on, and the spread of the chroma.

    Exposure, contrast and tint, including gradients across the image, are fitted per channel. A photograph of many
    colors may have all its hues turned, so any linear map of colors is allowed there; for a red shirt on white, such a
    map would allow any other shirt.
    """
    import cv2

    small = tuple(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float64) for image in (a, b))
    visible = cv2.resize(core.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA) > 0.9
    if int(visible.sum()) < 16:
        return 0.0, 0.0
    if drawn < MAX_PHOTO_DRAWN and not _drop_clipped(small, visible):
        return 0.0, 0.0
    x, y = (image[visible] / 255 for image in small)
    chroma = [float((rows.max(axis=1) - rows.min(axis=1)).mean()) for rows in (x, y)]
    if drawn < MAX_PHOTO_DRAWN and min(chroma) < _GRAYSCALE_CHROMA:
        x, y = (np.repeat(rows @ LUMA[:, None], 3, axis=1) for rows in (x, y))  # one was converted to gray
    positions = np.argwhere(visible) / 48 - 0.5
    spread = max(_chroma_spread(small[0][visible]), _chroma_spread(small[1][visible]))
    single = np.max(
        [_residuals(np.column_stack((x[:, n], positions)), y[:, n : n + 1], max_gain=_MAX_GAIN) for n in range(3)],
        axis=0,
    )
    few_colors = max(float(np.exp(-spread / _LOW_COLOR_SPREAD)), min(2 * drawn, 1.0))
    residuals = few_colors * single + (1 - few_colors) * _residuals(np.column_stack((x, positions)), y)
    field = np.zeros((48, 48), np.float32)
    field[visible] = residuals
    # A difference everywhere is a filter on the whole; another shirt differs in one place.
    return max(0.0, float(cv2.boxFilter(field, -1, (5, 5)).max()) - 2 * float(np.median(residuals))), spread


def _drop_clipped(small: tuple[NDArray[Any], ...], visible: Mask) -> bool:
    """Exclude clipped pixels of an overexposed image, which follow no fit; return whether enough remain.

    Modifies `visible`.
    """
    unclipped = [np.asarray(((image > 8) & (image < 230)).all(axis=2)) for image in small]
    if float((unclipped[0] != unclipped[1])[visible].mean()) > 2 * MIN_OVEREXPOSED:
        visible &= unclipped[0] & unclipped[1]
    return int(visible.sum()) >= _MIN_PIXELS


def _residuals(x: Matrix, y: Matrix, *, max_gain: float = np.inf) -> Matrix:
    """Return the largest |y - fit of x| over the columns, in levels; a reweighted linear fit that most rows agree on.

    `max_gain`: limit of the first coefficient of x, with its inverse as the lower limit: no exposure turns a red shirt
    into a dark one.
    """
    rows = np.column_stack((x, np.ones(len(x))))
    weight = np.ones(len(x))
    residuals = np.zeros(len(x))
    for _ in range(5):
        fit = weighted_fit(rows, y, weight)
        if not 1 / max_gain <= fit[0, 0] <= max_gain:
            gain = float(np.clip(fit[0, 0], 1 / max_gain, max_gain))
            fit[1:] = weighted_fit(rows[:, 1:], y - gain * rows[:, :1], weight)
            fit[0] = gain
        before, residuals = residuals, 255 * np.abs(y - rows @ fit).max(axis=1)
        if float(residuals.max()) < _MAX_UNIFORM_RESIDUAL or float(np.abs(residuals - before).max()) < _MIN_CHANGE:
            break
        weight = 1 / (1 + (residuals / 8) ** 2)
    return residuals


def weighted_fit(rows: Matrix, y: Matrix, weight: Matrix) -> Matrix:
    """Return the (m, k) coefficients of a weighted fit of y (n, k) by rows (n, m), with a slight ridge penalty."""
    weighted = rows * weight[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ rows + _RIDGE * np.eye(rows.shape[1]), weighted.T @ y), np.float64)


def _chroma_spread(pixels: NDArray[Any]) -> float:
    """Levels by which the chroma deviates across its main direction through gray."""
    red, green, blue = pixels.T
    chroma = np.stack((red - green, blue - green), axis=1)
    _, deviations, _ = np.linalg.svd(chroma, full_matrices=False)
    return float(deviations[1] / len(pixels) ** 0.5)
