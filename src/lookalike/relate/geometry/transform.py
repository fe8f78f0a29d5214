"""Fit one transform to matched features, and describe what it does to the two frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.matching import MatchedPoints

Matrix = NDArray[np.float64]

MIN_FIT_INLIERS = 4
_VOTE_TOLERANCE = 0.05  # of the reduced image's long side: tolerance of a similarity from a single match
_INLIER_TOLERANCE = 5.0  # pixels of the reduced image
_MAX_VOTES = 300  # matches that vote
_MAX_SCALE = 16.0
UNIT_SQUARE = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
_CELL_SIZE = 6.0  # pixels of the reduced image; closer points count as one


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted transform.

    `matrix`: 3 x 3, in pixels of the reduced images. `inliers`: indexes of the pairs. `residual`: see `verify.Match`.
    """

    matrix: Matrix
    inliers: NDArray[np.intp]
    perspective: bool
    residual: float = 0.0


@dataclass(frozen=True, slots=True)
class TransformSummary:
    """What a transform of fractions does; see `verify.Match` for the fields."""

    turn: float
    scale: float
    aspect: float
    outline: NDArray[np.float64]
    convex: bool
    kept_first: float
    kept_second: float


def fit_transform(pairs: MatchedPoints, first: tuple[int, int], second: tuple[int, int]) -> Fit | None:
    """Return the transform that most matches agree on, or None.

    `first`, `second`: (width, height) of the reduced images.
    """
    if len(pairs) < MIN_FIT_INLIERS:
        return None
    voted = _vote(pairs, _VOTE_TOLERANCE * max(second))
    if _distinct_count(pairs, voted) < MIN_FIT_INLIERS or _is_collinear(pairs, voted):
        return None
    candidates = [fit for fit in (_affine(pairs, voted), _perspective(pairs, voted)) if fit is not None]
    if not candidates:
        return None
    best = _simplest_good_fit(candidates)
    if _distinct_count(pairs, best.inliers) < MIN_FIT_INLIERS or _is_collinear(pairs, best.inliers):
        return None
    return best


def _simplest_good_fit(candidates: list[Fit]) -> Fit:
    """Prefer the affine transform, unless the homography has clearly more inliers or clearly smaller errors."""
    simple = candidates[0]
    for other in candidates[1:]:
        more = len(other.inliers) > 1.1 * len(simple.inliers) + 2
        closer = other.residual < 0.7 * simple.residual - 0.05 and len(other.inliers) > 0.95 * len(simple.inliers)
        if more or closer:
            return other
    return simple


def _fit(matrix: Matrix, pairs: MatchedPoints, *, perspective: bool) -> Fit | None:
    inliers = np.flatnonzero(_error(matrix, pairs) < _INLIER_TOLERANCE)
    if len(inliers) < MIN_FIT_INLIERS:
        return None
    inliers = _one_per_cell(pairs, inliers)
    return Fit(matrix, inliers, perspective, _residual(matrix, pairs, inliers))


def _affine(pairs: MatchedPoints, voted: NDArray[np.intp]) -> Fit | None:
    rough = _least_squares(pairs, voted)
    if rough is None:
        return None
    fine = np.flatnonzero(_error(rough, pairs) < _INLIER_TOLERANCE)
    refined = _least_squares(pairs, fine) if len(fine) >= MIN_FIT_INLIERS else None
    return _fit(rough if refined is None else refined, pairs, perspective=False)


def plausible(summary: TransformSummary) -> bool:
    """Return whether a camera, an editor or a screen could have made it: convex, not collapsed, not extreme."""
    sizes = 1 / _MAX_SCALE < summary.scale < _MAX_SCALE and 0.2 < summary.aspect < 5
    return summary.convex and sizes and min(summary.kept_first, summary.kept_second) > 0.004


