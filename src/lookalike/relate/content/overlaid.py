"""Was something laid over one of two pictures (words, a logo, a sticker), or do they show different things?

What is laid on is drawn: it goes one way (white words are lighter than whatever they cover), it has few colours, its
edges are hard, and the other picture has none of that in the same place. Above all the outline of what differs is seen
in the one picture and not in the other. Where two pictures show different things, or each carries words of its own, it
is as often lighter as darker, neither has more edges, and outlines belong to both. The numbers are weighed by a
logistic that scripts/fit_overlaid.py fits to edits and to made variants.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

WEIGHTS: NDArray[np.float64] = np.array([1.52, -4.18, 3.79, -1.4, 0.56, 0.12, 4.03, 1.54, -1.13, 6.84])
BIAS = -4.29
_APART, _LEVELS = 24.0, 16.0  # levels of any channel, and of grey, by which a pixel differs
_MIN_PIXELS, _MAX_PIXELS = 12, 4000
_MOST = 0.5  # share of a picture: what changed as a whole was filtered, and nothing was laid on it
_ACROSS = 2.0  # pixels to either side of an outline
_MIN_ELSEWHERE = 400  # pixels, to know by how the pictures differ as wholes
_EDGES, _COLOURED, _OUTLINED = 1, [4, 5], 9  # columns of the evidence
_FEW_COLOURS, _OWN_OUTLINES, _UNLIKELY = 0.3, 0.3, 0.3
_FLAT, _VARIED, _PATCH = 0.85, 0.6, 0.95  # shares of one colour; what is said where one is flat and the other is not
_COLOURS = 3
_NEAR, _CELL = 22.0, 20.0  # levels: colours of one kind; the cells in which they are counted
_MIN_SHARE = 0.08  # of the pixels, that a colour has
_ON_THE_WAY = 16.0  # levels from the straight line between what is beneath and what is laid over it
_STEEPEST, _FLATTEST = 2.0, 0.5  # contrast of one picture against the other


@dataclass(frozen=True, slots=True)
class Differing:
    """Two pictures of one frame, (H, W, 3), and the windows (H, W) in which they differ."""

    first: RGB
    second: RGB
    bad: Mask


def overlaid(pair: Differing) -> tuple[float, float]:
    """P(all that differs was laid over the first), and the same of the second; both 0 where hardly anything differs."""
    evidence = overlaid_evidence(pair)
    if evidence is None:
        return 0.0, 0.0
    chances = 1 / (1 + np.exp(-(evidence @ WEIGHTS + BIAS)))
    # Whatever was laid on has edges or outlines of its own, unless it is large and of few colours.
    edged, coloured = evidence[:, _EDGES] > 0, evidence[:, _COLOURED].min(axis=1) > _FEW_COLOURS
    drawn = edged | coloured | (evidence[:, _OUTLINED] > _OWN_OUTLINES)
    first, second = np.where(drawn, chances, np.minimum(chances, _UNLIKELY))
    one, other = _of_one_colour(pair)
    if max(one, other) > _FLAT and min(one, other) < _VARIED:  # a patch, which has fewer edges than what it covers
        return (_PATCH, 0.0) if one > other else (0.0, _PATCH)
    return float(first), float(second)


def overlaid_evidence(pair: Differing) -> NDArray[np.float64] | None:
    """(2, 10): what speaks for something laid over the first, and over the second; None where hardly anything differs.

    How far the change goes one way; edges, and the hardest of them, of the one that carries it against the other's;
    how fine the pattern of the change is; how much of it lies between what is beneath and a few colours, and how much
    has these colours, both against the other way round; edges that go one way; whose the outlines are, three ways.
    """
    import cv2

    near = _near(pair.bad)
    first, second = _toned(pair.first, pair.second, ~near), pair.second.astype(np.float32)
    grey_a, grey_b = (
        cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for image in (first, second)
    )
    lighter = cv2.GaussianBlur(grey_b.astype(np.float32) - grey_a, (0, 0), 0.7)
    changed = near & (np.abs(lighter) > _LEVELS)
    if int(changed.sum()) < _MIN_PIXELS:
        return None
    weight = np.abs(lighter[changed])
    light = float((weight * (lighter[changed] > 0)).sum() / weight.sum())
    one_way = max(2 * abs(light - 0.5) - 0.7, 0.0) / 0.3
    fine = float(_gradient(lighter)[changed].mean()) / max(float(weight.mean()), 1.0)
    edges = [_gradient(grey.astype(np.float32)) for grey in (grey_a, grey_b)]
    # Less what a blur, noise or compression of the whole does to the edges everywhere.
    elsewhere = ~near if int((~near).sum()) >= _MIN_ELSEWHERE else near & ~near
    more = _ratio(edges, near, np.mean, 1.0) - _ratio(edges, elsewhere, np.mean, 1.0)
    harder = _ratio(edges, near, _hardest, 2.0) - _ratio(edges, elsewhere, _hardest, 2.0)
    explained, pure = _by_few_colours(first, second, near)
    outlines = _whose_outlines(first, second, near)
    rows = []
    for sign in (-1.0, 1.0):
        edge = float(np.clip(sign * more, -1, 1.2))
        rows.append(
            [
                one_way,
                edge,
                float(np.clip(sign * harder, -1, 1.5)),
                fine,
                sign * explained,
                float(np.clip(sign * pure, -0.5, 0.5)),
                one_way * max(min(edge, 1.0), 0.0),
                *(sign * share for share in outlines),
            ]
        )
    return np.array(rows)


def changed_wholly(pair: Differing) -> Mask:
    """(H, W) all that changed in one piece with what differs: the plain middle of a logo is no window that disagrees.

    Only what differs where that would be most of the picture.
    """
    near = _near(pair.bad)
    return _changed_wholly(_toned(pair.first, pair.second, ~near), pair.second.astype(np.float32), near)


def _near(bad: Mask) -> Mask:
    import cv2

    return np.asarray(cv2.dilate(bad.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _changed_wholly(first: Grey, second: Grey, near: Mask) -> Mask:
    import cv2

    a, b = (cv2.GaussianBlur(image, (0, 0), 0.7) for image in (first, second))
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    changed = (cv2.max(cv2.max(red, green), blue) > _APART).astype(np.uint8)
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, pieces = cv2.connectedComponents(changed)
    touched = np.zeros(count, np.bool_)
    touched[np.unique(pieces[near])] = True
    touched[0] = False
    whole = touched[pieces]
    return np.asarray(whole if float(whole.mean()) <= _MOST else (changed > 0) & near)


def _whose_outlines(first: Grey, second: Grey, near: Mask) -> tuple[float, float, float]:
    """Whether the outline of what changed is seen in the first (-1), in both (0) or in the second (1).

    By the squared steps of colour across the outline, by the middle of the steps, and by the share of places where the
    one steps more than the other. What was laid on ends there; what lies beneath goes on.
    """
    import cv2

    changed = _changed_wholly(first, second, near).astype(np.uint8)
    contours, _ = cv2.findContours(changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contours = [contour for contour in contours if cv2.contourArea(contour) >= _MIN_PIXELS]
    filled = np.zeros(changed.shape, np.float32)
    cv2.drawContours(filled, contours, -1, 1, -1)
    inside, outside = _across(filled, contours)
    if len(inside) < _MIN_PIXELS:
        return 0.0, 0.0, 0.0
    steps = []
    for image in (first, second):
        soft = cv2.GaussianBlur(image, (0, 0), 0.7)
        step = soft[inside[:, 1], inside[:, 0]] - soft[outside[:, 1], outside[:, 0]]
        steps.append(np.sqrt((step * step).sum(axis=1)))
    a, b = (step[np.maximum(*steps) > _LEVELS] for step in steps)
    if len(a) < _MIN_PIXELS:
        return 0.0, 0.0, 0.0
    energy_a, energy_b = float(a @ a), float(b @ b)
    middle = float(np.median((b - a) / (a + b)))
    return (energy_b - energy_a) / (energy_b + energy_a), middle, 2 * float((b > a).mean()) - 1


def _across(filled: Grey, contours: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For places of the outlines, (n, 2) x and y a little inside and a little outside."""
    import cv2

    if not contours:
        nothing = np.empty((0, 2), np.int64)
        return nothing, nothing
    soft = cv2.GaussianBlur(filled, (0, 0), 1.5)
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    places = np.concatenate(contours)[:, 0]
    inwards = np.stack([slope[places[:, 1], places[:, 0]] for slope in (across, down)], axis=1)
    inwards /= np.maximum(np.linalg.norm(inwards, axis=1, keepdims=True), 1e-6)
    inside, outside = (np.rint(places + way * inwards).astype(np.int64) for way in (_ACROSS, -_ACROSS))
    size = (filled.shape[1], filled.shape[0])
    there = np.all([(ends >= 0) & (ends < size) for ends in (inside, outside)], axis=(0, 2))
    return inside[there], outside[there]


