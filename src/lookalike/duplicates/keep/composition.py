"""Is a picture that shows another one whole the uncropped original, or a composition: a screenshot, a page, a collage?

Three measurements tell them apart, all made after the transform between the two was refined on the pixels:

- a *seam*: along the outline of a pasted picture colors change more than beside it, along a crop's they do not;
- *detail*: a thumbnail shown enlarged holds no more than the thumbnail, an original more than its reduced crop;
- *correlation*: a crop fits its original nearly perfectly, the tile of a collage is itself cut and fits badly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.keep.detail import LEAST, Detail, Grey, is_comparable, more_detail
from lookalike.relate.content.drawn import drawn_share
from lookalike.relate.geometry.containment import part_shown
from lookalike.relate.geometry.transform import Matrix
from lookalike.relate.geometry.verify import Match
from lookalike.relate.words.frame_changes import plain_share
from lookalike.types import RGB

MIN_CORRELATION = 0.99  # crops: .992 and more, with a watermark .98; tiles of collages .72 to .988
STRONG_SEAM, SOME_SEAM, STRONG_SIDE = 0.75, 0.5, 0.8  # crops: at most .4 over all sides and .61 along one

_TEMPLATE_SIDE = 384  # pixels: the size at which the transform is refined
_MAX_STEPS, _EPSILON, _SMOOTHING = 60, 1e-5, 5
_POINTS, _MARGIN = 120, 15  # sample points along a side; pixels that must lie between a side and the frame
_AT_OUTLINE, _BESIDE = 2, (5, 13)  # pixels from the outline
_STEP = 2  # pixels to either side between which a step is measured
_SURROUNDINGS_SIDE = 320
_MIN_SURROUNDINGS, _PLAIN, _DRAWN = 0.02, 0.97, 0.5  # share of the picture; of one color; flat colors and strokes


@dataclass(frozen=True, slots=True)
class Composition:
    """How a picture shows another one that it holds whole.

    `inside`: share of its area that the other fills. `scale`: its pixels for one of the other's, along a side.
    `correlation`: of the two where they overlap, -1 to 1. `seams`: for each side of the other's outline that lies
    within the picture, the share of its length along which colors change most right there. `detail`: what the one that
    shows the other's content with more pixels holds beyond the other; None where their sizes are too close to tell.
    `plain`: what lies around is of one color. `drawn`: what lies around has words or an app's frame.
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
        """Mean over the sides, 0 where no side lies within the picture."""
        return float(np.mean(self.seams)) if self.seams else 0.0

    @property
    def shows_enlarged(self) -> bool:
        """Whether the other is shown with more pixels than it has, and with no more detail."""
        return self.scale >= LEAST and self.detail in (Detail.NONE, Detail.DOUBTFUL)

    @property
    def shows_reduced(self) -> bool:
        """Whether the other holds detail that is lost here."""
        return self.scale <= 1 / LEAST and self.detail == Detail.MORE

    @property
    def is_doubtful(self) -> bool:
        """Whether something speaks against a plain crop of the picture."""
        if self.correlation < MIN_CORRELATION or self.shows_enlarged or self.shows_reduced:
            return True
        return self.seam >= SOME_SEAM or max(self.seams, default=0.0) >= STRONG_SIDE


def examine(picture: RGB, other: RGB, match: Match) -> Composition | None:
    """How `picture` shows `other`; None where next to nothing lies around it. `match`: of the two, in this order."""
    import cv2

    grey, other_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (picture, other))
    height, width = grey.shape
    transform, correlation = refine(grey, other_grey, part_shown(match) * (width, height))
    corners = _corners(other_grey.shape) @ transform[:2, :2].T + transform[:2, 2] + 0.5
    around = _surroundings(picture, corners)
    if around is None:
        return None
    inside, plain, drawn = around
    scale = float(abs(np.linalg.det(transform[:2, :2])) ** 0.5)
    return Composition(
        inside=inside,
        scale=scale,
        correlation=correlation,
        seams=tuple(seam_shares(picture, corners)),
        detail=_detail(grey, other_grey, transform, scale),
        plain=plain,
        drawn=drawn,
    )


