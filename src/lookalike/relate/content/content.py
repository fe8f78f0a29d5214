"""Compare the contents of two aligned images: the same content, or one template filled in differently?

Points and frames prove that two images have the same layout. Receipts of one shop, screens of one app and memes of one
photo have the same layout too. Here one image is warped onto the other at a size at which details are legible, and each
small window is compared: a copy loses detail everywhere in the same way; other content differs in some places and
agrees perfectly in the rest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import renamed_property
from lookalike.image.resize import scaled_by
from lookalike.relate.content.added_marks import AlignedPair, added_mark_probabilities, changed_pieces
from lookalike.relate.content.drawn import drawn_share
from lookalike.relate.content.recolored import LUMA, MAX_PHOTO_DRAWN, MIN_OVEREXPOSED, color_difference, weighted_fit
from lookalike.relate.content.regions import Region, find_regions, is_overlay, to_region, without_overlays
from lookalike.relate.geometry.refine import refine_by_pixels
from lookalike.relate.geometry.transform import UNIT_SQUARE, project
from lookalike.relate.geometry.verify import pixels_to_fractions
from lookalike.types import RGB

Matrix = NDArray[np.float64]
GrayImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

_AREA = 0.87  # of a square: an image of 4 : 3 then has the requested long side
COARSE = 256  # pixels of the long side at 4 : 3; the size of thumbnails, at which photographs are judged
FINE = 1024  # at this size the text of a page is legible
_WINDOWS = 60  # windows along the long side
_MIN_WINDOW = 9
_NOISE = 4.0  # gray levels: a deviation that agrees with any other
_MIN_CONTRAST = 12.0  # gray levels of deviation from which a window has something to compare
_MAX_DIFFERENT = 0.55  # correlation below which a window shows something else
_MIN_AGREEING = 0.8  # correlation from which a window counts as agreeing
_RIM = 0.012  # of the side: borders, shadows of pages and rounded corners lie within it
_MIN_BUSY_PIXELS = 60  # pixels that must have something to compare
_BLURS = (0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0, 4.0, 5.5)
_MIN_CHROMA = 8.0  # levels between the channels, from which the conversion to gray matters
_MIN_GAIN = 0.02  # of correlation; a smaller gain does not justify another mixture of channels
_MIN_SLOPE, _MAX_SLOPE = 0.0, 3.0  # slope of a tone curve
_ECC_STEPS, _ECC_EPSILON = 30, 1e-4
_MAX_ECC_SHIFT = 0.08  # of the side, by which a corner may move
_MIN_RELATED = 0.3  # median correlation below which two images are unrelated, whatever a shift would give
_MIN_TYPICAL_OF_MARKED = 0.7  # of 467 marked copies, one has less and not
_MIN_AGREEMENT_OF_REST = 0.9  # this either; three photos pixelated and a plain sky have .5 to .68
_MIN_PAGE_DRAWN = 0.6  # `drawn` from which it is certainly a page, a screen or a drawing
_MAX_DIFFERENT_SHARE = 0.6  # of the windows; above it, nothing is left that agrees


@dataclass(frozen=True, slots=True)
class Content:
    """How the contents of two aligned images compare.

    `typical`, `low`: median and tenth percentile of the windows' correlation. `different`: share of windows with
    contrast that show something else. `strongest`: the largest disagreement of any place about two windows wide, 0 to
    .8. `busy`: share of the overlap with something to compare; `windows`: the number of adjacent windows that this
    makes. `drawn`: 0 to 1, how far the images consist of flat colors and strokes (text, charts, screens) rather than of
    photographed textures.
    `recolored`: gray levels by which colors differ after fitting exposure, contrast and tint, in the place where they
    differ most, minus the difference found everywhere. `colors`: levels by which the chroma varies across its main
    direction; with few colors, a recolored object is another object. `side`: pixels of the long side of the comparison.
    `blur`: Gaussian sigma by which one had to be blurred to match the other. `laid_on`: probability that all that
    differs was added to one of them.
    """

    typical: float
    low: float
    different: float
    strongest: float
    busy: float
    windows: float
    drawn: float
    recolored: float
    colors: float
    side: int
    blur: float
    laid_on: float = 0.0
    regions: tuple[Region, ...] = ()

    @property
    def unrelated(self) -> bool:
        """Whether next to nothing agrees, so that the two do not have the same layout after all."""
        return self.different > _MAX_DIFFERENT_SHARE

    @property
    def areas(self) -> tuple[float, float, float]:
        """Share of the overlap in which both differ, in which only the second and only the first shows something."""
        kinds = ({"differs"}, {"added", "overlay"}, {"removed", "uncovered"})
        differs, added, removed = (sum(r.area for r in self.regions if r.kind in names) for names in kinds)
        return differs, added, removed

    recoloured = renamed_property("recoloured", "recolored")
    colours = renamed_property("colours", "colors")


def compare_content(
    first: RGB, second: RGB, transform: Matrix, *, negative: bool = False, side: int, drawn: float | None = None
) -> Content | None:
    """Return the `content` of `overlap_of`, or None."""
    overlap = overlap_of(first, second, transform, negative=negative, side=side, drawn=drawn)
    return None if overlap is None else overlap.content()


def align_pair(first: RGB, second: RGB, transform: Matrix, *, side: int) -> AlignedPair | None:
    """Return the aligned images and the mask of where they differ; None if `overlap_of` returns None."""
    overlap = overlap_of(first, second, transform, side=side)
    return None if overlap is None else AlignedPair(overlap.a, overlap.b, overlap.bad)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two aligned images and the agreement of their windows. `content` then analyzes what differs.

    `swapped`: aligned in the frame of the first. `typical`, `low`, `different`, `strongest`: see `Content`.
    """

    a: RGB
    b: RGB
    core: Mask
    swapped: bool
    agreement: GrayImage
    deviations: tuple[GrayImage, GrayImage]
    busy: Mask
    bad: Mask
    window: int
    drawn: float
    blur: float
    transform: Matrix
    typical: float
    low: float
    different: float
    strongest: float

    @property
    def unrelated(self) -> bool:
        """Whether next to nothing agrees, so that the two do not have the same layout after all."""
        return self.different > _MAX_DIFFERENT_SHARE

    @property
    def windows(self) -> float:
        """The number of adjacent windows that have something to compare."""
        return float(self.busy.sum()) / self.window**2

    @property
    def _agrees_elsewhere(self) -> bool:
        """Whether the rest shows the same, so that what differs may have been added.

        Anything at all may have been laid on a plain sky, whose gradient agrees by chance with that of any other image.
        """
        if self.typical >= _MIN_TYPICAL_OF_MARKED:
            return True
        good = self.agreement[self.busy & ~self.bad]
        return len(good) > 0 and float(np.median(good)) >= _MIN_AGREEMENT_OF_REST

    def content(self) -> Content:
        """Return what differs, where, and whether it was added. Costs as much as `overlap_of`."""
        pair = AlignedPair(self.a, self.b, self.bad)
        # Unrelated images differ everywhere, and a page with something added is another page.
        has_marks = (
            self.different > 0 and not self.unrelated and self.drawn < _MIN_PAGE_DRAWN and self._agrees_elsewhere
        )
        laid_on = added_mark_probabilities(pair) if has_marks else (0.0, 0.0)
        regions = [] if self.unrelated else find_regions(self.bad, self.deviations, laid_on)
        common_area = without_overlays(self.core & ~self.bad, regions)
        if is_overlay(laid_on):
            common_area &= ~changed_pieces(pair)
        color_shift = color_difference(self.a, self.b, common_area, self.drawn)
        to_second = self.transform if self.swapped else None
        return Content(
            typical=self.typical,
            low=self.low,
            different=self.different,
            strongest=self.strongest,
            busy=float(self.busy.sum()) / float(self.core.sum()),
            windows=self.windows,
            drawn=self.drawn,
            recolored=color_shift[0],
            colors=color_shift[1],
            side=max(self.core.shape),
            blur=self.blur,
            laid_on=max(laid_on),
            regions=tuple(to_region(region, self.busy.shape, to_second) for region in regions),
        )


