"""Do two aligned pictures show the same content, or the same template with something else filled in?

Points and frames prove that two pictures are laid out alike. Receipts of one shop, screens of one app and memes of one
photo are laid out alike too. Here one picture is laid over the other at a size at which details are legible, and each
small window of it is compared: a copy loses detail everywhere in the same way, other content differs in some places and
agrees perfectly in the rest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.relate.content.drawn import drawn_share
from lookalike.relate.content.overlaid import Differing, changed_wholly, overlaid
from lookalike.relate.content.recolored import LUMA, OVEREXPOSED, PHOTOGRAPHED, recoloured, weighted_fit
from lookalike.relate.content.regions import Region, is_laid_on, places, region_of, uncovered
from lookalike.relate.geometry.transform import UNIT, project
from lookalike.relate.geometry.verify import to_shares
from lookalike.types import RGB

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

_AREA = 0.87  # of a square: a picture of 4 : 3 then has the long side it was asked for
COARSE = 256  # pixels of the long side of 4 : 3: thumbnails have it, and photographs are judged at it
FINE = 1024  # text of a page is legible
_WINDOWS = 60  # windows along the long side
_MIN_WINDOW = 9
_NOISE = 4.0  # grey levels: a deviation that agrees with any other
_BUSY = 12.0  # grey levels of deviation from which a window has something to compare
_DIFFERENT = 0.55  # correlation below which a window shows something else
_AGREEING = 0.8  # correlation from which a window counts as agreeing
_RIM = 0.012  # of the side: borders, shadows of pages and rounded corners end within it
_MIN_BUSY = 60  # pixels that must have something to compare
_BLURS = (0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0, 4.0, 5.5)
_COLOURFUL = 8.0  # levels between the channels, from which it matters how a picture is made grey
_BETTER = 0.02  # of correlation: less is no reason for another mixture
_FLATTEST, _STEEPEST = 0.0, 3.0  # slope of a tone curve
_ECC_STEPS = 30
_ECC_REACH = 0.08  # of the side, that a corner may move by
_RELATED = 0.3  # median correlation below which two pictures are strangers, whatever a shift would say
_PAGE = 0.6  # `drawn` from which it is a page, a screen or a drawing beyond doubt
_STRANGERS = 0.6  # of windows differ: there is nothing left that is the same


@dataclass(frozen=True, slots=True)
class Content:
    """How the contents of two aligned pictures compare.

    `typical`, `low`: median and tenth percentile of the windows' correlation. `different`: share of windows with
    something to see that show something else. `strongest`: the deepest disagreement of any place about two windows
    wide, 0 to .8. `busy`: share of the overlap with something to compare; `windows`: how many windows beside each
    other that is. `drawn`: 0 to 1, how far the pictures consist of flat colours and strokes (text, charts, screens)
    rather than of photographed textures.
    `recoloured`: grey levels by which colours differ after exposure, contrast and tint are fitted, in the place where
    they differ most, less what is off everywhere; `colours`: levels by which the chroma varies across its main
    direction: with few colours a recoloured object is another object. `side`: pixels of the long side at which it was
    compared. `blur`: Gaussian sigma by which one had to be blurred to match the other. `laid_on`: probability that all
    that differs was laid over one of them.
    """

    typical: float
    low: float
    different: float
    strongest: float
    busy: float
    windows: float
    drawn: float
    recoloured: float
    colours: float
    side: int
    blur: float
    laid_on: float = 0.0
    regions: tuple[Region, ...] = ()

    @property
    def strange(self) -> bool:
        """Whether next to nothing agrees: these are not laid out alike after all."""
        return self.different > _STRANGERS

    @property
    def areas(self) -> tuple[float, float, float]:
        """Share of the overlap in which both show something else, only the second, only the first shows something."""
        kinds = ({"differs"}, {"added", "overlay"}, {"removed", "uncovered"})
        differs, added, removed = (sum(r.area for r in self.regions if r.kind in names) for names in kinds)
        return differs, added, removed


def compare_content(
    first: RGB, second: RGB, transform: Matrix, *, negative: bool = False, side: int, drawn: float | None = None
) -> Content | None:
    """`overlap_of` and its `content` in one."""
    overlap = overlap_of(first, second, transform, negative=negative, side=side, drawn=drawn)
    return None if overlap is None else overlap.content()


def differing(first: RGB, second: RGB, transform: Matrix, *, side: int) -> Differing | None:
    """The two pictures laid over each other, and where they differ; None where `overlap_of` gives None."""
    overlap = overlap_of(first, second, transform, side=side)
    return None if overlap is None else Differing(overlap.a, overlap.b, overlap.bad)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two pictures laid over each other, and how their windows agree; what differs is looked into by `content`.

    `swapped`: in the frame of the first. `typical`, `low`, `different`, `strongest`: see `Content`.
    """

    a: RGB
    b: RGB
    core: Mask
    swapped: bool
    agreement: Grey
    deviations: tuple[Grey, Grey]
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
    def strange(self) -> bool:
        """Whether next to nothing agrees: these are not laid out alike after all."""
        return self.different > _STRANGERS

    @property
    def windows(self) -> float:
        """How many windows beside each other have something to compare."""
        return float(self.busy.sum()) / self.window**2

    def content(self) -> Content:
        """What differs, where, and whether it was laid on. It costs as much as all before."""
        pair = Differing(self.a, self.b, self.bad)
        # Strangers differ everywhere, and on a page whatever was laid on is another page.
        looked = self.different > 0 and not self.strange and self.drawn < _PAGE
        laid_on = overlaid(pair) if looked else (0.0, 0.0)
        found = [] if self.strange else places(self.bad, self.deviations, laid_on)
        beside = uncovered(self.core & ~self.bad, found)
        if is_laid_on(laid_on):
            beside &= ~changed_wholly(pair)
        colours = recoloured(self.a, self.b, beside, self.drawn)
        back = self.transform if self.swapped else None
        return Content(
            typical=self.typical,
            low=self.low,
            different=self.different,
            strongest=self.strongest,
            busy=float(self.busy.sum()) / float(self.core.sum()),
            windows=self.windows,
            drawn=self.drawn,
            recoloured=colours[0],
            colours=colours[1],
            side=max(self.core.shape),
            blur=self.blur,
            laid_on=max(laid_on),
            regions=tuple(region_of(place, self.busy.shape, back) for place in found),
        )