def refine(grey: Grey, other: Grey, corners: NDArray[np.float64]) -> tuple[Matrix, float]:
    """The affine transform (3, 3) from `other`'s pixels to `grey`'s, and the correlation of the two under it.

    `corners` (4, 2): where the corners of `other` about lie, in pixels of `grey`. Where the refinement does not
    converge the transform is the one that was given, and the correlation 0. Evangelidis, Psarakis: Parametric image
    alignment using enhanced correlation coefficient maximization, PAMI 2008.
    """
    import cv2

    height, width = other.shape
    share = min(1.0, _TEMPLATE_SIDE / max(height, width))
    size = max(16, round(width * share)), max(16, round(height * share))
    template = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
    area = abs(float(cv2.contourArea(corners.astype(np.float32))))
    reduction = min(1.0, (size[0] * size[1] / max(area, 1.0)) ** 0.5)
    shown = cv2.resize(grey, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    fitted = np.linalg.lstsq(np.c_[_corners(template.shape), np.ones(4)], corners * reduction - 0.5, rcond=None)[0].T
    start = np.asarray(fitted, np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _MAX_STEPS, _EPSILON)
    try:
        correlation, found = cv2.findTransformECC(
            template, shown, start.copy(), cv2.MOTION_AFFINE, stop, None, _SMOOTHING
        )
    except cv2.error:  # it diverged, or there is next to nothing to align
        correlation, found = 0.0, start
    to_template = _scaling(size[0] / width, size[1] / height)
    to_shown = _scaling(shown.shape[1] / grey.shape[1], shown.shape[0] / grey.shape[0])
    transform = np.linalg.inv(to_shown) @ np.vstack([np.asarray(found, np.float64), [0, 0, 1]]) @ to_template
    return transform, float(correlation)


def seam_shares(image: RGB, corners: NDArray[np.float64]) -> list[float]:
    """For each side of an outline that lies within the picture: along which share of it colors change most just there.

    `corners` (4, 2) in pixels. Of the sides of a crop about as much as chance gives: a quarter.
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
        points = start + np.linspace(0.05, 0.95, _POINTS)[:, None] * along
        beyond = points + _MARGIN * outward
        if not ((beyond >= 0) & (beyond < (width, height))).all():
            continue  # this side is the picture's own
        across = points[:, None, :] + offsets[None, :, None] * outward - 0.5
        x, y = across[..., 0].astype(np.float32), across[..., 1].astype(np.float32)
        sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        colors = cv2.GaussianBlur(sampled.astype(np.float32), (5, 5), 0.8)
        steps = np.abs(colors[:, 2 * _STEP :] - colors[:, : -2 * _STEP]).max(axis=2)
        distance = np.abs(offsets[_STEP:-_STEP])
        here = steps[:, distance <= _AT_OUTLINE].max(axis=1)
        beside = steps[:, (distance >= _BESIDE[0]) & (distance <= _BESIDE[1])].max(axis=1)
        shares.append(float((here > beside).mean()))
    return shares


def _surroundings(picture: RGB, corners: NDArray[np.float64]) -> tuple[float, bool, bool] | None:
    """Share of the picture within an outline; whether what lies around is plain, and whether it is drawn."""
    import cv2

    share = min(1.0, _SURROUNDINGS_SIDE / max(picture.shape[:2]))
    image = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    outline = corners * (image.shape[1] / picture.shape[1], image.shape[0] / picture.shape[0])
    inside = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), np.rint(outline).astype(np.int32), 1)
    near = cv2.dilate(inside, np.ones((9, 9), np.uint8)) > 0  # JPEG rings beside the outline
    if 1 - float(near.mean()) < _MIN_SURROUNDINGS:
        return None
    around = image[::2, ::2][~near[::2, ::2]]
    area = abs(float(cv2.contourArea(outline.astype(np.float32)))) / (image.shape[0] * image.shape[1])
    plain = plain_share(around) >= _PLAIN
    return min(area, 1.0), plain, not plain and drawn_share(image, ~near) > _DRAWN


def _detail(grey: Grey, other: Grey, transform: Matrix, scale: float) -> Detail | None:
    """Compare detail where both show the same: the picture is cut out and laid straight in about its own pixels."""
    import cv2

    size = round(other.shape[1] * scale), round(other.shape[0] * scale)
    if 1 / LEAST < scale < LEAST or min(size) < 2:
        return None
    onto = transform @ np.linalg.inv(_scaling(size[0] / other.shape[1], size[1] / other.shape[0]))
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    cut = np.asarray(cv2.warpAffine(grey, onto[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)
    larger, smaller = (cut, other) if scale > 1 else (other, cut)
    return more_detail(larger, smaller) if is_comparable(larger, smaller) else None


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(4, 2) corners of a picture, where the center of its first pixel is (0, 0)."""
    height, width = shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5


def _scaling(across: float, down: float) -> Matrix:
    """From the pixels of a picture to those of the same picture resized; pixels are counted by their centers."""
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