def overlap_of(
    first: RGB, second: RGB, transform: Matrix, *, negative: bool = False, side: int, drawn: float | None = None
) -> Overlap | None:
    """Align two images of any size by a 3 x 3 transform of fractions (first to second), compared at `side` pixels.

    `drawn`: the larger `drawn_share` of the two whole images, if known; if low, it is not measured again.
    None if they hardly overlap or there is too little to compare.
    """
    warped = _warp_to_coarser(_reduced(first, side), _reduced(second, side), transform)
    if warped is None:
        return None
    a, b, inside, swapped = warped
    if negative:
        a = np.asarray(255 - a, np.uint8)
    core = _core(inside)
    if int(core.sum()) < _MIN_BUSY_PIXELS:
        return None
    gray_a, gray_b = _to_gray(a, b, core)
    gray_a, gray_b, blur = _equalize_sharpness(_match_tones(gray_a, gray_b, core), gray_b, core)
    window = max(_MIN_WINDOW, round(max(core.shape) / _WINDOWS)) | 1
    agreement, *deviations = _window_agreement(gray_a, gray_b, core, window)
    drawn = _overlap_drawn(a, b, core, drawn)
    busy = (np.maximum(*deviations) > _MIN_CONTRAST) & core
    if drawn < MAX_PHOTO_DRAWN:  # the white of a page is not overexposed
        busy &= ~_overexposed(a, b, core, window)
    if int(busy.sum()) < _MIN_BUSY_PIXELS:
        return None
    bad = (agreement < _MAX_DIFFERENT) & busy
    values = agreement[busy]
    return Overlap(
        a=a,
        b=b,
        core=core,
        swapped=swapped,
        agreement=agreement,
        deviations=(deviations[0], deviations[1]),
        busy=busy,
        bad=bad,
        window=window,
        drawn=drawn,
        blur=blur,
        transform=transform,
        typical=float(np.median(values)),
        low=float(np.quantile(values, 0.1)),
        different=float(bad.sum()) / float(busy.sum()),
        strongest=_strongest(agreement, busy, window),
    )