def overlap_of(
    first: RGB, second: RGB, transform: Matrix, *, negative: bool = False, side: int, drawn: float | None = None
) -> Overlap | None:
    """Lay two pictures of any size over each other by a 3 x 3 transform of shares (first to second), at `side` pixels.

    `drawn`: the larger `drawn_share` of the two as wholes where it is known; if that is low nobody looks again.
    None where they hardly overlap or there is too little to compare.
    """
    laid = _laid_over(_reduced(first, side), _reduced(second, side), transform)
    if laid is None:
        return None
    a, b, inside, swapped = laid
    if negative:
        a = np.asarray(255 - a, np.uint8)
    core = _core(inside)
    if int(core.sum()) < _MIN_BUSY:
        return None
    grey_a, grey_b = _greys(a, b, core)
    grey_a, grey_b, blur = _equally_sharp(_exposed(grey_a, grey_b, core), grey_b, core)
    window = max(_MIN_WINDOW, round(max(core.shape) / _WINDOWS)) | 1
    agreement, *deviations = _windows(grey_a, grey_b, core, window)
    drawn = _drawn(a, b, core, drawn)
    busy = (np.maximum(*deviations) > _BUSY) & core
    if drawn < PHOTOGRAPHED:  # the white of a page is no overexposure
        busy &= ~_cut_off(a, b, core, window)
    if int(busy.sum()) < _MIN_BUSY:
        return None
    bad = (agreement < _DIFFERENT) & busy
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


def refined(first: RGB, second: RGB, transform: Matrix, *, side: int) -> Matrix:
    """The transform brought nearer by the pictures themselves at `side` pixels, or as it was if that does not converge.

    Points of a thumbnail fix it to a pixel or two of a page. Evangelidis, Psarakis: Parametric image alignment using
    enhanced correlation coefficient maximization, PAMI 2008.
    """
    import cv2

    a, b = _reduced(first, side), _reduced(second, side)
    onto = np.linalg.inv(to_shares(_size(b))) @ transform @ to_shares(_size(a))
    start = np.linalg.inv(onto)
    start = np.asarray(start / start[2, 2], np.float32)
    inside = cv2.warpPerspective(np.full(a.shape[:2], 255, np.uint8), onto, (b.shape[1], b.shape[0]))
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ECC_STEPS, 1e-4)
    grey_a, grey_b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (a, b))
    try:
        _, found = cv2.findTransformECC(grey_b, grey_a, start, cv2.MOTION_HOMOGRAPHY, stop, inside, 5)
    except cv2.error:  # "the algorithm stopped before its convergence": little to see, or no overlap
        return transform
    matrix = to_shares(_size(b)) @ np.linalg.inv(np.asarray(found, np.float64)) @ np.linalg.inv(to_shares(_size(a)))
    if not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-9:
        return transform
    matrix = matrix / matrix[2, 2]
    moved = np.abs(project(matrix, UNIT) - project(transform, UNIT)).max()
    return matrix if moved < _ECC_REACH else transform


def _reduced(image: RGB, side: int) -> RGB:
    """By area rather than by the long side: a long receipt stays legible."""
    share = _AREA * side / float(image.shape[0] * image.shape[1]) ** 0.5
    if share >= 1:
        return image
    return scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))


