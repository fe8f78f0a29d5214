"""Two small pictures laid over each other: how much of what they show agrees, in structure and in colour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

Matrix = NDArray[np.float64]

_WINDOW = 9  # pixels of the small picture: two jpeg blocks
_FLOOR = 6.0  # grey levels squared: less variance than that in a window is noise, and agrees with noise
_LEAST_OVERLAP = 60  # pixels
_LEAST_CONTRAST = 16.0  # levels: differences of a fainter picture are not blown up beyond that
_FAR = 2.0  # what `worst` is at most


@dataclass(frozen=True, slots=True)
class Agreement:
    """What agrees where one picture covers the other.

    `structure`: 0 to 1, the mean local correlation of brightness, weighted by how much there is to see. `colour`: -1 to
    1, the correlation of hues (0 where one of them has none). `first_inside`, `second_inside`: share of what either
    shows, not counting plain ground, that the other covers. `detail`: mean local deviation in the overlap, in grey
    levels, the lesser of the two pictures'. `worst`: the largest mean difference of colour in any one place, in
    deviations of the picture: 0 where all agrees, above 1 where something is there that is not in the other.
    """

    structure: float = 0.0
    colour: float = 0.0
    first_inside: float = 0.0
    second_inside: float = 0.0
    detail: float = 0.0
    worst: float = _FAR


NOTHING = Agreement()


def agreement(first: RGB, second: RGB, onto: Matrix) -> Agreement:
    """Lay `first` over `second` by a 3 x 3 matrix (pixels to pixels) and compare what both show."""
    import cv2

    laid = overlay(first, second, onto)
    if laid is None:
        return NOTHING
    moved, inside = laid
    structure, weight, detail = correlation(moved, second, inside)
    total = float(weight.sum())
    mean = float((np.clip(structure, 0, 1) * weight).sum() / total) if total > 0 else 0.0
    height, width = first.shape[:2]
    back = cv2.warpPerspective(np.full(second.shape[:2], 255, np.uint8), np.linalg.inv(onto), (width, height)) > 250
    return Agreement(
        mean,
        _colour(moved, second, inside),
        _share(first, back),
        _share(second, inside),
        detail,
        _worst(moved, second, inside),
    )


def _worst(moved: RGB, second: RGB, inside: NDArray[np.bool_]) -> float:
    """The largest difference in a window, brightness and contrast fitted, in deviations of the picture."""
    import cv2

    # The rim of what is laid over is mixed with what lies beside it.
    inner = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    if int(inner.sum()) < _LEAST_OVERLAP:
        return _FAR
    a, b = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0) for image in (moved, second))
    light, other = (cv2.transform(image, np.full((1, 3), 1 / 3, np.float32))[inner] for image in (a, b))
    if float(light.std()) > 1:
        a = (a - light.mean()) * np.clip(other.std() / light.std(), 0.5, 2.0) + other.mean()
    red, green, blue = cv2.split(cv2.absdiff(a, b))  # NumPy takes twenty times as long over an axis of three
    apart = cv2.max(cv2.max(red, green), blue) * inner
    contrast = max(*(float(cv2.meanStdDev(image)[1].max()) for image in (a, b)), _LEAST_CONTRAST)
    return min(float(cv2.boxFilter(apart, -1, (_WINDOW, _WINDOW))[inner].max()) / contrast, _FAR)


def _share(image: RGB, inside: NDArray[np.bool_]) -> float:
    """The share of a picture's detail that lies inside."""
    import cv2

    grey = _grey(image)
    detail = np.abs(grey - cv2.blur(grey, (_WINDOW, _WINDOW)))
    detail = np.maximum(cv2.blur(detail, (_WINDOW, _WINDOW)) - 1.0, 0.0)
    total = float(detail.sum())
    return float(detail[inside].sum()) / total if total > 0 else float(inside.mean())


def overlay(first: RGB, second: RGB, onto: Matrix) -> tuple[RGB, NDArray[np.bool_]] | None:
    """`first` in the frame of `second`, and where it is; None where they hardly meet."""
    import cv2

    height, width = second.shape[:2]
    inside = cv2.warpPerspective(np.full(first.shape[:2], 255, np.uint8), onto, (width, height)) > 250
    if int(inside.sum()) < _LEAST_OVERLAP:
        return None
    # What shrinks is blurred first: warping picks single pixels, which would look like disagreement.
    shrink = np.sqrt(first.shape[0] * first.shape[1] / max(_area(first, onto), 1.0))
    source = cv2.GaussianBlur(first, (0, 0), 0.4 * float(shrink)) if shrink > 1.5 else first
    moved = cv2.warpPerspective(source, onto, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8), inside


def correlation(
    moved: RGB, second: RGB, inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The local correlation of brightness (H, W), the weight of each place, and the mean detail there."""
    import cv2

    a, b = (cv2.GaussianBlur(_grey(image), (0, 0), 0.8) for image in (moved, second))
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


def _colour(moved: RGB, second: RGB, inside: NDArray[np.bool_]) -> float:
    """Cosine of the two chroma pictures (Cr and Cb around grey): faded is alike, another hue is not."""
    a, b = (_chroma(image, inside) for image in (moved, second))
    own_a, own_b, both = (float(np.vdot(x, y)) / a.size for x, y in ((a, a), (b, b), (a, b)))
    if min(own_a, own_b) < 4.0:  # levels squared: one of them is grey
        return 0.0
    return float(both / (own_a * own_b) ** 0.5)


def _chroma(image: RGB, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(2, n): Cr and Cb around grey, in levels."""
    import cv2

    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))[1:]
    return np.stack([plane[inside].astype(np.float32) - 128 for plane in planes])


def _grey(image: RGB) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32))


def _area(first: RGB, onto: Matrix) -> float:
    """Area of the first picture's frame in the second's pixels."""
    import cv2

    height, width = first.shape[:2]
    corners = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float32)
    return float(cv2.contourArea(cv2.perspectiveTransform(corners, onto)[0].astype(np.float32)))
