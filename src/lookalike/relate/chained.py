"""Derive the verdict of two images through a third one, instead of judging again."""

from dataclasses import replace

import numpy as np

from lookalike.relate.examine import agrees
from lookalike.relate.geometry.transform import Matrix, summarize_transform
from lookalike.relate.geometry.verify import with_summary
from lookalike.relate.relation import Verdict


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