def _size(image: RGB) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _laid_over(first: RGB, second: RGB, transform: Matrix) -> tuple[RGB, RGB, Mask, bool] | None:
    """Both in the frame of the coarser one, where they overlap, and whether that frame is the first's."""
    import cv2

    onto = np.linalg.inv(to_shares(_size(second))) @ transform @ to_shares(_size(first))
    height, width = first.shape[:2]
    corners = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float32)
    area = float(cv2.contourArea(cv2.perspectiveTransform(corners, onto)[0]))
    scale = float(np.sqrt(max(area, 1e-6) / (width * height)))
    swapped = scale > 1
    finer, coarser, matrix = (second, first, np.linalg.inv(onto)) if swapped else (first, second, onto)
    shrink = 1 / scale if swapped else scale
    if shrink < 0.8:  # warping picks single pixels: what shrinks is blurred first
        finer = cv2.GaussianBlur(finer, (0, 0), min(0.45 / shrink, 8.0))
    size = coarser.shape[1], coarser.shape[0]
    moved = cv2.warpPerspective(finer, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(np.full(finer.shape[:2], 255, np.uint8), matrix, size) > 250
    return (coarser, moved, inside, True) if swapped else (moved, coarser, inside, False)


def _drawn(a: RGB, b: RGB, core: Mask, whole: float | None) -> float:
    """How far the pictures are drawn where they overlap."""
    if whole is not None and whole < PHOTOGRAPHED:
        return whole
    return max(drawn_share(a, core), drawn_share(b, core))


def _core(inside: Mask) -> Mask:
    """Without the rim, which is mixed with what lies beside it."""
    import cv2

    reach = 2 * max(3, round(_RIM * max(inside.shape))) + 1
    whole = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.erode(whole, np.ones((reach, reach), np.uint8), borderValue=1)[1:-1, 1:-1] > 0)


def _grey(image: RGB) -> Grey:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)


def _extremes(image: RGB) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The highest and the lowest of each pixel's channels; NumPy takes twenty times as long over an axis of three."""
    import cv2

    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)


def _cut_off(a: RGB, b: RGB, core: Mask, window: int) -> Mask:
    """Windows of which only one picture has kept the tones, where that befell much of it: it was overexposed."""
    at_end = [(high >= 253) | (low <= 2) for high, low in map(_extremes, (a, b))]
    one_only = (at_end[0] != at_end[1]) & core
    if float(one_only.sum()) < OVEREXPOSED * float(core.sum()):
        return np.zeros_like(core)
    return np.asarray(_mean(one_only.astype(np.float32), window) > 0.25)


def _greys(a: RGB, b: RGB, core: Mask) -> tuple[Grey, Grey]:
    """Both in grey, the more colourful one in the mixture of its channels that is most like the other.

    Made grey by another rule, toned or with other hues, a picture keeps its shapes and not its contrasts.
    """
    import cv2

    greys = [_grey(a), _grey(b)]
    chroma = [cv2.mean(cv2.subtract(*_extremes(image)), core.astype(np.uint8))[0] for image in (a, b)]
    coloured = int(chroma[1] > chroma[0])
    if chroma[coloured] < _COLOURFUL:
        return greys[0], greys[1]
    seen = cv2.resize(core.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA) > 0.9
    if int(seen.sum()) < 16:
        return greys[0], greys[1]
    image = (a, b)[coloured]
    x = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)[seen].astype(np.float64)
    y = cv2.resize(greys[1 - coloured], (48, 48), interpolation=cv2.INTER_AREA)[seen].astype(np.float64)
    rows = np.column_stack((x / 255, np.ones(len(x))))
    weight = np.ones(len(x))
    for _ in range(3):
        mixture = weighted_fit(rows, y[:, None] / 255, weight)[:, 0]
        weight = 1 / (1 + ((y / 255 - rows @ mixture) / 0.05) ** 2)
    before = _correlated(x @ LUMA, y)
    if _correlated(rows @ mixture, y) < before + _BETTER:
        return greys[0], greys[1]
    mixed = image.astype(np.float32) @ mixture[:3].astype(np.float32) + np.float32(255 * mixture[3])
    greys[coloured] = np.asarray(np.clip(mixed, 0, 255), np.float32)
    return greys[0], greys[1]


