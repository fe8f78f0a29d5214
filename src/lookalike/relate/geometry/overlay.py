"""Overlay two small images and measure how far they agree, in structure and in color."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import renamed_property
from lookalike.types import RGB

Matrix = NDArray[np.float64]

_WINDOW = 9  # pixels of the small image: two JPEG blocks
_FLOOR = 6.0  # gray levels squared; a window with less variance is noise, and agrees with noise
_MIN_OVERLAP = 60  # pixels
_MIN_CONTRAST = 16.0  # levels; differences in a fainter image are not amplified beyond that
_MAX_WORST = 2.0  # the largest value of `worst`


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two images agree where they overlap.

    `structure`: 0 to 1, the mean local correlation of brightness, weighted by local contrast. `color`: -1 to 1, the
    correlation of hues (0 if one image has none). `first_inside`, `second_inside`: share of either image's detail,
    not counting plain areas, that the other covers. `detail`: mean local deviation in the overlap, in gray levels, the
    smaller of the two images'. `worst`: the largest mean color difference in any one place, in standard deviations of
    the image: 0 if all agrees, above 1 if one image shows something that the other does not.
    """

    structure: float = 0.0
    color: float = 0.0
    first_inside: float = 0.0
    second_inside: float = 0.0
    detail: float = 0.0
    worst: float = _MAX_WORST

    colour = renamed_property("colour", "color")


NO_AGREEMENT = Agreement()


def agreement(first: RGB, second: RGB, matrix: Matrix) -> Agreement:
    """Warp `first` onto `second` by a 3 x 3 matrix (pixels to pixels) and compare them in the overlap."""
    import cv2

    warped = overlay(first, second, matrix)
    if warped is None:
        return NO_AGREEMENT
    moved, inside = warped
    structure, weight, detail = correlation(moved, second, inside)
    total = float(weight.sum())
    mean = float((np.clip(structure, 0, 1) * weight).sum() / total) if total > 0 else 0.0
    height, width = first.shape[:2]
    covered = (
        cv2.warpPerspective(np.full(second.shape[:2], 255, np.uint8), np.linalg.inv(matrix), (width, height)) > 250
    )
    return Agreement(
        mean,
        _color_correlation(moved, second, inside),
        _detail_share(first, covered),
        _detail_share(second, inside),
        detail,
        _largest_difference(moved, second, inside),
    )


def _largest_difference(moved: RGB, second: RGB, inside: NDArray[np.bool_]) -> float:
    """The largest difference in a window, after fitting brightness and contrast, in deviations of the image."""
    import cv2

    # The edge of the warped image is mixed with what lies beside it.
    inner = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    if int(inner.sum()) < _MIN_OVERLAP:
        return _MAX_WORST
    a, b = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0) for image in (moved, second))
    light, other = (cv2.transform(image, np.full((1, 3), 1 / 3, np.float32))[inner] for image in (a, b))
    if float(light.std()) > 1:
        a = (a - light.mean()) * np.clip(other.std() / light.std(), 0.5, 2.0) + other.mean()
    red, green, blue = cv2.split(cv2.absdiff(a, b))  # NumPy takes twenty times as long over an axis of three
    difference = cv2.max(cv2.max(red, green), blue) * inner
    contrast = max(*(float(cv2.meanStdDev(image)[1].max()) for image in (a, b)), _MIN_CONTRAST)
    return min(float(cv2.boxFilter(difference, -1, (_WINDOW, _WINDOW))[inner].max()) / contrast, _MAX_WORST)


def _detail_share(image: RGB, inside: NDArray[np.bool_]) -> float:
    """The share of an image's detail that is inside."""
    import cv2

    gray = _gray(image)
    detail = np.abs(gray - cv2.blur(gray, (_WINDOW, _WINDOW)))
    detail = np.maximum(cv2.blur(detail, (_WINDOW, _WINDOW)) - 1.0, 0.0)
    total = float(detail.sum())
    return float(detail[inside].sum()) / total if total > 0 else float(inside.mean())


def overlay(first: RGB, second: RGB, matrix: Matrix) -> tuple[RGB, NDArray[np.bool_]] | None:
    """Return `first` in the frame of `second` and the mask of where it is; None if they hardly overlap."""
    import cv2

    height, width = second.shape[:2]
    inside = cv2.warpPerspective(np.full(first.shape[:2], 255, np.uint8), matrix, (width, height)) > 250
    if int(inside.sum()) < _MIN_OVERLAP:
        return None
    # An image that shrinks is blurred first: warping samples single pixels, which would look like disagreement.
    shrink = np.sqrt(first.shape[0] * first.shape[1] / max(_area(first, matrix), 1.0))
    source = cv2.GaussianBlur(first, (0, 0), 0.4 * float(shrink)) if shrink > 1.5 else first
    moved = cv2.warpPerspective(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8), inside


def correlation(
    moved: RGB, second: RGB, inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return the local correlation of brightness (H, W), the weight of each pixel, and the mean detail."""
    import cv2

    a, b = (cv2.GaussianBlur(_gray(image), (0, 0), 0.8) for image in (moved, second))
    if float(a[inside].std()) > 1 and float(b[inside].std()) > 1:
        a = (a - a[inside].mean()) * (b[inside].std() / a[inside].std())

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.boxFilter(values * mask, -1, (_WINDOW, _WINDOW)) / share, np.float32)

    mask = inside.astype(np.float32)
    share = np.maximum(cv2.boxFilter(mask, -1, (_WINDOW, _WINDOW)), 1e-3)
    mean_a, mean_b = mean(a), mean(b)
    var_a = np.maximum(mean(a * a) - mean_a**2, 0)
    var_b = np.maximum(mean(b * b) - mean_b**2, 0)
    both = (mean(a * b) - mean_a * mean_b + _FLOOR) / (np.sqrt(var_a * var_b) + _FLOOR)
    # Deviation, not variance: one black edge must not outweigh everything else.
    weight = np.sqrt(np.maximum(var_a, var_b)) * mask
    detail = min(float(np.sqrt(var_a)[inside].mean()), float(np.sqrt(var_b)[inside].mean()))
    return both.astype(np.float32), weight.astype(np.float32), detail


def _color_correlation(moved: RGB, second: RGB, inside: NDArray[np.bool_]) -> float:
    """Cosine of the two chroma images (Cr and Cb around gray): faded colors agree, another hue does not."""
    a, b = (_chroma(image, inside) for image in (moved, second))
    own_a, own_b, both = (float(np.vdot(x, y)) / a.size for x, y in ((a, a), (b, b), (a, b)))
    if min(own_a, own_b) < 4.0:  # levels squared: one of them is gray
        return 0.0
    return float(both / (own_a * own_b) ** 0.5)


def _chroma(image: RGB, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(2, n): Cr and Cb around gray, in levels."""
    import cv2

    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))[1:]
    return np.stack([plane[inside].astype(np.float32) - 128 for plane in planes])


def _gray(image: RGB) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32))


def _area(first: RGB, matrix: Matrix) -> float:
    """Area of the first image's frame in the second's pixels."""
    import cv2

    height, width = first.shape[:2]
    corners = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float32)
    return float(cv2.contourArea(cv2.perspectiveTransform(corners, matrix)[0].astype(np.float32)))
