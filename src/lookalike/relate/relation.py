"""The relation of two images, with its probability and the evidence for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.content.content import Content
from lookalike.relate.content.quality import too_poor
from lookalike.relate.content.regions import swap_region
from lookalike.relate.examine import LEGIBLE, Examination, agrees, examine, is_proven, match_frames, same_pixels
from lookalike.relate.geometry.features import Features
from lookalike.relate.geometry.verify import Match, inverse_match
from lookalike.relate.probability.calibration_model import HALF, Ambiguity, Calibration, undecided_reason
from lookalike.relate.words.sentences import ambiguity_phrase, quality_phrase
from lookalike.similarity import cosine
from lookalike.types import RGB, Relation

Depth = Literal["frames", "points", "detail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of one image. Each part may be missing; the more there is, the surer the verdict.

    `vector`: (dim,) of length 1. `features`: from `find_features` or `features_of`. `sha256`: of the file. `load`:
    reads the image at about the given side in pixels and returns None if it is unavailable; it is called only where
    more detail decides.
    """

    name: str = ""
    vector: NDArray[np.float32] | None = None
    features: Features | None = None
    sha256: str = ""
    load: Callable[[int], RGB | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a verdict rests on.

    `match` is None if the geometry was not verified. `content` is None if the contents were not compared: the images
    do not overlap, or only the score is known.
    """

    score: float | None = None
    match: Match | None = None
    content: Content | None = None
    same_bytes: bool = False
    same_pixels: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A relation, and the `probability` that it is this one or a stronger one.

    `copy`: P(copy or identical), whatever the relation. `expected_false_matches`: how many unrelated images of the
    collection would score as high for this query; None without a collection or a calibrated model.
    """

    relation: Relation
    probability: float
    copy: float
    expected_false_matches: float | None
    evidence: Evidence


def judge(
    first: Subject,
    second: Subject,
    calibration: Calibration,
    *,
    size: int = 1,
    level: float = 0.0,
    verify_geometry: bool = True,
    depth: Depth = "detail",
) -> Verdict:
    """Return the relation of two images.

    `size`: number of images in the collection that the second one comes from. `level`: the query's level, from
    `Calibration.level_of`. `verify_geometry`: compare features and contents; without it, or without features, the
    score alone decides. `depth`: how much to compare. "frames" recognizes copies with their whole frame, also mirrored
    or turned by quarter turns (1 to 5 ms); "points" also crops and rotations, by thumbnails (5 to 20 ms); "detail" also
    reads the files if thumbnails prove nothing (0.1 s).

    The verdict does not depend on which of the two is first: they are examined in an order that follows from the images
    (`is_in_order`), and the verdict is swapped if it was the other one.
    """
    if not is_in_order(first, second):
        verdict = judge(
            second, first, calibration, size=size, level=level, verify_geometry=verify_geometry, depth=depth
        )
        return swap_sides(verdict, _size(second), _size(first))
    if first.sha256 and first.sha256 == second.sha256:
        return _identical(first, second, same_bytes=True)
    score = _score(first, second)
    if not verify_geometry or first.features is None or second.features is None:
        return to_verdict(Evidence(score=score), calibration, size=size, level=level)
    if same_pixels(first, second):
        return _identical(first, second, same_bytes=False)
    if depth == "frames":
        examination = match_frames(first, second) or (None, None)
    else:
        examination = _examine_both_ways(first, second, score, calibration, thorough=depth == "detail")
    evidence = Evidence(score=score, match=examination[0], content=examination[1])
    verdict = to_verdict(evidence, calibration, size=size, level=level)
    check_strangers = depth == "detail"
    reason = (
        "" if evidence.match is None else _cannot_tell_reason(verdict, first, second, check_strangers=check_strangers)
    )
    return to_verdict(replace(evidence, reason=reason), calibration, size=size, level=level) if reason else verdict


def is_in_order(first: Subject, second: Subject) -> bool:
    """Return whether the first image is the larger one, in doubt the one whose file has the lower hash."""
    a, b = first.features, second.features
    if a is None or b is None:
        return True
    pixels_a, pixels_b = a.width * a.height, b.width * b.height
    if pixels_a != pixels_b or first.sha256 != second.sha256:
        return (-pixels_a, first.sha256) < (-pixels_b, second.sha256)
    return a.picture.tobytes() <= b.picture.tobytes()


def _size(subject: Subject) -> tuple[int, int]:
    return (0, 0) if subject.features is None else (subject.features.width, subject.features.height)


def swap_sides(verdict: Verdict, first: tuple[int, int], second: tuple[int, int]) -> Verdict:
    """Turn the verdict of (a, b) into that of (b, a). `first`, `second`: (width, height) of a and of b, in pixels."""
    evidence = verdict.evidence
    if evidence.match is None or evidence.match.model == "none":
        return verdict
    match, content = _swapped(evidence.match, evidence.content, first, second)
    return replace(verdict, evidence=replace(evidence, match=match, content=content))


def _swapped(match: Match, content: Content | None, first: tuple[int, int], second: tuple[int, int]) -> Examination:
    match = inverse_match(match, first, second)
    if content is not None:
        content = replace(content, regions=tuple(swap_region(region, match.transform) for region in content.regions))
    return match, content


def _examine_both_ways(
    first: Subject, second: Subject, score: float | None, calibration: Calibration, *, thorough: bool
) -> Examination:
    """Return how the first image lies in the second; of two photographs in doubt also the reverse, the better of both.

    Of 540 pairs of edits of one photo 392 are proven copies one way, 389 the other way, and 409 in one of the two.
    """
    match, content = examine(first, second, score, calibration, thorough=thorough)
    copy = calibration.copy_by_match(score, match, content)
    if content is None or content.drawn > LEGIBLE or not _MIN_DOUBTFUL_COPY <= copy < _MAX_DOUBTFUL_COPY:
        return match, content
    reverse = examine(second, first, score, calibration, thorough=thorough)
    if reverse[0].model == "none" or calibration.copy_by_match(score, *reverse) <= copy:
        return match, content
    return _swapped(*reverse, _size(second), _size(first))


def _cannot_tell_reason(verdict: Verdict, first: Subject, second: Subject, *, check_strangers: bool) -> str:
    """Return why no verdict is possible, or "" if one is. Checking strangers too costs 20 ms."""
    match, content = verdict.evidence.match, verdict.evidence.content
    if match is None:
        return ""
    if content is None and verdict.copy >= HALF:
        return ambiguity_phrase(Ambiguity.TOO_LITTLE_SHARED)
    if not check_strangers and verdict.copy < _MIN_COPY_TO_CHECK:
        return ""
    # Images that agree in so much detail are not too poor to be judged.
    if verdict.copy >= _CERTAIN_COPY or is_proven((match, content)):
        return ""
    return _too_poor_reason(first, second, few_points=content is not None and agrees(content))


def to_verdict(evidence: Evidence, calibration: Calibration, *, size: int = 1, level: float = 0.0) -> Verdict:
    """Turn evidence into a verdict.

    `size`: number of images in the collection. `level`: the query's level, from `Calibration.level_of`.
    """
    score, match = evidence.score, evidence.match
    expected_false = None
    if score is not None:
        expected = calibration.expected_false(np.array([score]), size, level=level)
        expected_false = None if expected is None else float(expected[0])
    if match is not None:
        copy = calibration.copy_by_match(score, match, evidence.content)
        variant = max(copy, calibration.layout_by_match(match))
        same = max(variant, calibration.same_by_match(match))
    else:
        copy = 0.0 if score is None else float(calibration.copy_by_score(np.array([score]))[0])
        variant = same = copy
    # Prior odds of the best hit of a search: one true match to the expected number of false ones.
    # Without a collection, the prior is that of the top hit among 1,000 images.
    rarity = None if expected_false is None else expected_false * (ASSUMED_COLLECTION_SIZE if size <= 1 else 1)
    related = max(same, 0.0 if rarity is None else 1 / (1 + rarity))
    relation, probability = _strongest(
        {Relation.COPY: copy, Relation.VARIANT: variant, Relation.SAME_OBJECT: same, Relation.RELATED: related}
    )
    doubt = undecided_reason(match, evidence.content) if match is not None and same >= HALF else None
    if doubt or (evidence.reason and copy < _CERTAIN_COPY):
        uncertain = HALF if doubt else copy
        relation, probability = Relation.CANNOT_TELL, 1.0 - abs(2 * uncertain - 1)
        if doubt and not evidence.reason:
            evidence = replace(evidence, reason=ambiguity_phrase(doubt))
    return Verdict(
        relation=relation, probability=probability, copy=copy, expected_false_matches=expected_false, evidence=evidence
    )


ASSUMED_COLLECTION_SIZE = 1000
_MIN_COPY_TO_CHECK = 0.3  # P(copy) below which the quality of the images is not checked
_MIN_DOUBTFUL_COPY, _MAX_DOUBTFUL_COPY = 0.3, 0.9  # P(copy) between which an alignment may have failed
_CERTAIN_COPY = 0.98  # P(copy) from which even a plain image is a copy


MIN_CLAIM = {Relation.COPY: 0.75, Relation.VARIANT: 0.75, Relation.SAME_OBJECT: 0.5, Relation.RELATED: 0.5}
"""The probability from which a relation is claimed. A false copy does more harm than a copy called the same object."""


def _strongest(probabilities: dict[Relation, float]) -> tuple[Relation, float]:
    for relation, probability in probabilities.items():
        if probability >= MIN_CLAIM[relation]:
            return relation, probability
    return Relation.UNRELATED, 1 - max(probabilities.values())


def _identical(first: Subject, second: Subject, *, same_bytes: bool) -> Verdict:
    evidence = Evidence(score=_score(first, second), same_bytes=same_bytes, same_pixels=True)
    return Verdict(
        relation=Relation.IDENTICAL, probability=1.0, copy=1.0, expected_false_matches=0.0, evidence=evidence
    )


def _score(first: Subject, second: Subject) -> float | None:
    if first.vector is None or second.vector is None:
        return None
    return float(cosine(np.atleast_2d(first.vector), np.atleast_2d(second.vector))[0, 0])


def _too_poor_reason(first: Subject, second: Subject, *, few_points: bool) -> str:
    """Return why one of the two cannot be judged, or "" if both can."""
    for subject in (first, second):
        features = subject.features
        if features is not None and (quality := too_poor(features, few_points=few_points)):
            return f"{subject.name or 'an image'} is {quality_phrase(quality, features.width, features.height)}"
    return ""