def refine_transform(first: RGB, second: RGB, transform: Matrix, *, side: int) -> Matrix:
    """Return the transform refined on the images at `side` pixels, or unchanged if that does not converge.

    Points of a thumbnail are exact to a pixel or two of a page. Images of different sizes are not refined: calibrations
    and thresholds were measured without.
    """
    import cv2

    a, b = _reduced(first, side), _reduced(second, side)
    if a.shape != b.shape:
        return transform
    onto = np.linalg.inv(pixels_to_fractions(_size(b))) @ transform @ pixels_to_fractions(_size(a))
    start = np.linalg.inv(onto)
    inside = cv2.warpPerspective(np.full(a.shape[:2], 255, np.uint8), onto, (b.shape[1], b.shape[0]))
    gray_a, gray_b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (a, b))
    refined = refine_by_pixels(
        gray_b, gray_a, start / start[2, 2], perspective=True, iterations=_ECC_STEPS, epsilon=_ECC_EPSILON, mask=inside
    )
    if refined is None:
        return transform
    matrix = pixels_to_fractions(_size(b)) @ np.linalg.inv(refined[0]) @ np.linalg.inv(pixels_to_fractions(_size(a)))
    if not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-9:
        return transform
    matrix = matrix / matrix[2, 2]
    moved = np.abs(project(matrix, UNIT_SQUARE) - project(transform, UNIT_SQUARE)).max()
    return matrix if moved < _MAX_ECC_SHIFT else transform


def _reduced(image: RGB, side: int) -> RGB:
    """Reduce by area rather than by the long side, so that a long receipt stays legible."""
    share = _AREA * side / float(image.shape[0] * image.shape[1]) ** 0.5
    return image if share >= 1 else scaled_by(image, share)


def _size(image: RGB) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _warp_to_coarser(first: RGB, second: RGB, transform: Matrix) -> tuple[RGB, RGB, Mask, bool] | None:
    """Both images in the frame of the coarser one, the mask of their overlap, and whether that frame is the first's."""
    import cv2

    onto = np.linalg.inv(pixels_to_fractions(_size(second))) @ transform @ pixels_to_fractions(_size(first))
    height, width = first.shape[:2]
    corners = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float32)
    area = float(cv2.contourArea(cv2.perspectiveTransform(corners, onto)[0]))
    scale = float(np.sqrt(max(area, 1e-6) / (width * height)))
    swapped = scale > 1
    finer, coarser, matrix = (second, first, np.linalg.inv(onto)) if swapped else (first, second, onto)
    shrink = 1 / scale if swapped else scale
    if shrink < 0.8:  # warping samples single pixels, so an image that shrinks is blurred first
        finer = cv2.GaussianBlur(finer, (0, 0), min(0.45 / shrink, 8.0))
    size = coarser.shape[1], coarser.shape[0]
    moved = cv2.warpPerspective(finer, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(np.full(finer.shape[:2], 255, np.uint8), matrix, size) > 250
    return (coarser, moved, inside, True) if swapped else (moved, coarser, inside, False)


def _overlap_drawn(a: RGB, b: RGB, core: Mask, whole: float | None) -> float:
    """How far the images are drawn where they overlap."""
    if whole is not None and whole < MAX_PHOTO_DRAWN:
        return whole
    return max(drawn_share(a, core), drawn_share(b, core))


def _core(inside: Mask) -> Mask:
    """The overlap without its rim, which is mixed with what lies beside it."""
    import cv2

    reach = 2 * max(3, round(_RIM * max(inside.shape))) + 1
    whole = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.erode(whole, np.ones((reach, reach), np.uint8), borderValue=1)[1:-1, 1:-1] > 0)


