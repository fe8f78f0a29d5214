"""Derive verdicts from other verdicts instead of judging again: with sides swapped, or through a third image."""

from dataclasses import replace

import numpy as np

from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region, transform_box
from lookalike.relate.examine import agrees
from lookalike.relate.geometry.transform import Matrix, summarize_transform
from lookalike.relate.geometry.verify import Match, with_summary
from lookalike.relate.relation import Verdict

_OPPOSITE = {"added": "removed", "removed": "added", "overlay": "uncovered", "uncovered": "overlay"}


def swap_sides(verdict: Verdict, first: tuple[int, int], second: tuple[int, int]) -> Verdict:
    """Turn the verdict of (a, b) into that of (b, a). `first`, `second`: (width, height) of a and of b, in pixels."""
    evidence = verdict.evidence
    if evidence.match is None or evidence.match.model == "none":
        return verdict
    match = _inverse_match(evidence.match, first, second)
    content = None if evidence.content is None else _swap_content(evidence.content, match.transform)
    return replace(verdict, evidence=replace(evidence, match=match, content=content))


def shows_the_same(verdict: Verdict) -> bool:
    """Return whether two photographs show the same whole content, possibly mirrored or turned by quarter turns."""
    match, content = verdict.evidence.match, verdict.evidence.content
    if verdict.evidence.same_pixels:
        return True
    if (
        match is None
        or content is None
        or match.negative
        or content.drawn > _MIN_PAGE_DRAWN
        or content.recolored > _MAX_COLOR_DIFFERENCE
    ):
        return False
    whole = match.model == "frame" and min(match.kept_first, match.kept_second) > _MIN_WHOLE
    return whole and not content.regions and agrees(content)


def chain(first: Verdict, second: Verdict, sizes: tuple[tuple[int, int], tuple[int, int]], score: float) -> Verdict:
    """Return the verdict of (a, c) from those of (a, b), which show the same, and (b, c), which overlap.

    `sizes`: (width, height) of a and c. `score`: the cosine of a and c.
    """
    first_match, second_match = first.evidence.match, second.evidence.match
    assert second_match is not None
    matrix: Matrix = (
        second_match.transform
        if first_match is None
        else np.asarray(second_match.transform @ first_match.transform, np.float64)
    )
    matrix = matrix / matrix[2, 2]
    mirrored = second_match.mirrored != (first_match is not None and first_match.mirrored)
    summary = summarize_transform(matrix, *sizes, mirrored=mirrored)
    match = replace(with_summary(second_match, matrix, summary), mirrored=mirrored, points=second_match.points[:0])
    return replace(
        second,
        copy=min(first.copy, second.copy),
        probability=min(first.probability, second.probability),
        expected_false_matches=None,
        evidence=replace(second.evidence, match=match, score=score),
    )


_MIN_PAGE_DRAWN = 0.25  # `Content.drawn` from which each word counts
_MAX_COLOR_DIFFERENCE = 10.0  # levels
_MIN_WHOLE = 0.97


def _inverse_match(match: Match, first: tuple[int, int], second: tuple[int, int]) -> Match:
    matrix: Matrix = np.asarray(np.linalg.inv(match.transform), np.float64)
    matrix = matrix / matrix[2, 2]
    agreement = match.agreement
    return replace(
        with_summary(match, matrix, summarize_transform(matrix, second, first, mirrored=match.mirrored)),
        points=match.points[:, [2, 3, 0, 1]],
        agreement=replace(agreement, first_inside=agreement.second_inside, second_inside=agreement.first_inside),
    )


def _swap_content(content: Content, back: Matrix) -> Content:
    regions = tuple(
        Region(_OPPOSITE.get(region.kind, region.kind), transform_box(region.box, back), region.area)
        for region in content.regions
    )
    return replace(content, regions=regions)
