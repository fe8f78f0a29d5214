"""Tell marks added to one of two images (words, a logo, a sticker) from images that show different things.

An added mark is drawn: it goes one way (white words are lighter than whatever they cover), has few colors and hard
edges, and the other image has none of that in the same place. Above all, the outline of the difference is visible in
one image only. If two images show different things, or each carries words of its own, the difference is as often
lighter as darker, neither image has more edges, and outlines belong to both. The evidence is weighed by a logistic
regression that scripts/fit_added_marks.py fits to edits and to synthetic variants.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

WEIGHTS: NDArray[np.float64] = np.array([1.52, -4.18, 3.79, -1.4, 0.56, 0.12, 4.03, 1.54, -1.13, 6.84])
BIAS = -4.29
_MIN_COLOR_STEP, _MIN_GRAY_STEP = 24.0, 16.0  # levels of any channel, and of gray, by which a pixel differs
_MIN_PIXELS, _MAX_PIXELS = 12, 4000
_MAX_CHANGED = 0.5  # share of an image; a larger change is a filter on the whole, not a mark
_OUTLINE_OFFSET = 2.0  # pixels to either side of an outline
_MIN_ELSEWHERE = 400  # pixels needed to measure how the whole images differ
_EDGE_COLUMN, _COLOR_COLUMNS, _OUTLINE_COLUMN = 1, [4, 5], 9  # columns of the evidence
_MIN_COLOR_EVIDENCE, _MIN_OUTLINE_EVIDENCE, _MAX_WITHOUT_EDGES = 0.3, 0.3, 0.3
# shares of one color; the probability if one image is flat there and the other is not
_MIN_FLAT, _MAX_VARIED, _PATCH_PROBABILITY = 0.85, 0.6, 0.95
_MAX_COLORS = 3
_COLOR_RADIUS, _COLOR_CELL = 22.0, 20.0  # levels: radius of one color; size of the cells in which colors are counted
_MIN_SHARE = 0.08  # of the pixels that have one color
_MAX_LINE_DISTANCE = 16.0  # levels from the straight line between the covered and the covering color
_MAX_CONTRAST_RATIO, _MIN_CONTRAST_RATIO = 2.0, 0.5  # contrast of one image relative to the other


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """Two images in one frame, (H, W, 3), and the windows (H, W) in which they differ."""

    first: RGB
    second: RGB
    bad: Mask


def added_mark_probabilities(pair: AlignedPair) -> tuple[float, float]:
    """Return P(all that differs was added to the first), and to the second; both 0 if hardly anything differs."""
    evidence = added_mark_evidence(pair)
    if evidence is None:
        return 0.0, 0.0
    probabilities = 1 / (1 + np.exp(-(evidence @ WEIGHTS + BIAS)))
    # A mark has edges or outlines of its own, unless it is large and has few colors.
    edged, few_colors = evidence[:, _EDGE_COLUMN] > 0, evidence[:, _COLOR_COLUMNS].min(axis=1) > _MIN_COLOR_EVIDENCE
    drawn = edged | few_colors | (evidence[:, _OUTLINE_COLUMN] > _MIN_OUTLINE_EVIDENCE)
    first, second = np.where(drawn, probabilities, np.minimum(probabilities, _MAX_WITHOUT_EDGES))
    patched = _patched_side(pair, evidence[:, _OUTLINE_COLUMN])
    if patched is not None:
        return (_PATCH_PROBABILITY, 0.0) if patched == 0 else (0.0, _PATCH_PROBABILITY)
    return float(first), float(second)


def _patched_side(pair: AlignedPair, outlines: NDArray[np.float64]) -> int | None:
    """Return which image (0 or 1) a flat patch was laid on, which has fewer edges than what it covers; None if neither.

    `outlines` (2,): how far the outlines belong to either image. A patch has them; where the other image has them, its
    mark lies on a flat ground.
    """
    shares = _dominant_color_shares(pair)
    flat = int(shares[1] > shares[0])
    if shares[flat] <= _MIN_FLAT or shares[1 - flat] >= _MAX_VARIED:
        return None
    return flat if outlines[flat] > -_MIN_OUTLINE_EVIDENCE else None


def added_mark_evidence(pair: AlignedPair) -> NDArray[np.float64] | None:
    """Return (2, 10), the evidence for a mark on the first and on the second image; None if hardly anything differs.

    How far the change goes one way; edges, and the hardest of them, of the marked image against the other's; how fine
    the pattern of the change is; how much of it lies between the covered colors and a few others, and how much has
    exactly these, both relative to the opposite direction; edges that go one way; and the owner of the outlines,
    measured in three ways.
    """
    import cv2

    near_changed = _dilated(pair.bad)
    first, second = _match_tones(pair.first, pair.second, ~near_changed), pair.second.astype(np.float32)
    gray_a, gray_b = (
        cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for image in (first, second)
    )
    lighter = cv2.GaussianBlur(gray_b.astype(np.float32) - gray_a, (0, 0), 0.7)
    changed = near_changed & (np.abs(lighter) > _MIN_GRAY_STEP)
    if int(changed.sum()) < _MIN_PIXELS:
        return None
    weight = np.abs(lighter[changed])
    light = float((weight * (lighter[changed] > 0)).sum() / weight.sum())
    one_way = max(2 * abs(light - 0.5) - 0.7, 0.0) / 0.3
    fine = float(_gradient(lighter)[changed].mean()) / max(float(weight.mean()), 1.0)
    edges = [_gradient(gray.astype(np.float32)) for gray in (gray_a, gray_b)]
    # Subtract what blur, noise or compression of the whole image does to edges everywhere.
    elsewhere = ~near_changed if int((~near_changed).sum()) >= _MIN_ELSEWHERE else near_changed & ~near_changed
    more = _log_edge_ratio(edges, near_changed, np.mean, 1.0) - _log_edge_ratio(edges, elsewhere, np.mean, 1.0)
    harder = _log_edge_ratio(edges, near_changed, _edge_peak, 2.0) - _log_edge_ratio(edges, elsewhere, _edge_peak, 2.0)
    explained, pure = _few_color_evidence(first, second, near_changed)
    outlines = _outline_owner(first, second, near_changed)
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


def changed_pieces(pair: AlignedPair) -> Mask:
    """Return a mask (H, W) of all that changed in one piece with what differs, such as the plain middle of a logo.

    Only what differs, if that would be most of the image.
    """
    near_changed = _dilated(pair.bad)
    return _connected_change(
        _match_tones(pair.first, pair.second, ~near_changed), pair.second.astype(np.float32), near_changed
    )


def _dilated(bad: Mask) -> Mask:
    import cv2

    return np.asarray(cv2.dilate(bad.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _connected_change(first: FloatImage, second: FloatImage, near_changed: Mask) -> Mask:
    import cv2

    a, b = (cv2.GaussianBlur(image, (0, 0), 0.7) for image in (first, second))
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    changed = (cv2.max(cv2.max(red, green), blue) > _MIN_COLOR_STEP).astype(np.uint8)
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, pieces = cv2.connectedComponents(changed)
    touched = np.zeros(count, np.bool_)
    touched[np.unique(pieces[near_changed])] = True
    touched[0] = False
    whole = touched[pieces]
    return np.asarray(whole if float(whole.mean()) <= _MAX_CHANGED else (changed > 0) & near_changed)


def _outline_owner(first: FloatImage, second: FloatImage, near_changed: Mask) -> tuple[float, float, float]:
    """Measure whether the outline of the change is visible in the first (-1), in both (0) or in the second image (1).

    Three measures: the squared color steps across the outline, the median of the steps, and the share of points where
    one image steps more than the other. A mark ends at its outline; what it covers continues.
    """
    import cv2

    changed = _connected_change(first, second, near_changed).astype(np.uint8)
    contours, _ = cv2.findContours(changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contours = [contour for contour in contours if cv2.contourArea(contour) >= _MIN_PIXELS]
    filled = np.zeros(changed.shape, np.float32)
    cv2.drawContours(filled, contours, -1, 1, -1)
    inside, outside = _outline_sides(filled, contours)
    if len(inside) < _MIN_PIXELS:
        return 0.0, 0.0, 0.0
    steps = []
    for image in (first, second):
        soft = cv2.GaussianBlur(image, (0, 0), 0.7)
        step = soft[inside[:, 1], inside[:, 0]] - soft[outside[:, 1], outside[:, 0]]
        steps.append(np.sqrt((step * step).sum(axis=1)))
    a, b = (step[np.maximum(*steps) > _MIN_GRAY_STEP] for step in steps)
    if len(a) < _MIN_PIXELS:
        return 0.0, 0.0, 0.0
    energy_a, energy_b = float(a @ a), float(b @ b)
    middle = float(np.median((b - a) / (a + b)))
    return (energy_b - energy_a) / (energy_b + energy_a), middle, 2 * float((b > a).mean()) - 1


def _outline_sides(filled: FloatImage, contours: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For points of the outlines, (n, 2) x and y a little inside and a little outside."""
    import cv2

    if not contours:
        nothing = np.empty((0, 2), np.int64)
        return nothing, nothing
    soft = cv2.GaussianBlur(filled, (0, 0), 1.5)
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    positions = np.concatenate(contours)[:, 0]
    inwards = np.stack([slope[positions[:, 1], positions[:, 0]] for slope in (across, down)], axis=1)
    inwards /= np.maximum(np.linalg.norm(inwards, axis=1, keepdims=True), 1e-6)
    inside, outside = (
        np.rint(positions + direction * inwards).astype(np.int64) for direction in (_OUTLINE_OFFSET, -_OUTLINE_OFFSET)
    )
    size = (filled.shape[1], filled.shape[0])
    in_frame = np.all([(ends >= 0) & (ends < size) for ends in (inside, outside)], axis=(0, 2))
    return inside[in_frame], outside[in_frame]