def _of_one_colour(pair: Differing) -> tuple[float, float]:
    """The share of the commonest colour of either picture where they differ."""
    import cv2

    red, green, blue = cv2.split(cv2.absdiff(pair.first, pair.second))
    changed = pair.bad & (cv2.max(cv2.max(red, green), blue) > _APART)
    if int(changed.sum()) < _MIN_PIXELS:
        return 0.0, 0.0
    shares = [_commonest(image[changed].astype(np.float32))[1] for image in (pair.first, pair.second)]
    return (max(shares[0], default=0.0), max(shares[1], default=0.0))


def _hardest(values: Grey) -> float:
    return float(np.quantile(values, 0.9))


def _ratio(edges: list[Grey], where: Mask, of: Callable[[Grey], Any], floor: float) -> float:
    """How much stronger the edges of the second are than those of the first, as a logarithm."""
    if not where.any():
        return 0.0
    first, second = (float(of(each[where])) for each in edges)
    return float(np.log((second + floor) / (first + floor)))


def _toned(first: RGB, second: RGB, same: Mask) -> Grey:
    """The first with the brightness and contrast of the second in each channel, by where the two agree."""
    moved = first.astype(np.float32)
    same = same & (np.abs(first.astype(np.int16) - second).max(axis=2) < 90)
    if int(same.sum()) < 50:
        return moved
    for n in range(3):
        x, y = (image[..., n][same].astype(np.float32) for image in (first, second))
        spread = float(x.var())
        slope = float(((x - x.mean()) * (y - y.mean())).mean()) / max(spread, 1e-6)
        slope = float(np.clip(slope, _FLATTEST, _STEEPEST))
        moved[..., n] = np.clip((moved[..., n] - x.mean()) * slope + y.mean(), 0, 255)
    return moved


