"""Compare two images in steps of increasing cost, and stop at the first proof: frames, points, content, detail."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from lookalike.relate.content.content import (
    COARSE,
    FINE,
    Content,
    Overlap,
    compare_content,
    overlap_of,
    refine_transform,
)
from lookalike.relate.geometry.features import SIDE, SMALL, Features, find_features
from lookalike.relate.geometry.verify import (
    MIN_INLIERS,
    Match,
    match_whole_frames,
    verify,
    with_feature_counts,
    with_transform,
)
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.types import RGB

FINE_SIDE = 768  # the short side requested from `load`; the long side of a page is then about 1,000
_MIN_TYPICAL, _MAX_STRONGEST = 0.93, 0.08  # whole frames that agree this well need no points
_MIN_WINDOWS = 40  # windows with contrast; a soft gradient agrees with any other
_REFINE_SIDE = 512  # pixels at which a transform is refined
_MAX_DRAWN_FRAMES = 0.25  # `drawn` from which whole frames alone prove nothing
LEGIBLE = 0.4  # `drawn_share` from which small text may decide, so that the files are read
_MIN_COPY_TO_COMPARE = 0.05  # P(copy) from which the contents are compared
# P(copy | score) from which a second attempt is worth its time: with `thorough`, and without
_MIN_SCORE_COPY = 0.05, 0.35
_MAX_COPY_TO_RETRY = 0.75  # P(copy) below which more detail may find more
_MIN_PART = 0.05  # of either image; a smaller part is too small in a thumbnail to compare its content
_THUMBNAIL_NOISE = 12.0  # gray levels by which a thumbnail differs from its image
_SETTLED_TYPICAL, _SETTLED_STRONGEST = 0.95, 0.3  # typical agreement and strongest disagreement that settle a page
_MAX_FRAME_DIFFERENT = 0.45  # share of windows; whole frames are not off by a little
_OTHER_PAGE_TYPICAL, _OTHER_PAGE_LOW = 0.9, 0.75  # typical agreement of two pages, and that of their worst tenth
_MIN_HINT_INLIERS = 5  # inliers that are worth a second attempt
_MIN_COPY_FOR_DETAIL = 0.5  # P(copy) from which small text is compared


class Viewable(Protocol):
    """An image that can be examined; see `relation.Subject`."""

    @property
    def features(self) -> Features | None: ...
    @property
    def load(self) -> Callable[[int], RGB | None] | None: ...


Examination = tuple[Match, Content | None]


def examine(
    first: Viewable, second: Viewable, score: float | None, calibration: Calibration, *, thorough: bool
) -> Examination:
    """Return how the first image lies in the second, and how their contents compare there. Both must have features.

    `thorough`: if thumbnails prove nothing, find features in more detail.
    """
    a, b = first.features, second.features
    assert a is not None
    assert b is not None
    if (best := match_frames(first, second)) is not None:
        return best

    def copy_probability(finding: Examination) -> float:
        return calibration.copy_by_match(score, *finding)

    best = _match_points(a.coarser, b.coarser, copy_probability, content_features=(a, b))
    if is_proven(best):
        # One pixel of 128 is eight pixels of a photograph, which an overlay of the two would show.
        match = verify(a, b) if thorough else Match()
        if match.inliers < best[0].inliers:
            match = with_transform(best[0], refine_transform(a.picture, b.picture, best[0].transform, side=SMALL), a, b)
        best = match, best[1]
    elif thorough or (not _is_settled(best[1]) and _is_worth_retry(best, score, calibration, thorough=False)):
        best = max(_match_points(a, b, copy_probability), best, key=copy_probability)
    if (
        thorough
        and copy_probability(best) < _MAX_COPY_TO_RETRY
        and _is_worth_retry(best, score, calibration, thorough=True)
    ):
        finer = [_finer_features(one) for one in (first, second)]
        if finer[0] is not None and finer[1] is not None and (finer[0] is not a or finer[1] is not b):
            best = max(_match_points(finer[0], finer[1], copy_probability), best, key=copy_probability)
    content = best[1]
    if content is not None and content.drawn > LEGIBLE and copy_probability(best) >= _MIN_COPY_FOR_DETAIL:
        return _compare_fine(first, second, best[0], content)
    return best


def same_pixels(first: Viewable, second: Viewable) -> bool:
    """Return whether two different files have the same pixels. Thumbnails only hint at it; the files decide."""
    a, b = first.features, second.features
    if a is None or b is None or (a.width, a.height) != (b.width, b.height):
        return False
    if any(a.digest) and any(b.digest):
        return a.digest == b.digest
    # Two thumbnails of the same pixels are equal; an image and a thumbnail differ by the loss of the thumbnail's JPEG.
    noise = _THUMBNAIL_NOISE if any(a.digest) or any(b.digest) else 0.0
    if a.work != b.work or float(np.abs(a.picture.astype(np.int16) - b.picture).mean()) > noise:
        return False
    # Both are reduced to the same side in the same way, so equal pixels stay equal.
    images = [None if one.load is None else one.load(FINE_SIDE) for one in (first, second)]
    return images[0] is not None and images[1] is not None and np.array_equal(images[0], images[1])


def match_frames(first: Viewable, second: Viewable) -> Examination | None:
    """Return the match of two images whose whole frames agree, or of two pages that differ only in what is filled in.

    None for all other pairs.
    """
    a, b = first.features, second.features
    if a is None or b is None:
        return None
    match = match_whole_frames(a, b)
    if match is None or match.model == "none":
        return None
    # Photographs with another placement are aligned by points; pages nearly always have the same layout.
    drawn = max(a.drawn, b.drawn)
    if drawn > LEGIBLE:
        content = _compare_refined(a.picture, b.picture, match, side=COARSE, drawn=drawn)
    else:
        content = compare_content(
            a.picture, b.picture, match.transform, negative=match.negative, side=COARSE, drawn=drawn
        )
    if content is not None and _is_other_page(content):
        return match, content
    if content is None or not agrees(content):
        return None
    if content.drawn > _MAX_DRAWN_FRAMES:  # the number of features tells whether it is a drawing of a few shapes
        match = with_feature_counts(match, a, b)
    # Also with depth "frames": two invoices agree in a thumbnail.
    return _compare_fine(first, second, match, content) if content.drawn > LEGIBLE else (match, content)


def _match_points(
    a: Features,
    b: Features,
    copy_probability: Callable[[Examination], float],
    *,
    content_features: tuple[Features, Features] | None = None,
) -> Examination:
    """Match by features. `content_features`: images to compare the contents in, if the features are of smaller ones."""
    match = verify(a, b)
    small = min(match.kept_first, match.kept_second) < _MIN_PART
    if (
        match.model == "none"
        or small
        or (match.inliers < MIN_INLIERS and copy_probability((match, None)) < _MIN_COPY_TO_COMPARE)
    ):
        return match, None
    return match, _compare_coarse(*(content_features or (a, b)), match)


def is_proven(examination: Examination) -> bool:
    """Return whether more detail would change nothing: enough points, and contents that agree wherever comparable."""
    match, content = examination
    if content is None or match.inliers < 2 * MIN_INLIERS:
        return False
    return agrees(content)


def agrees(content: Content | Overlap) -> bool:
    """Return whether there is enough to compare and all of it agrees."""
    has_enough = content.windows >= _MIN_WINDOWS
    return has_enough and content.typical >= _MIN_TYPICAL and content.strongest <= _MAX_STRONGEST


def _compare_coarse(a: Features, b: Features, match: Match) -> Content | None:
    return _compare_refined(a.picture, b.picture, match, side=COARSE, drawn=max(a.drawn, b.drawn))


def _compare_refined(first: RGB, second: RGB, match: Match, *, side: int, drawn: float | None) -> Content | None:
    """Compare the contents by the transform of the points, and by a refined transform if the result is inconclusive."""
    overlap = overlap_of(first, second, match.transform, negative=match.negative, side=side, drawn=drawn)
    if overlap is None:
        return None
    is_settled = overlap.unrelated or agrees(overlap) or match.negative or _clearly_other(overlap)
    if not is_settled and not (match.model == "frame" and overlap.different > _MAX_FRAME_DIFFERENT):
        nearer = refine_transform(first, second, match.transform, side=SMALL if side == COARSE else _REFINE_SIDE)
        if nearer is not match.transform:
            again = overlap_of(first, second, nearer, negative=match.negative, side=side, drawn=drawn)
            if again is not None and _disagreement(again) < _disagreement(overlap):
                overlap = again
    return overlap.content()


def _clearly_other(content: Content | Overlap | None) -> bool:
    """Return whether a page agrees so well elsewhere that the transform cannot explain the difference.

    This is the case for most pairs of pages of one form.
    """
    if content is None or content.drawn <= LEGIBLE:
        return False
    return content.unrelated or (content.typical >= _SETTLED_TYPICAL and content.strongest >= _SETTLED_STRONGEST)


def _is_other_page(content: Content | None) -> bool:
    """Return whether two pages with a refined transform agree in most places, and in some places not at all.

    A re-scan that is aligned as well as that agrees everywhere; one that is not agrees in less.
    """
    if content is None or content.drawn <= LEGIBLE or content.typical < _OTHER_PAGE_TYPICAL:
        return False
    return content.strongest >= _SETTLED_STRONGEST and content.low < _OTHER_PAGE_LOW


def _is_settled(content: Content | None) -> bool:
    return _clearly_other(content) or _is_other_page(content)


def _disagreement(content: Content | Overlap) -> float:
    return content.strongest + 2 * content.different - content.low


def _is_worth_retry(examination: Examination, score: float | None, calibration: Calibration, *, thorough: bool) -> bool:
    """Return whether a second attempt costs less than what it may find."""
    if examination[0].inliers >= _MIN_HINT_INLIERS:
        return True
    return score is not None and float(calibration.copy_by_score(np.array([score]))[0]) >= _MIN_SCORE_COPY[not thorough]


def _finer_features(one: Viewable) -> Features | None:
    """Return features at 512 pixels, or the present ones if they are as fine or the file is unavailable."""
    features = one.features
    if features is None or max(features.work) >= SIDE or max(features.width, features.height) <= max(features.work):
        return features
    image = None if one.load is None else one.load(SIDE)
    return features if image is None else find_features(image, size=(features.width, features.height))


def _compare_fine(first: Viewable, second: Viewable, match: Match, coarse: Content) -> Examination:
    """Compare the contents at a size at which text is legible; return `coarse` if the files are unavailable.

    If they do not agree, the transform may be at fault: it is fitted again to points of the larger images.
    """
    images = [None if one.load is None else one.load(FINE_SIDE) for one in (first, second)]
    if images[0] is None or images[1] is None:
        return match, coarse
    fine = _compare_refined(images[0], images[1], match, side=FINE, drawn=None)
    if fine is None:
        return match, coarse
    if fine.strongest > _MAX_STRONGEST:
        finer = [find_features(image) for image in images if image is not None]
        nearer = verify(finer[0], finer[1])
        if nearer.inliers >= MIN_INLIERS:
            again = _compare_refined(images[0], images[1], nearer, side=FINE, drawn=None)
            if again is not None and _disagreement(again) < _disagreement(fine):
                return nearer, again
    return match, fine
