"""Verify geometrically that two images show the same thing: matched features, one transform, and what it implies."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.features import COUNT, Features, mirrored, negative
from lookalike.relate.geometry.matching import MatchedPoints, match_features
from lookalike.relate.geometry.overlay import NO_AGREEMENT, Agreement, agreement
from lookalike.relate.geometry.transform import (
    Fit,
    Matrix,
    TransformSummary,
    fit_transform,
    plausible,
    summarize_transform,
)

Model = Literal["none", "frame", "similarity", "homography"]

MIN_INLIERS = 8  # inliers below which features alone prove little
_CLEAR_INLIERS = 20  # inliers from which the mirror image is not tried
_CLEAR_STRUCTURE = 0.75  # structure above which no other explanation is tried
UNCOUNTED = 10_000  # `richest` if features were not computed because the frames agree
_RESIDUAL_SIDE = 512  # the long side whose pixels are the unit of residuals, at whatever side features were found
_MIN_FRAME_CORRELATION = 0.9  # correlation of the whole images from which they are overlaid as they are
_MAX_NEGATIVE_CORRELATION = -0.5  # correlation of the whole images below which one may be the other's negative


@dataclass(frozen=True, slots=True)
class Match:
    """How one image lies in another.

    `model`: "similarity" or "homography" (from features), "frame" (the whole images agree as they are, mirrored or
    turned by quarter turns), or "none". `transform`: 3 x 3, from fractions (0 to 1) of the first image's frame to
    fractions of the second's, including a mirror. `negative`: light and dark are exchanged. `turn`: degrees clockwise
    by which the second shows the first. `scale`: pixels of the second per pixel of the first. `kept_first`,
    `kept_second`: share of either's area that the other shows. `residual`: the inliers' median error in pixels at a
    long side of 512: an edited copy fits to half a pixel, a scene photographed again does not. `richness`: features of
    the image with fewer; `richest`: of the other, reduced for an enlarged icon. `outline`: (4, 2), the first's corners
    as fractions of the second. `points`: (n, 4) inliers, x and y as fractions of either image.
    """

    inliers: int = 0
    matches: int = 0
    model: Model = "none"
    mirrored: bool = False
    negative: bool = False
    turn: float = 0.0
    scale: float = 1.0
    aspect: float = 1.0
    kept_first: float = 0.0
    kept_second: float = 0.0
    agreement: Agreement = NO_AGREEMENT
    residual: float = 0.0
    richness: int = 0
    richest: int = 0
    transform: Matrix = field(default_factory=lambda: np.eye(3))
    outline: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, 2)))
    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def verify(first: Features, second: Features, *, frames: bool = True) -> Match:
    """Find the transform that maps the first image onto the second, mirrored or not.

    `frames`: also try the whole images over each other, mirrored and turned by quarter turns, if features prove little.
    Takes about 5 ms. Philbin et al.: Object retrieval with large vocabularies and fast spatial matching, CVPR 2007;
    Barath et al.: MAGSAC++, CVPR 2020.
    """
    best = _match_by_features(first, second, flip=False)
    if best.inliers < _CLEAR_INLIERS or best.agreement.structure < _CLEAR_STRUCTURE:
        best = max(best, _match_by_features(first, second, flip=True), key=_rank)
    if frames and (best.inliers < MIN_INLIERS or best.agreement.structure < _CLEAR_STRUCTURE):
        best = max(best, _match_by_frames(first, second, best), key=_rank)
        if not first.inverted and min(_frame_correlations(first, second)) < _MAX_NEGATIVE_CORRELATION:
            best = max(best, replace(verify(negative(first), second), negative=True), key=_rank)
    return best


def match_whole_frames(first: Features, second: Features) -> Match | None:
    """Return the match of two whole images in the best of eight orientations, or None if none clearly agrees.

    Takes a fifth of a millisecond and needs no features.
    """
    correlations = _frame_correlations(first, second)
    if max(correlations) < _MIN_FRAME_CORRELATION:
        return None
    return _match_by_frames(first, second, Match(), correlations, count_features=False)


def _rank(match: Match) -> float:
    """Rank explanations: more inliers are better, if the overlay agrees with them."""
    structure = match.agreement.structure
    return (min(match.inliers, 100) / 20 + 2 * (match.model != "none")) * (0.2 + structure) + 4 * structure * (
        structure > _CLEAR_STRUCTURE
    )


def _match_by_features(first: Features, second: Features, *, flip: bool) -> Match:
    source = mirrored(first) if flip else first
    pairs = match_features(source, second)
    fit = fit_transform(pairs, source.work, second.work)
    if fit is None:
        return Match(matches=len(pairs))
    return _match_of(first, second, fit, pairs, flip=flip)


def _match_of(first: Features, second: Features, fit: Fit, pairs: MatchedPoints, *, flip: bool) -> Match:
    matrix = _to_fractions(fit.matrix, first, second, flip=flip)
    a, b = pairs.first[fit.inliers, :2], pairs.second[fit.inliers, :2]
    points = np.concatenate(((a + 0.5) / first.work, (b + 0.5) / second.work), axis=1).astype(np.float32)
    if flip:
        points[:, 0] = 1 - points[:, 0]
    model: Model = "homography" if fit.perspective else "similarity"
    match = Match(
        inliers=len(fit.inliers),
        matches=len(pairs),
        model=model,
        mirrored=flip,
        points=points,
        residual=fit.residual * _RESIDUAL_SIDE / max(*second.work, 1),
    )
    return _with_geometry(match, first, second, matrix)


def _match_by_frames(
    first: Features,
    second: Features,
    best: Match,
    correlations: list[float] | None = None,
    *,
    count_features: bool = True,
) -> Match:
    """The best of the eight ways to place one whole image on the other."""
    correlations = correlations or _frame_correlations(first, second)
    turn, flip = _ORIENTATIONS[int(np.argmax(correlations))]
    if max(correlations) < 0.5:
        return best
    matrix = _quarter_turns(turn) @ (_MIRROR if flip else np.eye(3))
    match = Match(matches=best.matches, model="frame", mirrored=flip)
    return _with_geometry(match, first, second, matrix, count_features=count_features)


_ORIENTATIONS = [(turn, flip) for flip in (False, True) for turn in range(4)]


def _frame_correlations(first: Features, second: Features) -> list[float]:
    """The correlation of the whole images in each of the eight orientations."""
    a, b = _thumbnail(first), _thumbnail(second)
    return [float((np.rot90(a[:, ::-1] if flip else a, -turn) * b).mean()) for turn, flip in _ORIENTATIONS]


def upright_correlation(first: Features, second: Features) -> float:
    """Return the correlation of the whole images as they are."""
    return float((_thumbnail(first) * _thumbnail(second)).mean())


_MIRROR = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])


def _quarter_turns(turns: int) -> Matrix:
    """`turns` quarter turns clockwise of the unit square."""
    once = np.array([[0.0, -1, 1], [1, 0, 0], [0, 0, 1]])
    return np.asarray(np.linalg.matrix_power(once, turns), np.float64)


def _thumbnail(features: Features) -> NDArray[np.float32]:
    """The image as 32 x 32 gray pixels of mean 0 and deviation 1."""
    import cv2

    gray = cv2.cvtColor(features.small, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((small - small.mean()) / max(float(small.std()), 2.0), np.float32)


def _to_fractions(matrix: Matrix, first: Features, second: Features, *, flip: bool) -> Matrix:
    """Convert a matrix of reduced pixels to one of fractions of either frame, including the mirror."""
    fractions = (
        pixels_to_fractions(second.work)
        @ matrix
        @ np.linalg.inv(pixels_to_fractions(first.work))
        @ (_MIRROR if flip else np.eye(3))
    )
    return np.asarray(fractions / fractions[2, 2], np.float64)


def _with_geometry(
    match: Match, first: Features, second: Features, matrix: Matrix, *, count_features: bool = True
) -> Match:
    """The match with all that follows from its transform; "none" if the transform is not plausible."""
    summary = summarize_transform(
        matrix, (first.width, first.height), (second.width, second.height), mirrored=match.mirrored
    )
    if not plausible(summary):
        return Match(matches=match.matches)
    described = replace(
        with_summary(match, matrix, summary), richest=UNCOUNTED, agreement=_agreement_in_second(first, second, matrix)
    )
    return with_feature_counts(described, first, second) if count_features else described


def with_summary(match: Match, matrix: Matrix, summary: TransformSummary) -> Match:
    """Return the match with a transform of fractions and its summary, from `summarize_transform`."""
    return replace(
        match,
        transform=matrix,
        turn=summary.turn,
        scale=summary.scale,
        aspect=summary.aspect,
        outline=summary.outline,
        kept_first=summary.kept_first,
        kept_second=summary.kept_second,
    )


def with_transform(match: Match, matrix: Matrix, first: Features, second: Features) -> Match:
    """Return the match with another transform of fractions, or unchanged if that is not plausible."""
    summary = summarize_transform(
        matrix, (first.width, first.height), (second.width, second.height), mirrored=match.mirrored
    )
    return with_summary(match, matrix, summary) if plausible(summary) else match


def inverse_match(match: Match, first: tuple[int, int], second: tuple[int, int]) -> Match:
    """Return how the second image lies in the first. `first`, `second`: (width, height) of the two, in pixels."""
    matrix: Matrix = np.asarray(np.linalg.inv(match.transform), np.float64)
    matrix = matrix / matrix[2, 2]
    agreement = match.agreement
    return replace(
        with_summary(match, matrix, summarize_transform(matrix, second, first, mirrored=match.mirrored)),
        points=match.points[:, [2, 3, 0, 1]],
        agreement=replace(agreement, first_inside=agreement.second_inside, second_inside=agreement.first_inside),
    )


def with_feature_counts(match: Match, first: Features, second: Features) -> Match:
    """Return the match with `richness` and `richest`, for which features are computed."""
    richest = round(max(_richness(first), _richness(second)))
    return replace(match, richness=min(len(first), len(second)), richest=richest)


def _richness(features: Features) -> float:
    """The number of features, scaled to a maximum of 600; features of an enlarged icon count for less."""
    return (
        len(features)
        * COUNT
        / features.count
        * min(1.0, max(0.5, max(features.width, features.height) / max(features.work)))
    )


def _agreement_in_second(first: Features, second: Features, matrix: Matrix) -> Agreement:
    """Compare the small images in the frame of the second."""
    a, b = first.small, second.small
    into, out = (pixels_to_fractions((image.shape[1], image.shape[0])) for image in (a, b))
    return agreement(a, b, np.linalg.inv(out) @ matrix @ into)


def pixels_to_fractions(size: tuple[int, int]) -> Matrix:
    """Return the matrix from pixels, whose centers are whole numbers, to fractions of an image of (width, height)."""
    width, height = size
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
