"""One transform that explains the matched features, and what it says about the two frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.matching import Pairs

Matrix = NDArray[np.float64]

LEAST = 4  # inliers
_ROUGH = 0.05  # of the work picture's long side: how far a similarity from one match may be off
_FINE = 5.0  # work pixels
_MOST = 300  # matches that vote
_LARGEST_SCALE = 16.0
UNIT = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
_CELL = 6.0  # work pixels: points nearer than this are one


@dataclass(frozen=True, slots=True)
class Fit:
    """`matrix`: 3 x 3 in work pixels; `inliers`: positions among the pairs; `residual`: see `geometry.Match`."""

    matrix: Matrix
    inliers: NDArray[np.intp]
    perspective: bool
    residual: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What a transform of shares says: see `geometry.Match` for the fields."""

    turn: float
    scale: float
    aspect: float
    outline: NDArray[np.float64]
    convex: bool
    kept_first: float
    kept_second: float


def fit_transform(pairs: Pairs, first: tuple[int, int], second: tuple[int, int]) -> Fit | None:
    """The transform that most matches agree on, or None. `first`, `second`: (width, height) of the work pictures."""
    if len(pairs) < LEAST:
        return None
    near = _voted(pairs, _ROUGH * max(second))
    if _distinct(pairs, near) < LEAST or _on_a_line(pairs, near):
        return None
    candidates = [fit for fit in (_affine(pairs, near), _perspective(pairs, near)) if fit is not None]
    if not candidates:
        return None
    best = _better(candidates)
    if _distinct(pairs, best.inliers) < LEAST or _on_a_line(pairs, best.inliers):
        return None
    return best


def _better(candidates: list[Fit]) -> Fit:
    """A perspective needs a reason: clearly more inliers, or clearly smaller errors."""
    simple = candidates[0]
    for other in candidates[1:]:
        more = len(other.inliers) > 1.1 * len(simple.inliers) + 2
        closer = other.residual < 0.7 * simple.residual - 0.05 and len(other.inliers) > 0.95 * len(simple.inliers)
        if more or closer:
            return other
    return simple


def _fit(matrix: Matrix, pairs: Pairs, *, perspective: bool) -> Fit | None:
    inliers = np.flatnonzero(_error(matrix, pairs) < _FINE)
    if len(inliers) < LEAST:
        return None
    inliers = _one_a_place(pairs, inliers)
    return Fit(matrix, inliers, perspective, _residual(matrix, pairs, inliers))


def _affine(pairs: Pairs, near: NDArray[np.intp]) -> Fit | None:
    rough = _least_squares(pairs, near)
    if rough is None:
        return None
    fine = np.flatnonzero(_error(rough, pairs) < _FINE)
    refined = _least_squares(pairs, fine) if len(fine) >= LEAST else None
    return _fit(rough if refined is None else refined, pairs, perspective=False)


def plausible(shape: Shape) -> bool:
    """Whether a camera, an editor or a screen could have made it: convex, not collapsed, not smeared."""
    sizes = 1 / _LARGEST_SCALE < shape.scale < _LARGEST_SCALE and 0.2 < shape.aspect < 5
    return shape.convex and sizes and min(shape.kept_first, shape.kept_second) > 0.004


def shape_of(matrix: Matrix, first: tuple[int, int], second: tuple[int, int], *, mirrored: bool) -> Shape:
    """Describe a transform of shares. `first`, `second`: (width, height) in pixels of the pictures as they are."""
    outline = project(matrix, UNIT)
    pixels = outline * second
    middle = _jacobian(matrix, first, second)
    if mirrored:
        middle = middle @ np.diag((-1.0, 1.0))
    turn = float(np.degrees(np.arctan2(middle[1, 0] - middle[0, 1], middle[0, 0] + middle[1, 1])))
    across, down = np.linalg.norm(middle, axis=0)
    scale = float(np.sqrt(abs(np.linalg.det(middle))))
    return Shape(
        turn,
        scale,
        float(across / max(down, 1e-9)),
        outline,
        _convex(pixels),
        _visible(np.linalg.inv(matrix)) if abs(np.linalg.det(matrix)) > 1e-9 else 0.0,
        _visible(matrix),
    )