def _correlated(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if min(x.std(), y.std()) > 1e-6 else 1.0


def _exposed(a: Grey, b: Grey, core: Mask) -> Grey:
    """`a` with the tone curve that gives it the levels of `b`, no steeper than an editor would make it.

    What was cut off at white or black in one is then cut off in both.
    """
    levels = np.arange(256, dtype=np.float64)
    shares = [np.bincount(np.clip(image[core], 0, 255).astype(np.uint8), minlength=256) for image in (a, b)]
    first, second = (np.cumsum(share) / max(int(share.sum()), 1) for share in shares)
    curve = np.interp(first, second + 1e-9 * levels, levels)
    middle = int(np.searchsorted(first, 0.5))
    steps = np.clip(np.diff(curve), _FLATTEST, _STEEPEST)
    curve = np.concatenate(([0.0], np.cumsum(steps)))
    curve += float(np.interp(0.5, second + 1e-9 * levels, levels)) - curve[middle]
    table = np.clip(curve, 0, 255).astype(np.float32)
    return np.asarray(table[np.clip(a, 0, 255).astype(np.uint8)], np.float32)


def _equally_sharp(a: Grey, b: Grey, core: Mask) -> tuple[Grey, Grey, float]:
    """Blur the sharper of the two until both hold as much fine detail."""
    import cv2

    fine = [_fineness(image, core) for image in (a, b)]
    sharper = int(fine[1] > fine[0])
    wanted = min(fine)
    pair, used = [a, b], 0.0
    if fine[sharper] <= 1.15 * wanted:
        return a, b, 0.0
    for sigma in _BLURS:
        pair[sharper], used = cv2.GaussianBlur((a, b)[sharper], (0, 0), sigma), sigma
        if _fineness(pair[sharper], core) <= wanted:
            break
    return pair[0], pair[1], used


def _fineness(image: Grey, core: Mask) -> float:
    import cv2

    smooth = cv2.GaussianBlur(image, (3, 3), 0.7)
    fine = np.abs(cv2.Laplacian(smooth, cv2.CV_32F))
    return float(fine[core].mean()) / max(float(image[core].std()), 1e-3)


@dataclass(frozen=True, slots=True)
class _Local:
    """A grey picture with its local mean and variance."""

    values: Grey
    mean: Grey
    variance: Grey


def _windows(a: Grey, b: Grey, core: Mask, window: int) -> tuple[Grey, Grey, Grey]:
    """The best local correlation over shifts of a pixel, and the local deviation of either picture."""
    mask = core.astype(np.float32)
    share = np.maximum(_mean(mask, window), 1e-3)
    first, second = (_local(image, mask, share, window) for image in (a, b))
    deviations = [np.asarray(np.sqrt(side.variance), np.float32) for side in (first, second)]
    busy = (np.maximum(*deviations) > _BUSY) & core
    both = np.asarray(_mean(first.values * second.values * mask, window) / share, np.float32)
    best = _correlation(both, first.mean, first.variance, second.mean, second.variance)
    doubtful = busy & (best < _AGREEING)
    if doubtful.any() and float(np.median(best[busy])) > _RELATED:
        part = _around(doubtful, window)
        best[part] = _best_of_shifts(first, second, mask, share, best[part], part, window)
    return best, deviations[0], deviations[1]


def _mean(values: Grey, window: int) -> Grey:
    import cv2

    return np.asarray(cv2.boxFilter(values, -1, (window, window), borderType=cv2.BORDER_REFLECT), np.float32)


def _local(image: Grey, mask: Grey, share: Grey, window: int) -> _Local:
    mean = np.asarray(_mean(image * mask, window) / share, np.float32)
    variance = np.maximum(_mean(image * image * mask, window) / share - mean**2, 0)
    return _Local(image, mean, np.asarray(variance, np.float32))


def _correlation(both: Grey, mean_a: Grey, var_a: Grey, mean_b: Grey, var_b: Grey) -> Grey:
    floor = np.float32(_NOISE**2)
    correlation = (both - mean_a * mean_b + floor) / np.sqrt((var_a + floor) * (var_b + floor))
    return np.asarray(np.clip(correlation, -1, 1), np.float32)


def _around(places: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of all places, with a margin."""
    rows, columns = (np.flatnonzero(places.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _best_of_shifts(
    a: _Local, b: _Local, mask: Grey, share: Grey, found: Grey, part: tuple[slice, slice], window: int
) -> Grey:
    """The best correlation in a part of the picture when `a` is shifted by a pixel in any direction."""
    seen, weight = (b.values * mask)[part], 1 / share[part]
    padded = [np.pad(values, 1, mode="edge") for values in (a.values, a.mean, a.variance)]
    rows, columns = part
    tall, wide = found.shape
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
        top, left = rows.start + 1 - dy, columns.start + 1 - dx
        values, mean, variance = (each[top : top + tall, left : left + wide] for each in padded)
        both = np.asarray(_mean(values * seen, window) * weight, np.float32)
        found = np.maximum(found, _correlation(both, mean, variance, b.mean[part], b.variance[part]))
    return found


def _strongest(agreement: Grey, busy: Mask, window: int) -> float:
    import cv2

    missing = np.where(busy, np.clip(_AGREEING - agreement, 0, 1), 0).astype(np.float32)
    return float(cv2.boxFilter(missing, -1, (2 * window, window)).max())
