"""A picture pasted small into another: found by looking inside, where a look at the two as wholes sees too little."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.containment import Box, cut, edges, find_in, how, on_pixels, onto, part_shown
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.relation import Evidence, Verdict, weigh
from lookalike.relate.words.content_changes import place_of
from lookalike.relate.words.explain import Added, Explanation, explain
from lookalike.types import RGB, Relation

_SMALL = 0.5  # of the larger picture: what is larger than that was seen well enough in the whole


def look_inside(query: RGB, page: RGB, before: Verdict, calibration: Calibration) -> Verdict | None:
    """The verdict where the query lies inside the page, as a small part of it, as a copy; None where it does not.

    Pictures with all their pixels; about a second. The score of the wholes, kept from `before`, says nothing of a part.
    """
    for place in find_in(query, page, calibration):
        if how(place.match) != "inside" or place.share > _SMALL:
            continue
        verdict = weigh(Evidence(match=place.match), calibration)
        if verdict.relation >= Relation.COPY:
            evidence = replace(verdict.evidence, score=before.evidence.score)
            return replace(verdict, evidence=evidence, expected_false_matches=before.expected_false_matches)
    return None


def explain_pasted(first: RGB, second: RGB, verdict: Verdict, shape: tuple[int, int]) -> Explanation:
    """The words for the first picture inside the second; `agreeing` in a frame of `shape` (h, w) of the second.

    Compared with the part alone: of the whole at 320 pixels, a part of two hundredths would be a blot.
    """
    match = _match(verdict)
    box = on_pixels(second, _box(match.outline))
    inward = np.linalg.inv(onto(box))
    near = replace(match, transform=inward @ match.transform, kept_second=1.0)
    told = explain(first, cut(second, box), _with(verdict, near))
    added = tuple(Added(a.kind, a.where, _within(a.box, box)) for a in told.added)
    agreeing = None if told.agreeing is None else _framed(told.agreeing, box, shape)
    where = f"pasted into the second picture ({100 * match.kept_second:.1f} % of it, {place_of(box)})"
    return _told(verdict, where, replace(told, added=added, agreeing=agreeing))


def explain_cut_out(first: RGB, second: RGB, verdict: Verdict) -> Explanation:
    """The words for the second picture as a small part of the first."""
    match = _match(verdict)
    box = on_pixels(first, _box(part_shown(match)))
    near = replace(match, transform=match.transform @ onto(box), kept_first=1.0)
    told = explain(cut(first, box), second, _with(verdict, near))
    return _told(verdict, f"a part of the first picture ({100 * match.kept_first:.1f} % of it, {place_of(box)})", told)


def _told(verdict: Verdict, where: str, told: Explanation) -> Explanation:
    changes = (where, *told.changes)
    words = f"{verdict.relation}: {', '.join(changes)}; {_match(verdict).inliers} matching points"
    return replace(told, words=words, changes=changes)


def _match(verdict: Verdict) -> Match:
    match = verdict.evidence.match
    assert match is not None
    return match


def _with(verdict: Verdict, match: Match) -> Verdict:
    return replace(verdict, evidence=replace(verdict.evidence, match=match))


def _box(outline: NDArray[np.float64]) -> Box:
    """What of an outline's upright frame lies in the picture."""
    kept = outline.clip(0, 1)
    (x, y), (right, bottom) = kept.min(axis=0), kept.max(axis=0)
    return float(x), float(y), float(right - x), float(bottom - y)


def _within(inner: Box, box: Box) -> Box:
    """A box in shares of another, in shares of the whole."""
    x, y, width, height = box
    return x + inner[0] * width, y + inner[1] * height, inner[2] * width, inner[3] * height


def _framed(agreeing: NDArray[np.float32], box: Box, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The map of a part as one of the whole, NaN around it."""
    import cv2

    left, top, right, bottom = edges(shape, box)
    whole = np.full(shape, np.nan, np.float32)
    part = cv2.resize(agreeing, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    whole[top:bottom, left:right] = part
    return whole