def project(matrix: NDArray[np.floating[Any]], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) points through a 3 x 3 matrix."""
    whole = np.concatenate((points, np.ones((len(points), 1))), axis=1) @ matrix.T
    bottom = np.where(np.abs(whole[:, 2:]) < 1e-9, 1e-9, whole[:, 2:])
    moved: NDArray[np.float64] = whole[:, :2] / bottom
    return moved


def _voted(pairs: Pairs, tolerance: float) -> NDArray[np.intp]:
    """Each match alone fixes a similarity by its place, size and angle; the one that most others fit wins."""
    a, b = pairs.first[:_MOST].astype(np.float64), pairs.second[:_MOST].astype(np.float64)
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


def _least_squares(pairs: Pairs, chosen: NDArray[np.intp]) -> Matrix | None:
    """An affine transform through the chosen matches, again without the worst of them; None if it collapses."""
    for _ in range(2):
        a, b = pairs.first[chosen, :2].astype(np.float64), pairs.second[chosen, :2].astype(np.float64)
        if len(a) < 3:
            return None
        ones = np.concatenate((a, np.ones((len(a), 1))), axis=1)
        solved, _, rank, _ = np.linalg.lstsq(ones, b, rcond=None)
        if rank < 3:
            return None
        matrix = np.vstack((solved.T, (0, 0, 1)))
        error = _error(matrix, pairs)[chosen]
        kept = chosen[error < max(3 * float(np.median(error)), _FINE)]
        chosen = kept if len(kept) >= LEAST else chosen
    return matrix if np.linalg.det(matrix[:2, :2]) > 1e-4 else None


def _perspective(pairs: Pairs, near: NDArray[np.intp]) -> Fit | None:
    import cv2

    if len(near) < 10:  # eight unknowns fit noise when there are fewer
        return None
    a, b = pairs.first[near, :2], pairs.second[near, :2]
    matrix, _ = cv2.findHomography(a, b, cv2.USAC_MAGSAC, _FINE, None, 300, 0.995)
    if matrix is None:
        return None
    inliers = np.flatnonzero(_error(np.asarray(matrix, np.float64), pairs) < _FINE)
    if len(inliers) >= 10:
        refined, _ = cv2.findHomography(pairs.first[inliers, :2], pairs.second[inliers, :2], 0)
        matrix = matrix if refined is None else refined
    if np.linalg.det(matrix[:2, :2]) <= 1e-4:
        return None
    return _fit(np.asarray(matrix, np.float64), pairs, perspective=True)


def _error(matrix: Matrix, pairs: Pairs) -> NDArray[np.float64]:
    moved = project(matrix, pairs.first[:, :2].astype(np.float64))
    return np.asarray(np.linalg.norm(moved - pairs.second[:, :2], axis=1), np.float64)


def _residual(matrix: Matrix, pairs: Pairs, chosen: NDArray[np.intp]) -> float:
    """Median error in the pixels of whichever picture shows it smaller: there a pixel of error means most."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    return float(np.median(_error(matrix, pairs)[chosen])) / max(zoom, 1.0)


def _places(points: NDArray[np.float32]) -> NDArray[np.int64]:
    cells = (points[:, :2] / _CELL).astype(np.int64)
    return cells[:, 0] * 100_000 + cells[:, 1]


def _one_a_place(pairs: Pairs, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """One inlier for each spot of the first picture: a corner found at five sizes is one piece of evidence."""
    _, once = np.unique(_places(pairs.first[chosen]), return_index=True)
    return chosen[np.sort(once)]


def _distinct(pairs: Pairs, chosen: NDArray[np.intp]) -> int:
    return min(len(np.unique(_places(side[chosen]))) for side in (pairs.first, pairs.second))


def _on_a_line(pairs: Pairs, chosen: NDArray[np.intp]) -> bool:
    """Points in a row, such as a line of text, leave the transform free to turn about it."""
    for side in (pairs.first, pairs.second):
        points = side[chosen, :2] - side[chosen, :2].mean(axis=0)
        least, most = np.linalg.eigvalsh(points.T @ points / len(points))
        if least < 4.0 or least < 0.0025 * most:  # px squared; 1 : 20
            return True
    return False


def _jacobian(matrix: Matrix, first: tuple[int, int], second: tuple[int, int]) -> Matrix:
    """Pixels of the second for a pixel of the first, at the middle of the first."""
    step = 1e-3
    middle, right, below = project(matrix, np.array([(0.5, 0.5), (0.5 + step, 0.5), (0.5, 0.5 + step)]))
    x = (right - middle) * second / (step * first[0])
    y = (below - middle) * second / (step * first[1])
    return np.stack((x, y), axis=1)


def _convex(corners: NDArray[np.float64]) -> bool:
    edges = np.roll(corners, -1, axis=0) - corners
    after = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0]
    return bool(np.isfinite(turns).all() and (abs(np.sign(turns).sum()) == 4) and np.abs(corners).max() < 1e6)


def _visible(matrix: NDArray[np.floating[Any]]) -> float:
    """The share of the unit square that the moved unit square covers."""
    moved = project(matrix, UNIT)
    if not np.isfinite(moved).all() or np.abs(moved).max() > 1e4:
        return 0.0
    return min(shared_area(moved, UNIT), 1.0)


def shared_area(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Area that two convex outlines share (Sutherland, Hodgman: Reentrant polygon clipping, CACM 1974).

    cv2.intersectConvexConvex gives 0 for outlines that nearly coincide, which copies' outlines do.
    """
    second = second if _signed_area(second) > 0 else second[::-1]
    left = first
    for a, b in zip(second, np.roll(second, -1, axis=0), strict=True):
        if len(left) == 0:
            return 0.0
        left = _clipped(left, a, b)
    return abs(_signed_area(left))


def _clipped(outline: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of an outline on the left of the line from a to b."""
    edge = b - a
    side = edge[0] * (outline[:, 1] - a[1]) - edge[1] * (outline[:, 0] - a[0])
    kept = []
    for n in range(len(outline)):
        after = (n + 1) % len(outline)
        if side[n] >= 0:
            kept.append(outline[n])
        if (side[n] >= 0) != (side[after] >= 0):
            kept.append(outline[n] + (outline[after] - outline[n]) * side[n] / (side[n] - side[after]))
    return np.array(kept, np.float64).reshape(-1, 2)


def _signed_area(outline: NDArray[np.float64]) -> float:
    if len(outline) < 3:
        return 0.0
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