def summarize_transform(
    matrix: Matrix, first: tuple[int, int], second: tuple[int, int], *, mirrored: bool
) -> TransformSummary:
    """Describe a transform of fractions. `first`, `second`: (width, height) of the original images, in pixels."""
    outline = project(matrix, UNIT_SQUARE)
    pixels = outline * second
    middle = _jacobian(matrix, first, second)
    if mirrored:
        middle = middle @ np.diag((-1.0, 1.0))
    turn = float(np.degrees(np.arctan2(middle[1, 0] - middle[0, 1], middle[0, 0] + middle[1, 1])))
    across, down = np.linalg.norm(middle, axis=0)
    scale = float(np.sqrt(abs(np.linalg.det(middle))))
    return TransformSummary(
        turn,
        scale,
        float(across / max(down, 1e-9)),
        outline,
        _is_convex(pixels),
        _visible_share(np.linalg.inv(matrix)) if abs(np.linalg.det(matrix)) > 1e-9 else 0.0,
        _visible_share(matrix),
    )


def project(matrix: NDArray[np.floating[Any]], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map (n, 2) points by a 3 x 3 matrix."""
    whole = np.concatenate((points, np.ones((len(points), 1))), axis=1) @ matrix.T
    bottom = np.where(np.abs(whole[:, 2:]) < 1e-9, 1e-9, whole[:, 2:])
    moved: NDArray[np.float64] = whole[:, :2] / bottom
    return moved


def _vote(pairs: MatchedPoints, tolerance: float) -> NDArray[np.intp]:
    """Return the matches that agree with the similarity most matches agree with.

    Each match alone fixes a similarity by its position, size and angle.
    """
    a, b = pairs.first[:_MAX_VOTES].astype(np.float64), pairs.second[:_MAX_VOTES].astype(np.float64)
    zoom = b[:, 2] / np.maximum(a[:, 2], 1e-6)
    angle = np.radians(b[:, 3] - a[:, 3])
    spin = zoom * np.exp(1j * angle)
    from_, to = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    # (n, n): where hypothesis i (row) puts match j
    off = np.abs((to[None] - to[:, None]) - spin[:, None] * (from_[None] - from_[:, None]))
    turned = np.abs(np.angle(spin[None] / spin[:, None])) < np.radians(30)
    zoomed = np.abs(np.log(zoom[None] / zoom[:, None])) < np.log(2)
    agree = (off < tolerance) & turned & zoomed
    return np.flatnonzero(agree[int(agree.sum(axis=1).argmax())])


def _least_squares(pairs: MatchedPoints, selected: NDArray[np.intp]) -> Matrix | None:
    """Fit an affine transform to the selected matches, and again without outliers; None if it collapses."""
    for _ in range(2):
        a, b = pairs.first[selected, :2].astype(np.float64), pairs.second[selected, :2].astype(np.float64)
        if len(a) < 3:
            return None
        ones = np.concatenate((a, np.ones((len(a), 1))), axis=1)
        solved, _, rank, _ = np.linalg.lstsq(ones, b, rcond=None)
        if rank < 3:
            return None
        matrix = np.vstack((solved.T, (0, 0, 1)))
        error = _error(matrix, pairs)[selected]
        retained = selected[error < max(3 * float(np.median(error)), _INLIER_TOLERANCE)]
        selected = retained if len(retained) >= MIN_FIT_INLIERS else selected
    return matrix if np.linalg.det(matrix[:2, :2]) > 1e-4 else None


def _perspective(pairs: MatchedPoints, voted: NDArray[np.intp]) -> Fit | None:
    import cv2

    if len(voted) < 10:  # eight unknowns fit noise if there are fewer
        return None
    a, b = pairs.first[voted, :2], pairs.second[voted, :2]
    matrix, _ = cv2.findHomography(a, b, cv2.USAC_MAGSAC, _INLIER_TOLERANCE, None, 300, 0.995)
    if matrix is None:
        return None
    inliers = np.flatnonzero(_error(np.asarray(matrix, np.float64), pairs) < _INLIER_TOLERANCE)
    if len(inliers) >= 10:
        refined, _ = cv2.findHomography(pairs.first[inliers, :2], pairs.second[inliers, :2], 0)
        matrix = matrix if refined is None else refined
    if np.linalg.det(matrix[:2, :2]) <= 1e-4:
        return None
    return _fit(np.asarray(matrix, np.float64), pairs, perspective=True)


def _error(matrix: Matrix, pairs: MatchedPoints) -> NDArray[np.float64]:
    moved = project(matrix, pairs.first[:, :2].astype(np.float64))
    return np.asarray(np.linalg.norm(moved - pairs.second[:, :2], axis=1), np.float64)


def _residual(matrix: Matrix, pairs: MatchedPoints, selected: NDArray[np.intp]) -> float:
    """Median error in pixels of the image with the smaller scale, where a pixel of error means most."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    return float(np.median(_error(matrix, pairs)[selected])) / max(zoom, 1.0)


def _cell_ids(points: NDArray[np.float32]) -> NDArray[np.int64]:
    cells = (points[:, :2] / _CELL_SIZE).astype(np.int64)
    return cells[:, 0] * 100_000 + cells[:, 1]


def _one_per_cell(pairs: MatchedPoints, selected: NDArray[np.intp]) -> NDArray[np.intp]:
    """Retain one inlier per cell of the first image: a corner found at five sizes is one piece of evidence."""
    _, once = np.unique(_cell_ids(pairs.first[selected]), return_index=True)
    return selected[np.sort(once)]


def _distinct_count(pairs: MatchedPoints, selected: NDArray[np.intp]) -> int:
    return min(len(np.unique(_cell_ids(side[selected]))) for side in (pairs.first, pairs.second))


def _is_collinear(pairs: MatchedPoints, selected: NDArray[np.intp]) -> bool:
    """Return whether the points lie in a row, like a line of text, about which the transform is free to rotate."""
    for side in (pairs.first, pairs.second):
        points = side[selected, :2] - side[selected, :2].mean(axis=0)
        smallest, largest = np.linalg.eigvalsh(points.T @ points / len(points))
        if smallest < 4.0 or smallest < 0.0025 * largest:  # px squared; 1 : 20
            return True
    return False


def _jacobian(matrix: Matrix, first: tuple[int, int], second: tuple[int, int]) -> Matrix:
    """Pixels of the second image per pixel of the first, at the center of the first."""
    step = 1e-3
    middle, right, below = project(matrix, np.array([(0.5, 0.5), (0.5 + step, 0.5), (0.5, 0.5 + step)]))
    x = (right - middle) * second / (step * first[0])
    y = (below - middle) * second / (step * first[1])
    return np.stack((x, y), axis=1)


def _is_convex(corners: NDArray[np.float64]) -> bool:
    edges = np.roll(corners, -1, axis=0) - corners
    after = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    return bool(np.isfinite(turns).all() and (abs(np.sign(turns).sum()) == 4) and np.abs(corners).max() < 1e6)


def _visible_share(matrix: NDArray[np.floating[Any]]) -> float:
    """The share of the unit square that the transformed unit square covers."""
    moved = project(matrix, UNIT_SQUARE)
    if not np.isfinite(moved).all() or np.abs(moved).max() > 1e4:
        return 0.0
    return min(intersection_area(moved, UNIT_SQUARE), 1.0)


def intersection_area(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the area shared by two convex outlines (Sutherland, Hodgman: Reentrant polygon clipping, CACM 1974).

    cv2.intersectConvexConvex returns 0 for outlines that nearly coincide, as those of copies do.
    """
    second = second if _signed_area(second) > 0 else second[::-1]
    clipped = first
    for a, b in zip(second, np.roll(second, -1, axis=0), strict=True):
        if len(clipped) == 0:
            return 0.0
        clipped = _clip(clipped, a, b)
    return abs(_signed_area(clipped))


def _clip(outline: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of an outline to the left of the line from a to b."""
    edge = b - a
    side = edge[0] * (outline[:, 1] - a[1]) - edge[1] * (outline[:, 0] - a[0])
    points = []
    for n in range(len(outline)):
        after = (n + 1) % len(outline)
        if side[n] >= 0:
            points.append(outline[n])
        if (side[n] >= 0) != (side[after] >= 0):
            points.append(outline[n] + (outline[after] - outline[n]) * side[n] / (side[n] - side[after]))
    return np.array(points, np.float64).reshape(-1, 2)


def _signed_area(outline: NDArray[np.float64]) -> float:
    if len(outline) < 3:
        return 0.0
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
