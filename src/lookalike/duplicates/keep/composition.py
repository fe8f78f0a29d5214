"""Tell an uncropped original from a composition that shows the other image: a screenshot, a page or a collage.

Three measurements distinguish them, all after the transform between the two is refined on the pixels:

- *seam*: colors change more along the outline of a pasted image than beside it, but not along the outline of a crop;
- *detail*: an upscaled thumbnail has no more detail than the thumbnail, an original more than its reduced crop;
- *correlation*: a crop matches its original nearly perfectly, but the tile of a collage, itself cropped, matches badly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.keep.detail import MIN_RATIO, Detail, GrayImage, is_comparable, more_detail
from lookalike.relate.content.drawn import drawn_share
from lookalike.relate.geometry.containment import part_shown
from lookalike.relate.geometry.refine import refine_by_pixels
from lookalike.relate.geometry.transform import Matrix
from lookalike.relate.geometry.verify import Match
from lookalike.relate.words.frame_changes import plain_share
from lookalike.types import RGB

MIN_CORRELATION = 0.99  # crops: .992 and more, with a watermark .98; tiles of collages .72 to .988
STRONG_SEAM, SOME_SEAM, STRONG_SEAM_SIDE = 0.75, 0.5, 0.8  # crops: at most .4 over all sides and .61 along one

_ECC_SIDE = 384  # pixels: the size at which the transform is refined
_ECC_MAX_ITERATIONS, _ECC_EPSILON = 60, 1e-5
_MIN_INSIDE = 0.3  # share of a side that must lie within the image
_SAMPLES_PER_SIDE, _MARGIN = 120, 15  # pixels that must lie between a side and the image's edge
_MAX_SEAM_DISTANCE, _COMPARISON_DISTANCES = (
    2,
    (5, 13),
)  # pixels from the outline, where a seam is and where it is compared
_GRADIENT_RADIUS = 2  # pixels to either side between which a color change is measured
_SURROUNDINGS_SIDE = 320
_MIN_SURROUNDINGS, _MIN_PLAIN_SHARE, _MIN_DRAWN_SHARE = (
    0.02,
    0.97,
    0.5,
)  # of the image; of one color; of flat colors and strokes


@dataclass(frozen=True, slots=True)
class Composition:
    """How an image shows another one in full.

    `inside`: the share of its area that the other one fills. `scale`: its pixels for one pixel of the other, along a
    side. `correlation`: of the two where they overlap, -1 to 1. `seams`: for each side of the other's outline within
    the image, the share of its length along which colors change most at the outline. `detail`: the detail of the larger
    version of the shared content beyond that of the smaller; None if their sizes are too similar. `plain`: the
    surroundings have one color. `drawn`: the surroundings have text or an app's frame.
    """

    inside: float
    scale: float
    correlation: float
    seams: tuple[float, ...]
    detail: Detail | None
    plain: bool
    drawn: bool

    @property
    def seam(self) -> float:
        """The mean over the sides, 0 if no side lies within the image."""
        return float(np.mean(self.seams)) if self.seams else 0.0

    @property
    def shows_upscaled(self) -> bool:
        """Whether the other image is shown with more pixels than it has, and no more detail."""
        return self.scale >= MIN_RATIO and self.detail in (Detail.NONE, Detail.DOUBTFUL)

    @property
    def shows_reduced(self) -> bool:
        """Whether the other image has detail that is lost here."""
        return self.scale <= 1 / MIN_RATIO and self.detail == Detail.MORE

    @property
    def is_doubtful(self) -> bool:
        """Whether a measurement contradicts that the other image is a crop of this one."""
        if self.correlation < MIN_CORRELATION or self.shows_upscaled or self.shows_reduced:
            return True
        return self.seam >= SOME_SEAM or max(self.seams, default=0.0) >= STRONG_SEAM_SIDE


def examine(image: RGB, other: RGB, match: Match) -> Composition | None:
    """Return how `image` shows `other`; None if the surroundings are too small. `match`: of the two, in this order."""
    import cv2

    gray, other_gray = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for each in (image, other))
    height, width = gray.shape
    transform, correlation = refine(gray, other_gray, part_shown(match) * (width, height))
    corners = _corners(other_gray.shape) @ transform[:2, :2].T + transform[:2, 2] + 0.5
    around = _surroundings(image, corners)
    if around is None:
        return None
    inside, plain, drawn = around
    scale = float(abs(np.linalg.det(transform[:2, :2])) ** 0.5)
    return Composition(
        inside=inside,
        scale=scale,
        correlation=correlation,
        seams=tuple(seam_shares(image, corners)),
        detail=_detail(gray, other_gray, transform, scale),
        plain=plain,
        drawn=drawn,
    )


def refine(gray: GrayImage, other: GrayImage, corners: NDArray[np.float64]) -> tuple[Matrix, float]:
    """Return the affine transform (3, 3) from `other`'s pixels to `gray`'s, and the correlation of the two under it.

    `corners` (4, 2): approximate positions of the corners of `other`, in pixels of `gray`. If the refinement does not
    converge, returns the transform of the corners, and 0.
    """
    import cv2

    height, width = other.shape
    share = min(1.0, _ECC_SIDE / max(height, width))
    size = max(16, round(width * share)), max(16, round(height * share))
    template = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
    area = abs(float(cv2.contourArea(corners.astype(np.float32))))
    reduction = min(1.0, (size[0] * size[1] / max(area, 1.0)) ** 0.5)
    shown = cv2.resize(gray, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    fitted = np.linalg.lstsq(np.c_[_corners(template.shape), np.ones(4)], corners * reduction - 0.5, rcond=None)[0].T
    start = np.vstack([fitted, [0, 0, 1]])
    refined = refine_by_pixels(
        template, shown, start, perspective=False, iterations=_ECC_MAX_ITERATIONS, epsilon=_ECC_EPSILON
    )
    matrix, correlation = (start, 0.0) if refined is None else refined
    to_template = _scaling(size[0] / width, size[1] / height)
    to_shown = _scaling(shown.shape[1] / gray.shape[1], shown.shape[0] / gray.shape[0])
    return np.linalg.inv(to_shown) @ matrix @ to_template, correlation


def seam_shares(image: RGB, corners: NDArray[np.float64]) -> list[float]:
    """Return, for each side of an outline within the image, the share along which colors change most at the outline.

    `corners` (4, 2) in pixels. Along the sides of a crop the share is that of chance, about a quarter.
    """
    import cv2

    height, width = image.shape[:2]
    offsets = np.arange(-_MARGIN, _MARGIN + 1)
    middle = corners.mean(axis=0)
    shares = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        outward = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-6)
        outward *= np.sign(outward @ ((start + end) / 2 - middle)) or 1.0
        points = start + np.linspace(0.05, 0.95, _SAMPLES_PER_SIDE)[:, None] * along
        beyond = points + _MARGIN * outward
        inside = ((beyond >= 0) & (beyond < (width, height))).all(axis=1)
        if inside.mean() < _MIN_INSIDE:
            continue  # this side is the image's edge
        points = points[inside]  # the corners of a rotated image touch the edge
        across = points[:, None, :] + offsets[None, :, None] * outward - 0.5
        x, y = across[..., 0].astype(np.float32), across[..., 1].astype(np.float32)
        sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        colors = cv2.GaussianBlur(sampled.astype(np.float32), (5, 5), 0.8)
        steps = np.abs(colors[:, 2 * _GRADIENT_RADIUS :] - colors[:, : -2 * _GRADIENT_RADIUS]).max(axis=2)
        distance = np.abs(offsets[_GRADIENT_RADIUS:-_GRADIENT_RADIUS])
        at_outline = steps[:, distance <= _MAX_SEAM_DISTANCE].max(axis=1)
        beside = steps[:, (distance >= _COMPARISON_DISTANCES[0]) & (distance <= _COMPARISON_DISTANCES[1])].max(axis=1)
        shares.append(float((at_outline > beside).mean()))
    return shares


def _surroundings(image: RGB, corners: NDArray[np.float64]) -> tuple[float, bool, bool] | None:
    """Return the share of the image within an outline, whether the surroundings are plain, and whether they are drawn.

    None if the surroundings are too small.
    """
    import cv2

    share = min(1.0, _SURROUNDINGS_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    outline = corners * (small.shape[1] / image.shape[1], small.shape[0] / image.shape[0])
    inside = cv2.fillConvexPoly(np.zeros(small.shape[:2], np.uint8), np.rint(outline).astype(np.int32), 1)
    excluded = cv2.dilate(inside, np.ones((9, 9), np.uint8)) > 0  # with JPEG ringing beside the outline
    if 1 - float(excluded.mean()) < _MIN_SURROUNDINGS:
        return None
    around = small[::2, ::2][~excluded[::2, ::2]]
    area = abs(float(cv2.contourArea(outline.astype(np.float32)))) / (small.shape[0] * small.shape[1])
    plain = plain_share(around) >= _MIN_PLAIN_SHARE
    return min(area, 1.0), plain, not plain and drawn_share(small, ~excluded) > _MIN_DRAWN_SHARE


def _detail(gray: GrayImage, other: GrayImage, transform: Matrix, scale: float) -> Detail | None:
    """Compare the detail of `other` and of the part of the image that shows it, warped to the frame of `other`."""
    import cv2

    size = round(other.shape[1] * scale), round(other.shape[0] * scale)
    if 1 / MIN_RATIO < scale < MIN_RATIO or min(size) < 2:
        return None
    warp = transform @ np.linalg.inv(_scaling(size[0] / other.shape[1], size[1] / other.shape[0]))
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    part = np.asarray(cv2.warpAffine(gray, warp[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)
    larger, smaller = (part, other) if scale > 1 else (other, part)
    return more_detail(larger, smaller) if is_comparable(larger, smaller) else None


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the corners (4, 2) of an image; the center of its first pixel is (0, 0)."""
    height, width = shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5


def _scaling(across: float, down: float) -> Matrix:
    """Return the transform (3, 3) from pixels of an image to those of its resized version, by pixel centers."""
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
