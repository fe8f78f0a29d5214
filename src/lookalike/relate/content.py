"""Do two aligned pictures show the same content, or the same template with something else filled in?

Points and frames prove that two pictures are laid out alike. Receipts of one shop, screens of one app and memes of one
photo are laid out alike too. Here one picture is laid over the other at a size at which details are legible, and each
small window of it is compared: a copy loses detail everywhere in the same way, other content differs in some places and
agrees perfectly in the rest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.relate.drawn import drawn_share
from lookalike.relate.geometry import to_shares
from lookalike.relate.overlaid import Differing, changed_wholly, overlaid
from lookalike.relate.regions import Region, is_laid_on, places, region_of, uncovered
from lookalike.relate.transform import UNIT, project
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
_OVEREXPOSED = 0.12  # of a picture: letters laid on it cover less
_COLOURFUL = 8.0  # levels between the channels, from which it matters how a picture is made grey
_BETTER = 0.02  # of correlation: less is no reason for another mixture
_LUMA = np.array((0.299, 0.587, 0.114))
_FLATTEST, _STEEPEST = 0.0, 3.0  # slope of a tone curve
_PHOTOGRAPHED = 0.2  # `drawn_share` of the wholes below which no part is a page
_FEW_COLOURS = 8.0  # levels of chroma: a picture that varies by less shows one object in one colour
_RIDGE = 1e-3
_FEWEST = 100  # of 2,304 places, whose tones were kept
_NO_COLOUR = 0.02  # between the channels, of 1
_MAX_GAIN = 2.2  # of contrast
_AS_ONE = 5.0  # levels: all follow one fit, and to weigh them changes nothing
_SETTLED = 1.0  # levels by which another round moves the fit
_ECC_STEPS = 30
_ECC_REACH = 0.08  # of the side, that a corner may move by
_RELATED = 0.3  # median correlation below which two pictures are strangers, whatever a shift would say
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
    """Compare two pictures of any size under a 3 x 3 transform of shares (first to second), at most at `side` pixels.

    `drawn`: the larger `drawn_share` of the two as wholes where it is known; if that is low nobody looks again.

    None where they hardly overlap or there is too little to compare.
    """
    seen = _compared(first, second, transform, negative=negative, side=side, drawn=drawn)
    if seen is None:
        return None
    busy, bad, agreement = seen.busy, seen.bad, seen.agreement
    different = float(bad.sum()) / float(busy.sum())
    strangers = different > _STRANGERS  # they differ everywhere: to say where would cost more than all the rest
    pair = Differing(seen.a, seen.b, bad)
    laid_on = overlaid(pair) if different > 0 and not strangers else (0.0, 0.0)
    found = [] if strangers else places(bad, seen.deviations, laid_on)
    beside = uncovered(seen.core & ~bad, found)
    if is_laid_on(laid_on):
        beside &= ~changed_wholly(pair)
    recoloured, colours = _recoloured(seen.a, seen.b, beside, seen.drawn)
    values = agreement[busy]
    return Content(
        typical=float(np.median(values)),
        low=float(np.quantile(values, 0.1)),
        different=different,
        strongest=_strongest(agreement, busy, seen.window),
        busy=float(busy.sum()) / float(seen.core.sum()),
        windows=float(busy.sum()) / seen.window**2,
        drawn=seen.drawn,
        recoloured=recoloured,
        colours=colours,
        side=max(seen.core.shape),
        blur=seen.blur,
        laid_on=max(laid_on),
        regions=tuple(region_of(place, busy.shape, transform if seen.swapped else None) for place in found),
    )


def differing(first: RGB, second: RGB, transform: Matrix, *, side: int) -> Differing | None:
    """The two pictures laid over each other, and where they differ; None where `compare_content` gives None."""
    seen = _compared(first, second, transform, negative=False, side=side, drawn=None)
    return None if seen is None else Differing(seen.a, seen.b, seen.bad)


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two pictures laid over each other, and how their windows agree. `swapped`: in the frame of the first."""

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


def _compared(
    first: RGB, second: RGB, transform: Matrix, *, negative: bool, side: int, drawn: float | None
) -> _Compared | None:
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
    if drawn < _PHOTOGRAPHED:  # the white of a page is no overexposure
        busy &= ~_cut_off(a, b, core, window)
    if int(busy.sum()) < _MIN_BUSY:
        return None
    bad = (agreement < _DIFFERENT) & busy
    return _Compared(a, b, core, swapped, agreement, (deviations[0], deviations[1]), busy, bad, window, drawn, blur)


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
    if whole is not None and whole < _PHOTOGRAPHED:
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
    if float(one_only.sum()) < _OVEREXPOSED * float(core.sum()):
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
        mixture = _weighted_fit(rows, y[:, None] / 255, weight)[:, 0]
        weight = 1 / (1 + ((y / 255 - rows @ mixture) / 0.05) ** 2)
    before = _correlated(x @ _LUMA, y)
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


def _recoloured(a: RGB, b: RGB, core: Mask, drawn: float) -> tuple[float, float]:
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
    if drawn < _PHOTOGRAPHED and not _tones_kept(small, seen):
        return 0.0, 0.0
    x, y = (image[seen] / 255 for image in small)
    chroma = [float((rows.max(axis=1) - rows.min(axis=1)).mean()) for rows in (x, y)]
    if drawn < _PHOTOGRAPHED and min(chroma) < _NO_COLOUR:
        x, y = (np.repeat(rows @ _LUMA[:, None], 3, axis=1) for rows in (x, y))  # one was made grey
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
    if float((kept[0] != kept[1])[seen].mean()) > 2 * _OVEREXPOSED:
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
        fit = _weighted_fit(rows, y, weight)
        if not 1 / max_gain <= fit[0, 0] <= max_gain:
            gain = float(np.clip(fit[0, 0], 1 / max_gain, max_gain))
            fit[1:] = _weighted_fit(rows[:, 1:], y - gain * rows[:, :1], weight)
            fit[0] = gain
        before, off = off, 255 * np.abs(y - rows @ fit).max(axis=1)
        if float(off.max()) < _AS_ONE or float(np.abs(off - before).max()) < _SETTLED:
            break
        weight = 1 / (1 + (off / 8) ** 2)
    return off


def _weighted_fit(rows: Matrix, y: Matrix, weight: Matrix) -> Matrix:
    weighted = rows * weight[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ rows + _RIDGE * np.eye(rows.shape[1]), weighted.T @ y), np.float64)


def _chroma_spread(pixels: NDArray[Any]) -> float:
    """Levels by which the chroma deviates across its main direction through grey."""
    red, green, blue = pixels.T
    chroma = np.stack((red - green, blue - green), axis=1)
    _, deviations, _ = np.linalg.svd(chroma, full_matrices=False)
    return float(deviations[1] / len(pixels) ** 0.5)
