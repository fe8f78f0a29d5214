"""Do two pictures show the same thing in the same arrangement? Matched features, one transform, and what it implies."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.features import COUNT, Features, mirrored, negative
from lookalike.relate.geometry.matching import Pairs, match
from lookalike.relate.geometry.overlay import NOTHING, Agreement, agreement
from lookalike.relate.geometry.transform import Fit, Matrix, Shape, fit_transform, plausible, shape_of

Model = Literal["none", "frame", "similarity", "homography"]

ENOUGH = 8  # inliers below which features alone say little
_CLEAR = 20  # inliers from which a picture is not sought in the mirror too
_SURE = 0.75  # structure above which no other explanation is looked for
UNCOUNTED = 10_000  # `richest` where features were not looked for, because the frames agree
_RESIDUAL_SIDE = 512  # the long side whose pixels residuals are told in, whatever features were found at
_FRAMES_AGREE = 0.9  # correlation of the whole pictures from which they are laid over each other as they are
_OPPOSITE = -0.5  # correlation of the whole pictures below which one may be the other's negative


@dataclass(frozen=True, slots=True)
class Match:
    """How one picture lies in another.

    `model`: "similarity" or "homography" (from features), "frame" (the whole pictures agree as they are, mirrored
    or turned by quarters), or "none". `transform`: 3 x 3, from shares (0 to 1) of the first picture's frame to
    shares of the second's; a mirror is part of it. `negative`: light and dark are exchanged. `turn`: degrees,
    clockwise, how the second shows the first. `scale`: pixels of the second for one of the first. `kept_first`,
    `kept_second`: share of either's area that the other shows. `residual`: the inliers' median error in work
    pixels: an edited copy fits to half a pixel, a scene photographed again does not. `richness`: features of the
    picture that has fewer; `richest`: of the other, less where it is an icon. `outline`: (4, 2), the first's
    corners in shares of the second. `points`: (n, 4) inliers, x y in shares of either.
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
    agreement: Agreement = NOTHING
    residual: float = 0.0
    richness: int = 0
    richest: int = 0
    transform: Matrix = field(default_factory=lambda: np.eye(3))
    outline: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, 2)))
    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def verify(first: Features, second: Features, *, frames: bool = True) -> Match:
    """Find the transform that lays the first picture over the second, mirrored or not.

    `frames`: also try the whole pictures over each other, mirrored and turned by quarters, where features say little.
    Costs about 5 ms. Philbin et al.: Object retrieval with large vocabularies and fast spatial matching, CVPR 2007;
    Barath et al.: MAGSAC++, CVPR 2020.
    """
    best = _by_features(first, second, flip=False)
    if best.inliers < _CLEAR or best.agreement.structure < _SURE:
        best = max(best, _by_features(first, second, flip=True), key=_rank)
    if frames and (best.inliers < ENOUGH or best.agreement.structure < _SURE):
        best = max(best, _by_frames(first, second, best), key=_rank)
        if not first.inverted and min(_likeness(first, second)) < _OPPOSITE:
            best = max(best, replace(verify(negative(first), second), negative=True), key=_rank)
    return best


def frame_match(first: Features, second: Features) -> Match | None:
    """How the whole pictures lie over each other, mirrored and turned by quarters, if one way clearly agrees.

    Costs a fifth of a millisecond and needs no features.
    """
    likeness = _likeness(first, second)
    if max(likeness) < _FRAMES_AGREE:
        return None
    return _by_frames(first, second, Match(), likeness, count_features=False)


def _rank(match: Match) -> float:
    """The better of two explanations: more inliers, where they explain what is seen."""
    seen = match.agreement.structure
    return (min(match.inliers, 100) / 20 + 2 * (match.model != "none")) * (0.2 + seen) + 4 * seen * (seen > _SURE)


def _by_features(first: Features, second: Features, *, flip: bool) -> Match:
    source = mirrored(first) if flip else first
    pairs = match(source, second)
    found = fit_transform(pairs, source.work, second.work)
    if found is None:
        return Match(matches=len(pairs))
    return _match_of(first, second, found, pairs, flip=flip)


def _match_of(first: Features, second: Features, found: Fit, pairs: Pairs, *, flip: bool) -> Match:
    matrix = _in_shares(found.matrix, first, second, flip=flip)
    a, b = pairs.first[found.inliers, :2], pairs.second[found.inliers, :2]
    points = np.concatenate(((a + 0.5) / first.work, (b + 0.5) / second.work), axis=1).astype(np.float32)
    if flip:
        points[:, 0] = 1 - points[:, 0]
    model: Model = "homography" if found.perspective else "similarity"
    whole = Match(
        inliers=len(found.inliers),
        matches=len(pairs),
        model=model,
        mirrored=flip,
        points=points,
        residual=found.residual * _RESIDUAL_SIDE / max(*second.work, 1),
    )
    return _described(whole, first, second, matrix)