def _gradient(grey: Grey) -> Grey:
    import cv2

    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down) / 8, np.float32)


def _by_few_colours(first: Grey, second: Grey, near: Mask) -> tuple[float, float]:
    """How much better a few colours laid over the first explain the second than the reverse; and how much purer."""
    import cv2

    a, b = (cv2.GaussianBlur(image, (0, 0), 0.7) for image in (first, second))
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    changed = near & (cv2.max(cv2.max(red, green), blue) > _APART)
    pixels_a, pixels_b = a[changed], b[changed]
    step = max(1, len(pixels_a) // _MAX_PIXELS)
    pixels_a, pixels_b = pixels_a[::step], pixels_b[::step]
    if len(pixels_a) < _MIN_PIXELS:
        return 0.0, 0.0
    over_a, over_b = _explained(pixels_a, pixels_b), _explained(pixels_b, pixels_a)
    return over_a[0] - over_b[0], over_a[1] - over_b[1]


def _explained(beneath: Grey, above: Grey) -> tuple[float, float]:
    """The share of pixels (n, 3) that lie between what is beneath and one of the commonest colours; that have these."""
    colours, shares = _commonest(above)
    if not len(colours):
        return 0.0, 0.0
    off = np.min([_off_the_line(beneath, above, colour) for colour in colours], axis=0)
    return float((off < _ON_THE_WAY).mean()), min(float(sum(shares)), 1.0)


def _commonest(pixels: Grey) -> tuple[list[Grey], list[float]]:
    colours: list[Grey] = []
    shares: list[float] = []
    free = np.ones(len(pixels), np.bool_)
    for _ in range(_COLOURS):
        if int(free.sum()) < max(6, 0.06 * len(pixels)):
            break
        cells = (pixels[free] / _CELL).astype(np.int64) @ (400, 20, 1)
        found, counts = np.unique(cells, return_counts=True)
        colour = pixels[free][cells == found[counts.argmax()]].mean(axis=0)
        for _ in range(2):
            close = _largest(pixels - colour) < _NEAR
            colour = pixels[close].mean(axis=0)
        close = _largest(pixels - colour) < _NEAR
        if float(close.mean()) < _MIN_SHARE:
            break
        colours.append(colour)
        shares.append(float(close.mean()))
        free &= ~close
    return colours, shares


def _off_the_line(beneath: Grey, above: Grey, colour: NDArray[Any]) -> Grey:
    way = colour - beneath
    length = (way * way).sum(axis=1)
    share = np.clip(((above - beneath) * way).sum(axis=1) / np.maximum(length, 1), 0, 1)
    return _largest(beneath + share[:, None] * way - above)


def _largest(rows: NDArray[Any]) -> Grey:
    """The largest magnitude of three columns; numpy's own takes ten times as long for so few."""
    red, green, blue = np.abs(rows).T
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)
