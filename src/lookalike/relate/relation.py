"""The relation of two pictures, with its probability and the evidence for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.content.content import Content
from lookalike.relate.content.quality import too_poor
from lookalike.relate.examine import agrees, examine, frames_agree, is_proven, same_pixels
from lookalike.relate.geometry.features import Features
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.calibration_model import EVENS, Calibration, undecided
from lookalike.similarity import cosine
from lookalike.types import RGB, Relation

Depth = Literal["frames", "points", "detail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of one picture. Each part may be missing; more of them make the verdict surer.

    `vector`: (dim,) of length 1. `features`: by `find_features` or `features_of`. `sha256`: of the file. `load`: reads
    the picture at about a side in pixels, None where it is out of reach; it is asked only where more detail decides.
    """

    name: str = ""
    vector: NDArray[np.float32] | None = None
    features: Features | None = None
    sha256: str = ""
    load: Callable[[int], RGB | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a verdict rests on. `match` is None where the geometry was not looked at, `content` where contents were not
    compared: the pictures do not lie over each other, or only the score is known.
    """

    score: float | None = None
    match: Match | None = None
    content: Content | None = None
    same_bytes: bool = False
    same_pixels: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`relation`, and the `probability` that it is this one or a stronger one.

    `copy`: P(copy or identical), whatever the relation. `expected_false_matches`: how many unrelated pictures of the
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
    look: bool = True,
    depth: Depth = "detail",
) -> Verdict:
    """The relation of two pictures.

    `size`: pictures in the collection that the second came from; `level`: the query's, by `Calibration.level_of`.
    `look`: verify by geometry; without it, or without features, the score speaks alone. `depth`: how far to look:
    "frames" knows copies whose whole frame is there, mirrored or turned by quarters too (1 to 5 ms); "points" also
    crops and rotations, by thumbnails (5 to 20 ms); "detail" looks at the files where thumbnails prove nothing (0.1 s).
    """
    if first.sha256 and first.sha256 == second.sha256:
        return _same(first, second, bytes_too=True)
    score = _score(first, second)
    if not look or first.features is None or second.features is None:
        return weigh(Evidence(score=score), calibration, size=size, level=level)
    if same_pixels(first, second):
        return _same(first, second, bytes_too=False)
    if depth == "frames":
        found = frames_agree(first, second)
    else:
        found = examine(first, second, score, calibration, thorough=depth == "detail")
    if found is None:
        return weigh(Evidence(score=score), calibration, size=size, level=level)
    evidence = Evidence(score=score, match=found[0], content=found[1])
    verdict = weigh(evidence, calibration, size=size, level=level)
    if reason := _no_verdict(verdict, first, second, strangers_too=depth == "detail"):
        return weigh(replace(evidence, reason=reason), calibration, size=size, level=level)
    return verdict


def _no_verdict(verdict: Verdict, first: Subject, second: Subject, *, strangers_too: bool) -> str:
    """Why nothing can be said after all; empty where something can. To be told of strangers, it costs 20 ms."""
    match, content = verdict.evidence.match, verdict.evidence.content
    if match is not None and content is None and verdict.copy >= EVENS:
        return _NOTHING_TO_COMPARE
    if not strangers_too and verdict.copy < _OPEN:
        return ""
    # What agrees in so much detail is not too poor to be judged.
    if verdict.copy >= _SURE or (match is not None and is_proven((match, content))):
        return ""
    return _too_poor(first, second, few_points=content is not None and agrees(content))


def weigh(evidence: Evidence, calibration: Calibration, *, size: int = 1, level: float = 0.0) -> Verdict:
    """From evidence to verdict."""
    score, match = evidence.score, evidence.match
    false = None
    if score is not None:
        expected = calibration.expected_false(np.array([score]), size, level=level)
        false = None if expected is None else float(expected[0])
    if match is not None:
        copy = calibration.copy_by_match(score, match, evidence.content)
        variant = max(copy, calibration.layout_by_match(match))
        same = max(variant, calibration.same_by_match(match))
    else:
        copy = 0.0 if score is None else float(calibration.copy_by_score(np.array([score]))[0])
        variant = same = copy
    # One true match is expected against the false ones: a prior of evens for the best hit of a search. Two pictures
    # that nobody searched for are taken for the best hit among as many as a small collection has.
    rarity = None if false is None else false * (_AMONG if size <= 1 else 1)
    related = max(same, 0.0 if rarity is None else 1 / (1 + rarity))
    relation, probability = _strongest(
        {Relation.COPY: copy, Relation.VARIANT: variant, Relation.SAME_OBJECT: same, Relation.RELATED: related}
    )
    doubt = undecided(match, evidence.content) if match is not None and same >= EVENS else ""
    if doubt or (evidence.reason and copy < _SURE):
        even = EVENS if doubt else copy
        relation, probability = Relation.CANNOT_TELL, 1.0 - abs(2 * even - 1)
        evidence = replace(evidence, reason=evidence.reason or f"these are {doubt}")
    return Verdict(
        relation=relation, probability=probability, copy=copy, expected_false_matches=false, evidence=evidence
    )


_AMONG = 1000
_NOTHING_TO_COMPARE = "they are laid out alike, and there is too little to compare"
_OPEN = 0.3  # P(copy) below which nobody asks whether the pictures are too poor to be judged
_SURE = 0.98  # a plain picture may still be a copy beyond doubt


_CLAIM = {Relation.COPY: 0.75, Relation.VARIANT: 0.75, Relation.SAME_OBJECT: 0.5, Relation.RELATED: 0.5}
"""From which probability a relation is claimed. A false copy does more harm than one that is called the same object."""


def _strongest(chances: dict[Relation, float]) -> tuple[Relation, float]:
    for relation, chance in chances.items():
        if chance >= _CLAIM[relation]:
            return relation, chance
    return Relation.UNRELATED, 1 - max(chances.values())


def _same(first: Subject, second: Subject, *, bytes_too: bool) -> Verdict:
    evidence = Evidence(score=_score(first, second), same_bytes=bytes_too, same_pixels=True)
    return Verdict(
        relation=Relation.IDENTICAL, probability=1.0, copy=1.0, expected_false_matches=0.0, evidence=evidence
    )


def _score(first: Subject, second: Subject) -> float | None:
    if first.vector is None or second.vector is None:
        return None
    return float(cosine(np.atleast_2d(first.vector), np.atleast_2d(second.vector))[0, 0])


def _too_poor(first: Subject, second: Subject, *, few_points: bool) -> str:
    """Why one of the two cannot be judged; empty where both can."""
    for subject in (first, second):
        if subject.features is not None and (reason := too_poor(subject.features, few_points=few_points)):
            return f"{subject.name or 'a picture'} is {reason}"
    return ""