def _by_frames(
    first: Features,
    second: Features,
    best: Match,
    likeness: list[float] | None = None,
    *,
    count_features: bool = True,
) -> Match:
    """The best of the eight ways to lay one whole picture on the other."""
    likeness = likeness or _likeness(first, second)
    turn, flip = _WAYS[int(np.argmax(likeness))]
    if max(likeness) < 0.5:
        return best
    matrix = _quarter(turn) @ (_MIRROR if flip else np.eye(3))
    whole = Match(matches=best.matches, model="frame", mirrored=flip)
    return _described(whole, first, second, matrix, count_features=count_features)


_WAYS = [(turn, flip) for flip in (False, True) for turn in range(4)]


def _likeness(first: Features, second: Features) -> list[float]:
    """The correlation of the whole pictures in each of the eight ways."""
    a, b = _tiny(first), _tiny(second)
    return [float((np.rot90(a[:, ::-1] if flip else a, -turn) * b).mean()) for turn, flip in _WAYS]


def upright_likeness(first: Features, second: Features) -> float:
    """The correlation of the whole pictures as they are."""
    return float((_tiny(first) * _tiny(second)).mean())


_MIRROR = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])


def _quarter(turns: int) -> Matrix:
    """`turns` quarter turns clockwise of the unit square."""
    once = np.array([[0.0, -1, 1], [1, 0, 0], [0, 0, 1]])
    return np.asarray(np.linalg.matrix_power(once, turns), np.float64)


def _tiny(features: Features) -> NDArray[np.float32]:
    """The picture as 32 x 32 grey pixels of mean 0 and deviation 1."""
    import cv2

    grey = cv2.cvtColor(features.small, cv2.COLOR_RGB2GRAY)
    tiny = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((tiny - tiny.mean()) / max(float(tiny.std()), 2.0), np.float32)


def _in_shares(matrix: Matrix, first: Features, second: Features, *, flip: bool) -> Matrix:
    """From work pixels to shares of either frame, the mirror included."""
    shares = to_shares(second.work) @ matrix @ np.linalg.inv(to_shares(first.work)) @ (_MIRROR if flip else np.eye(3))
    return np.asarray(shares / shares[2, 2], np.float64)


def _described(
    whole: Match, first: Features, second: Features, matrix: Matrix, *, count_features: bool = True
) -> Match:
    """The match with all that follows from its transform."""
    shape = shape_of(matrix, (first.width, first.height), (second.width, second.height), mirrored=whole.mirrored)
    if not plausible(shape):
        return Match(matches=whole.matches)
    described = replace(with_shape(whole, matrix, shape), richest=UNCOUNTED, agreement=_seen(first, second, matrix))
    return with_feature_counts(described, first, second) if count_features else described


def with_shape(match: Match, matrix: Matrix, shape: Shape) -> Match:
    """The match with a transform of shares and what it does, by `shape_of`."""
    return replace(
        match,
        transform=matrix,
        turn=shape.turn,
        scale=shape.scale,
        aspect=shape.aspect,
        outline=shape.outline,
        kept_first=shape.kept_first,
        kept_second=shape.kept_second,
    )


def with_transform(match: Match, matrix: Matrix, first: Features, second: Features) -> Match:
    """The match with another transform of shares, and what follows from it; as it was where that is not plausible."""
    shape = shape_of(matrix, (first.width, first.height), (second.width, second.height), mirrored=match.mirrored)
    return with_shape(match, matrix, shape) if plausible(shape) else match


def with_feature_counts(match: Match, first: Features, second: Features) -> Match:
    """The match with `richness` and `richest`, for which features are looked for."""
    richest = round(max(_richness(first), _richness(second)))
    return replace(match, richness=min(len(first), len(second)), richest=richest)


def _richness(features: Features) -> float:
    """How many features, as of 600 that may be found; those of an icon that was enlarged count for less."""
    return (
        len(features)
        * COUNT
        / features.count
        * min(1.0, max(0.5, max(features.width, features.height) / max(features.work)))
    )


def _seen(first: Features, second: Features, matrix: Matrix) -> Agreement:
    """Compared in the frame of the second, where pixels of the small pictures are."""
    a, b = first.small, second.small
    into, out = (to_shares((image.shape[1], image.shape[0])) for image in (a, b))
    return agreement(a, b, np.linalg.inv(out) @ matrix @ into)


def to_shares(size: tuple[int, int]) -> Matrix:
    """Pixels, whose centres are whole numbers, to shares of a picture of (width, height)."""
    width, height = size
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
