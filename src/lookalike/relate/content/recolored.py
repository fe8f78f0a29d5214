"""Whether an object has another colour in the one picture than in the other, however both were exposed and tinted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

LUMA = np.array((0.299, 0.587, 0.114))
OVEREXPOSED = 0.12  # of a picture: letters laid on it cover less
PHOTOGRAPHED = 0.2  # `drawn_share` of the wholes below which no part is a page
_FEW_COLOURS = 8.0  # levels of chroma: a picture that varies by less shows one object in one colour
_RIDGE = 1e-3
_FEWEST = 100  # of 2,304 places, whose tones were kept
_NO_COLOUR = 0.02  # between the channels, of 1
_MAX_GAIN = 2.2  # of contrast
_AS_ONE = 5.0  # levels: all follow one fit, and to weigh them changes nothing
_SETTLED = 1.0  # levels by which another round moves the fit


def recoloured(a: RGB, b: RGB, core: Mask, drawn: float) -> tuple[float, float]:
    """The largest local difference of colour after a fit that the majority of pixels agree on; the chroma's spread.

    Exposure, contrast and tint, also where they change across the picture, are fitted channel by channel. A photograph
    of many colours may have all its hues turned: there any linear map of colours is allowed, which for a red shirt on
    white would be any other shirt.
    """
    import cv2

    small = tuple(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float64) for image in (a, b))
    seen = cv2.resize(core.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA) > 0.9
    if int(seen.sum()) < 16:
        return 0.0, 0.0
    if drawn < PHOTOGRAPHED and not _tones_kept(small, seen):
        return 0.0, 0.0
    x, y = (image[seen] / 255 for image in small)
    chroma = [float((rows.max(axis=1) - rows.min(axis=1)).mean()) for rows in (x, y)]
    if drawn < PHOTOGRAPHED and min(chroma) < _NO_COLOUR:
        x, y = (np.repeat(rows @ LUMA[:, None], 3, axis=1) for rows in (x, y))  # one was made grey
    at = np.argwhere(seen) / 48 - 0.5
    spread = max(_chroma_spread(small[0][seen]), _chroma_spread(small[1][seen]))
    single = np.max(
        [_off(np.column_stack((x[:, n], at)), y[:, n : n + 1], max_gain=_MAX_GAIN) for n in range(3)], axis=0
    )
    few = max(float(np.exp(-spread / _FEW_COLOURS)), min(2 * drawn, 1.0))
    off = few * single + (1 - few) * _off(np.column_stack((x, at)), y)
    field = np.zeros((48, 48), np.float32)
    field[seen] = off
    # What is as far off everywhere was filtered as a whole; another shirt is off in one place.
    return max(0.0, float(cv2.boxFilter(field, -1, (5, 5)).max()) - 2 * float(np.median(off))), spread


def _tones_kept(small: tuple[NDArray[Any], ...], seen: Mask) -> bool:
    """Leave out of an overexposed picture what is at white or black, which follows no fit; whether enough is left.

    Changes `seen`.
    """
    kept = [np.asarray(((image > 8) & (image < 230)).all(axis=2)) for image in small]
    if float((kept[0] != kept[1])[seen].mean()) > 2 * OVEREXPOSED:
        seen &= kept[0] & kept[1]
    return int(seen.sum()) >= _FEWEST


def _off(x: Matrix, y: Matrix, *, max_gain: float = np.inf) -> Matrix:
    """The largest of |y - fit of x| over columns, in levels: a linear fit that most rows agree on (reweighted).

    `max_gain`: of the first column of x, and one by it the least: no exposure makes a dark shirt of a red one.
    """
    rows = np.column_stack((x, np.ones(len(x))))
    weight = np.ones(len(x))
    off = np.zeros(len(x))
    for _ in range(5):
        fit = weighted_fit(rows, y, weight)
        if not 1 / max_gain <= fit[0, 0] <= max_gain:
            gain = float(np.clip(fit[0, 0], 1 / max_gain, max_gain))
            fit[1:] = weighted_fit(rows[:, 1:], y - gain * rows[:, :1], weight)
            fit[0] = gain
        before, off = off, 255 * np.abs(y - rows @ fit).max(axis=1)
        if float(off.max()) < _AS_ONE or float(np.abs(off - before).max()) < _SETTLED:
            break
        weight = 1 / (1 + (off / 8) ** 2)
    return off


def weighted_fit(rows: Matrix, y: Matrix, weight: Matrix) -> Matrix:
    """The (m, k) coefficients that fit y (n, k) by rows (n, m), each row with its weight; a touch of ridge."""
    weighted = rows * weight[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ rows + _RIDGE * np.eye(rows.shape[1]), weighted.T @ y), np.float64)


def _chroma_spread(pixels: NDArray[Any]) -> float:
    """Levels by which the chroma deviates across its main direction through grey."""
    red, green, blue = pixels.T
    chroma = np.stack((red - green, blue - green), axis=1)
    _, deviations, _ = np.linalg.svd(chroma, full_matrices=False)
    return float(deviations[1] / len(pixels) ** 0.5)
