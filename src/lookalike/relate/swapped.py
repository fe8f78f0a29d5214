"""A verdict of two pictures told from the other side, or of a third that shows the same: nothing is judged twice."""

from dataclasses import replace

import numpy as np

from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region, moved_box
from lookalike.relate.examine import agrees
from lookalike.relate.geometry.transform import Matrix, shape_of
from lookalike.relate.geometry.verify import Match, with_shape
from lookalike.relate.relation import Verdict

_OPPOSITE = {"added": "removed", "removed": "added", "overlay": "uncovered", "uncovered": "overlay"}


def swap_sides(verdict: Verdict, first: tuple[int, int], second: tuple[int, int]) -> Verdict:
    """The verdict of (a, b) as that of (b, a). `first`, `second`: (width, height) of a and of b, in pixels."""
    evidence = verdict.evidence
    if evidence.match is None or evidence.match.model == "none":
        return verdict
    match = _match_back(evidence.match, first, second)
    content = None if evidence.content is None else _content_back(evidence.content, match.transform)
    return replace(verdict, evidence=replace(evidence, match=match, content=content))


def shows_the_same(verdict: Verdict) -> bool:
    """Whether two photographs agree in all that either shows, whole, if perhaps mirrored or turned by quarters."""
    match, content = verdict.evidence.match, verdict.evidence.content
    if verdict.evidence.same_pixels:
        return True
    if match is None or content is None or match.negative or content.drawn > _PAGE or content.recoloured > _RECOLOURED:
        return False
    whole = match.model == "frame" and min(match.kept_first, match.kept_second) > _WHOLE
    return whole and not content.regions and agrees(content)


def chain(first: Verdict, second: Verdict, sizes: tuple[tuple[int, int], tuple[int, int]], score: float) -> Verdict:
    """The verdict of (a, c) from that of (a, b), which show the same, and that of (b, c), which lie over each other.

    `sizes`: (width, height) of a and c. `score`: the cosine of a and c.
    """
    one, other = first.evidence.match, second.evidence.match
    assert other is not None
    matrix: Matrix = other.transform if one is None else np.asarray(other.transform @ one.transform, np.float64)
    matrix = matrix / matrix[2, 2]
    mirrored = other.mirrored != (one is not None and one.mirrored)
    shape = shape_of(matrix, *sizes, mirrored=mirrored)
    match = replace(with_shape(other, matrix, shape), mirrored=mirrored, points=other.points[:0])
    return replace(
        second,
        copy=min(first.copy, second.copy),
        probability=min(first.probability, second.probability),
        expected_false_matches=None,
        evidence=replace(second.evidence, match=match, score=score),
    )


_PAGE = 0.25  # `Content.drawn` from which each word counts
_RECOLOURED = 10.0  # levels
_WHOLE = 0.97


def _match_back(match: Match, first: tuple[int, int], second: tuple[int, int]) -> Match:
    matrix: Matrix = np.asarray(np.linalg.inv(match.transform), np.float64)
    matrix = matrix / matrix[2, 2]
    seen = match.agreement
    return replace(
        with_shape(match, matrix, shape_of(matrix, second, first, mirrored=match.mirrored)),
        points=match.points[:, [2, 3, 0, 1]],
        agreement=replace(seen, first_inside=seen.second_inside, second_inside=seen.first_inside),
    )


def _content_back(content: Content, back: Matrix) -> Content:
    regions = tuple(
        Region(_OPPOSITE.get(region.kind, region.kind), moved_box(region.box, back), region.area)
        for region in content.regions
    )
    return replace(content, regions=regions)