def _gray(image: RGB) -> GrayImage:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)


def _extremes(image: RGB) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The highest and lowest channel of each pixel; NumPy takes twenty times as long over an axis of three."""
    import cv2

    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)


def _overexposed(a: RGB, b: RGB, core: Mask, window: int) -> Mask:
    """Windows in which only one image retains its tones, if there are many of them: that image was overexposed."""
    at_end = [(high >= 253) | (low <= 2) for high, low in map(_extremes, (a, b))]
    one_only = (at_end[0] != at_end[1]) & core
    if float(one_only.sum()) < MIN_OVEREXPOSED * float(core.sum()):
        return np.zeros_like(core)
    return np.asarray(_mean(one_only.astype(np.float32), window) > 0.25)


def _to_gray(a: RGB, b: RGB, core: Mask) -> tuple[GrayImage, GrayImage]:
    """Convert both to gray, the more colorful one by the mixture of its channels that is most like the other.

    An image converted by another rule, toned or with other hues retains its shapes but not its contrasts.
    """
    import cv2

    grays = [_gray(a), _gray(b)]
    chroma = [cv2.mean(cv2.subtract(*_extremes(image)), core.astype(np.uint8))[0] for image in (a, b)]
    colorful = int(chroma[1] > chroma[0])
    if chroma[colorful] < _MIN_CHROMA:
        return grays[0], grays[1]
    visible = cv2.resize(core.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA) > 0.9
    if int(visible.sum()) < 16:
        return grays[0], grays[1]
    image = (a, b)[colorful]
    x = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)[visible].astype(np.float64)
    y = cv2.resize(grays[1 - colorful], (48, 48), interpolation=cv2.INTER_AREA)[visible].astype(np.float64)
    rows = np.column_stack((x / 255, np.ones(len(x))))
    weight = np.ones(len(x))
    for _ in range(3):
        mixture = weighted_fit(rows, y[:, None] / 255, weight)[:, 0]
        weight = 1 / (1 + ((y / 255 - rows @ mixture) / 0.05) ** 2)
    before = _pearson(x @ LUMA, y)
    if _pearson(rows @ mixture, y) < before + _MIN_GAIN:
        return grays[0], grays[1]
    mixed = image.astype(np.float32) @ mixture[:3].astype(np.float32) + np.float32(255 * mixture[3])
    grays[colorful] = np.asarray(np.clip(mixed, 0, 255), np.float32)
    return grays[0], grays[1]


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if min(x.std(), y.std()) > 1e-6 else 1.0


def _match_tones(a: GrayImage, b: GrayImage, core: Mask) -> GrayImage:
    """Map `a` to the levels of `b` by a tone curve no steeper than an editor would use.

    What was clipped at white or black in one is then clipped in both.
    """
    levels = np.arange(256, dtype=np.float64)
    shares = [np.bincount(np.clip(image[core], 0, 255).astype(np.uint8), minlength=256) for image in (a, b)]
    first, second = (np.cumsum(share) / max(int(share.sum()), 1) for share in shares)
    curve = np.interp(first, second + 1e-9 * levels, levels)
    middle = int(np.searchsorted(first, 0.5))
    steps = np.clip(np.diff(curve), _MIN_SLOPE, _MAX_SLOPE)
    curve = np.concatenate(([0.0], np.cumsum(steps)))
    curve += float(np.interp(0.5, second + 1e-9 * levels, levels)) - curve[middle]
    table = np.clip(curve, 0, 255).astype(np.float32)
    return np.asarray(table[np.clip(a, 0, 255).astype(np.uint8)], np.float32)


def _equalize_sharpness(a: GrayImage, b: GrayImage, core: Mask) -> tuple[GrayImage, GrayImage, float]:
    """Blur the sharper of the two until both have equal fine detail."""
    import cv2

    detail = [_detail(image, core) for image in (a, b)]
    sharper = int(detail[1] > detail[0])
    target = min(detail)
    pair, applied = [a, b], 0.0
    if detail[sharper] <= 1.15 * target:
        return a, b, 0.0
    for sigma in _BLURS:
        pair[sharper], applied = cv2.GaussianBlur((a, b)[sharper], (0, 0), sigma), sigma
        if _detail(pair[sharper], core) <= target:
            break
    return pair[0], pair[1], applied


def _detail(image: GrayImage, core: Mask) -> float:
    import cv2

    smooth = cv2.GaussianBlur(image, (3, 3), 0.7)
    detail = np.abs(cv2.Laplacian(smooth, cv2.CV_32F))
    return float(detail[core].mean()) / max(float(image[core].std()), 1e-3)


@dataclass(frozen=True, slots=True)
class _Local:
    """A gray image with its local mean and variance."""

    values: GrayImage
    mean: GrayImage
    variance: GrayImage


def _window_agreement(a: GrayImage, b: GrayImage, core: Mask, window: int) -> tuple[GrayImage, GrayImage, GrayImage]:
    """The best local correlation over shifts of one pixel, and the local deviation of either image."""
    mask = core.astype(np.float32)
    share = np.maximum(_mean(mask, window), 1e-3)
    first, second = (_local(image, mask, share, window) for image in (a, b))
    deviations = [np.asarray(np.sqrt(side.variance), np.float32) for side in (first, second)]
    busy = (np.maximum(*deviations) > _MIN_CONTRAST) & core
    both = np.asarray(_mean(first.values * second.values * mask, window) / share, np.float32)
    best = _correlation(both, first.mean, first.variance, second.mean, second.variance)
    doubtful = busy & (best < _MIN_AGREEING)
    if doubtful.any() and float(np.median(best[busy])) > _MIN_RELATED:
        part = _bounding_slices(doubtful, window)
        best[part] = _best_of_shifts(first, second, mask, share, best[part], part, window)
    return best, deviations[0], deviations[1]


def _mean(values: GrayImage, window: int) -> GrayImage:
    import cv2

    return np.asarray(cv2.boxFilter(values, -1, (window, window), borderType=cv2.BORDER_REFLECT), np.float32)


def _local(image: GrayImage, mask: GrayImage, share: GrayImage, window: int) -> _Local:
    mean = np.asarray(_mean(image * mask, window) / share, np.float32)
    variance = np.maximum(_mean(image * image * mask, window) / share - mean**2, 0)
    return _Local(image, mean, np.asarray(variance, np.float32))


def _correlation(
    both: GrayImage, mean_a: GrayImage, var_a: GrayImage, mean_b: GrayImage, var_b: GrayImage
) -> GrayImage:
    floor = np.float32(_NOISE**2)
    correlation = (both - mean_a * mean_b + floor) / np.sqrt((var_a + floor) * (var_b + floor))
    return np.asarray(np.clip(correlation, -1, 1), np.float32)


def _bounding_slices(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of the bounding box of a mask, with a margin."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _best_of_shifts(
    a: _Local, b: _Local, mask: GrayImage, share: GrayImage, best: GrayImage, part: tuple[slice, slice], window: int
) -> GrayImage:
    """The best correlation in a part of the image when `a` is shifted by one pixel in any direction."""
    second_values, weight = (b.values * mask)[part], 1 / share[part]
    padded = [np.pad(values, 1, mode="edge") for values in (a.values, a.mean, a.variance)]
    rows, columns = part
    tall, wide = best.shape
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
        top, left = rows.start + 1 - dy, columns.start + 1 - dx
        values, mean, variance = (each[top : top + tall, left : left + wide] for each in padded)
        both = np.asarray(_mean(values * second_values, window) * weight, np.float32)
        best = np.maximum(best, _correlation(both, mean, variance, b.mean[part], b.variance[part]))
    return best


def _strongest(agreement: GrayImage, busy: Mask, window: int) -> float:
    import cv2

    missing = np.where(busy, np.clip(_MIN_AGREEING - agreement, 0, 1), 0).astype(np.float32)
    return float(cv2.boxFilter(missing, -1, (2 * window, window)).max())