def _dominant_color_shares(pair: AlignedPair) -> tuple[float, float]:
    """The share of the most common color of either image where they differ."""
    import cv2

    red, green, blue = cv2.split(cv2.absdiff(pair.first, pair.second))
    changed = pair.bad & (cv2.max(cv2.max(red, green), blue) > _MIN_COLOR_STEP)
    if int(changed.sum()) < _MIN_PIXELS:
        return 0.0, 0.0
    shares = [_dominant_colors(image[changed].astype(np.float32))[1] for image in (pair.first, pair.second)]
    return (max(shares[0], default=0.0), max(shares[1], default=0.0))


def _edge_peak(values: FloatImage) -> float:
    return float(np.quantile(values, 0.9))


def _log_edge_ratio(edges: list[FloatImage], where: Mask, of: Callable[[FloatImage], Any], floor: float) -> float:
    """How much stronger the edges of the second are than those of the first, as a logarithm."""
    if not where.any():
        return 0.0
    first, second = (float(of(each[where])) for each in edges)
    return float(np.log((second + floor) / (first + floor)))


def _match_tones(first: RGB, second: RGB, same: Mask) -> FloatImage:
    """The first image with the brightness and contrast of the second in each channel, fitted where the two agree."""
    moved = first.astype(np.float32)
    same = same & (np.abs(first.astype(np.int16) - second).max(axis=2) < 90)
    if int(same.sum()) < 50:
        return moved
    for n in range(3):
        x, y = (image[..., n][same].astype(np.float32) for image in (first, second))
        spread = float(x.var())
        slope = float(((x - x.mean()) * (y - y.mean())).mean()) / max(spread, 1e-6)
        slope = float(np.clip(slope, _MIN_CONTRAST_RATIO, _MAX_CONTRAST_RATIO))
        moved[..., n] = np.clip((moved[..., n] - x.mean()) * slope + y.mean(), 0, 255)
    return moved


