"""Look at two pictures in the order of what it costs, and stop where it is proven: frames, points, content, detail."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from lookalike.relate.content.content import COARSE, FINE, Content, Overlap, compare_content, overlap_of, refined
from lookalike.relate.geometry.features import SIDE, SMALL, Features, find_features
from lookalike.relate.geometry.verify import ENOUGH, Match, frame_match, verify, with_feature_counts, with_transform
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.types import RGB

FINE_SIDE = 768  # the short side that `load` is asked for: the long side of a page is then about 1,000
_PROVEN_TYPICAL, _PROVEN_STRONGEST = 0.93, 0.08  # frames that agree so well need no points
_PROVEN_WINDOWS = 40  # of something to see: a soft gradient agrees with any other
_REFINED_SIDE = 512  # pixels at which a transform is brought nearer
_DRAWN = 0.25  # from which frames alone prove nothing
LEGIBLE = 0.4  # `drawn_share` from which small text may decide, and the files are looked at
_WORTH = 0.05  # P(copy) from which the contents are compared
_PROMISING = 0.05, 0.35  # P(copy | score) from which a second look is worth its time; and where thousands are looked at
_UNDECIDED = 0.75  # P(copy) below which more detail may find more
_SMALL_PART = 0.05  # of either picture: too small in a thumbnail to compare what it shows
_THUMBNAIL_NOISE = 12.0  # levels: by which a thumbnail differs from its picture
_ELSEWHERE, _THERE = 0.95, 0.3  # agreement of a page, and disagreement in one place, that settle it
_ELSEWHERE_LAID = 0.45  # of windows differ: whole frames are not off by a little
_MOSTLY, _SOME = 0.9, 0.75  # typical agreement of two pages, and that of their worst tenth
_HINT = 5  # inliers that are worth a second look
_LIKELY = 0.5  # P(copy) from which fine print is read


class Viewed(Protocol):
    """What is looked at: see `relation.Subject`."""

    @property
    def features(self) -> Features | None: ...
    @property
    def load(self) -> Callable[[int], RGB | None] | None: ...


Finding = tuple[Match, Content | None]


def examine(first: Viewed, second: Viewed, score: float | None, calibration: Calibration, *, thorough: bool) -> Finding:
    """How the first picture lies in the second, and how their contents compare there. Both have features.

    `thorough`: where thumbnails prove nothing, points are looked for in more detail.
    """
    a, b = first.features, second.features
    assert a is not None
    assert b is not None
    if (found := frames_agree(first, second)) is not None:
        return found

    def chance(finding: Finding) -> float:
        return calibration.copy_by_match(score, *finding)

    found = _by_points(a.coarser, b.coarser, chance, pictures=(a, b))
    if is_proven(found):
        # A pixel of 128 is eight of a photograph: overlays of the two would show it.
        match = verify(a, b) if thorough else Match()
        if match.inliers < found[0].inliers:
            match = with_transform(found[0], refined(a.picture, b.picture, found[0].transform, side=SMALL), a, b)
        found = match, found[1]
    elif thorough or (not _is_settled(found[1]) and _promising(found, score, calibration, thorough=False)):
        found = max(_by_points(a, b, chance), found, key=chance)
    if thorough and chance(found) < _UNDECIDED and _promising(found, score, calibration, thorough=True):
        finer = [_finer(one) for one in (first, second)]
        if finer[0] is not None and finer[1] is not None and (finer[0] is not a or finer[1] is not b):
            found = max(_by_points(finer[0], finer[1], chance), found, key=chance)
    content = found[1]
    if content is not None and content.drawn > LEGIBLE and chance(found) >= _LIKELY:
        return _read_closely(first, second, found[0], content)
    return found


def same_pixels(first: Viewed, second: Viewed) -> bool:
    """Whether both have the same pixels in different files; thumbnails only hint at it, then the files are asked."""
    a, b = first.features, second.features
    if a is None or b is None or (a.width, a.height) != (b.width, b.height):
        return False
    if any(a.digest) and any(b.digest):
        return a.digest == b.digest
    # Two thumbnails of the same pixels are the same; a picture and a thumbnail differ by what its JPEG lost.
    noise = _THUMBNAIL_NOISE if any(a.digest) or any(b.digest) else 0.0
    if a.work != b.work or float(np.abs(a.picture.astype(np.int16) - b.picture).mean()) > noise:
        return False
    # At one side both are reduced alike, so the same pixels stay the same.
    wholes = [None if one.load is None else one.load(FINE_SIDE) for one in (first, second)]
    return wholes[0] is not None and wholes[1] is not None and np.array_equal(wholes[0], wholes[1])


def frames_agree(first: Viewed, second: Viewed) -> Finding | None:
    """Pictures whose whole frames agree everywhere, or pages that agree but for what is filled in; else None."""
    a, b = first.features, second.features
    if a is None or b is None:
        return None
    match = frame_match(a, b)
    if match is None or match.model == "none":
        return None
    # Photographs that lie otherwise are laid over each other by points; pages are nearly always laid out so.
    drawn = max(a.drawn, b.drawn)
    if drawn > LEGIBLE:
        content = _best_content(a.picture, b.picture, match, side=COARSE, drawn=drawn)
    else:
        content = compare_content(
            a.picture, b.picture, match.transform, negative=match.negative, side=COARSE, drawn=drawn
        )
    if content is not None and _is_other_page(content):
        return match, content
    if content is None or not agrees(content):
        return None
    if content.drawn > _DRAWN:  # whether it is a drawing of a few shapes is known by the number of its features
        match = with_feature_counts(match, a, b)
    # Also for who asks for frames only: two invoices agree in a thumbnail.
    return _read_closely(first, second, match, content) if content.drawn > LEGIBLE else (match, content)


def _by_points(
    a: Features, b: Features, chance: Callable[[Finding], float], *, pictures: tuple[Features, Features] | None = None
) -> Finding:
    """`pictures`: what the contents are compared in, where points were found in something smaller."""
    match = verify(a, b)
    small = min(match.kept_first, match.kept_second) < _SMALL_PART
    if match.model == "none" or small or (match.inliers < ENOUGH and chance((match, None)) < _WORTH):
        return match, None
    return match, _content(*(pictures or (a, b)), match)


def is_proven(found: Finding) -> bool:
    """Whether more detail would change nothing: enough points, and the contents agree wherever they can be compared."""
    match, content = found
    if content is None or match.inliers < 2 * ENOUGH:
        return False
    return agrees(content)


def agrees(content: Content | Overlap) -> bool:
    """Whether there is enough to compare, and it agrees wherever it is."""
    enough = content.windows >= _PROVEN_WINDOWS
    return enough and content.typical >= _PROVEN_TYPICAL and content.strongest <= _PROVEN_STRONGEST


def _content(a: Features, b: Features, match: Match) -> Content | None:
    return _best_content(a.picture, b.picture, match, side=COARSE, drawn=max(a.drawn, b.drawn))


def _best_content(first: RGB, second: RGB, match: Match, *, side: int, drawn: float | None) -> Content | None:
    """The contents compared as the points say, and as the pictures themselves say where that is not convincing."""
    found = overlap_of(first, second, match.transform, negative=match.negative, side=side, drawn=drawn)
    if found is None:
        return None
    laid_out = found.strange or agrees(found) or match.negative or _clearly_other(found)
    if not laid_out and not (match.model == "frame" and found.different > _ELSEWHERE_LAID):
        nearer = refined(first, second, match.transform, side=SMALL if side == COARSE else _REFINED_SIDE)
        if nearer is not match.transform:
            again = overlap_of(first, second, nearer, negative=match.negative, side=side, drawn=drawn)
            if again is not None and _disagreement(again) < _disagreement(found):
                found = again
    return found.content()


def _clearly_other(content: Content | Overlap | None) -> bool:
    """Whether a page agrees so well elsewhere that what differs is no fault of the transform: most of one form do."""
    if content is None or content.drawn <= LEGIBLE:
        return False
    return content.strange or (content.typical >= _ELSEWHERE and content.strongest >= _THERE)


def _is_other_page(content: Content | None) -> bool:
    """Whether two pages that were brought as near as they come agree in most, and in some places not at all.

    A re-scan that is laid over its page as well as that agrees everywhere; one that is not agrees in less.
    """
    if content is None or content.drawn <= LEGIBLE or content.typical < _MOSTLY:
        return False
    return content.strongest >= _THERE and content.low < _SOME


def _is_settled(content: Content | None) -> bool:
    return _clearly_other(content) or _is_other_page(content)


def _disagreement(content: Content | Overlap) -> float:
    return content.strongest + 2 * content.different - content.low


def _promising(found: Finding, score: float | None, calibration: Calibration, *, thorough: bool) -> bool:
    """Whether a second look costs less than what it may find."""
    if found[0].inliers >= _HINT:
        return True
    return score is not None and float(calibration.copy_by_score(np.array([score]))[0]) >= _PROMISING[not thorough]


def _finer(one: Viewed) -> Features | None:
    """Features at 512 pixels, those at hand where they are as fine or the file is out of reach."""
    features = one.features
    if features is None or max(features.work) >= SIDE or max(features.width, features.height) <= max(features.work):
        return features
    picture = None if one.load is None else one.load(SIDE)
    return features if picture is None else find_features(picture, size=(features.width, features.height))


def _read_closely(first: Viewed, second: Viewed, match: Match, coarse: Content) -> Finding:
    """The contents compared at a size at which text is legible; as they were where the files are out of reach.

    Where they do not agree the fault may lie in the transform: it is found again from points of the larger pictures.
    """
    wholes = [None if one.load is None else one.load(FINE_SIDE) for one in (first, second)]
    if wholes[0] is None or wholes[1] is None:
        return match, coarse
    fine = _best_content(wholes[0], wholes[1], match, side=FINE, drawn=None)
    if fine is None:
        return match, coarse
    if fine.strongest > _PROVEN_STRONGEST:
        finer = [find_features(whole) for whole in wholes if whole is not None]
        nearer = verify(finer[0], finer[1])
        if nearer.inliers >= ENOUGH:
            again = _best_content(wholes[0], wholes[1], nearer, side=FINE, drawn=None)
            if again is not None and _disagreement(again) < _disagreement(fine):
                return nearer, again
    return match, fine