def _gradient(gray: FloatImage) -> FloatImage:
    import cv2

    across, down = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down) / 8, np.float32)


def _few_color_evidence(first: FloatImage, second: FloatImage, near_changed: Mask) -> tuple[float, float]:
    """How much better a few colors over the first explain the second than the reverse, and how much purer they are."""
    import cv2

    a, b = (cv2.GaussianBlur(image, (0, 0), 0.7) for image in (first, second))
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    changed = near_changed & (cv2.max(cv2.max(red, green), blue) > _MIN_COLOR_STEP)
    pixels_a, pixels_b = a[changed], b[changed]
    step = max(1, len(pixels_a) // _MAX_PIXELS)
    pixels_a, pixels_b = pixels_a[::step], pixels_b[::step]
    if len(pixels_a) < _MIN_PIXELS:
        return 0.0, 0.0
    over_a, over_b = _explained_share(pixels_a, pixels_b), _explained_share(pixels_b, pixels_a)
    return over_a[0] - over_b[0], over_a[1] - over_b[1]


def _explained_share(beneath: FloatImage, above: FloatImage) -> tuple[float, float]:
    """The share of pixels (n, 3) between the covered color and a dominant one, and the share of the latter."""
    colors, shares = _dominant_colors(above)
    if not len(colors):
        return 0.0, 0.0
    off = np.min([_line_distance(beneath, above, color) for color in colors], axis=0)
    return float((off < _MAX_LINE_DISTANCE).mean()), min(float(sum(shares)), 1.0)


def _dominant_colors(pixels: FloatImage) -> tuple[list[FloatImage], list[float]]:
    colors: list[FloatImage] = []
    shares: list[float] = []
    free = np.ones(len(pixels), np.bool_)
    for _ in range(_MAX_COLORS):
        if int(free.sum()) < max(6, 0.06 * len(pixels)):
            break
        cells = (pixels[free] / _COLOR_CELL).astype(np.int64) @ (400, 20, 1)
        cell_ids, counts = np.unique(cells, return_counts=True)
        color = pixels[free][cells == cell_ids[counts.argmax()]].mean(axis=0)
        for _ in range(2):
            close = _largest_channel(pixels - color) < _COLOR_RADIUS
            color = pixels[close].mean(axis=0)
        close = _largest_channel(pixels - color) < _COLOR_RADIUS
        if float(close.mean()) < _MIN_SHARE:
            break
        colors.append(color)
        shares.append(float(close.mean()))
        free &= ~close
    return colors, shares


def _line_distance(beneath: FloatImage, above: FloatImage, color: NDArray[Any]) -> FloatImage:
    direction = color - beneath
    length = (direction * direction).sum(axis=1)
    share = np.clip(((above - beneath) * direction).sum(axis=1) / np.maximum(length, 1), 0, 1)
    return _largest_channel(beneath + share[:, None] * direction - above)


def _largest_channel(rows: NDArray[Any]) -> FloatImage:
    """The largest magnitude of three columns; NumPy's own maximum takes ten times as long for so few."""
    red, green, blue = np.abs(rows).T
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)
