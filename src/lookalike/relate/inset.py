"""Verify and explain an image pasted small into another, which a comparison of the whole images misses."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.find_in import find_in
from lookalike.relate.geometry.boxes import (
    Box,
    box_around,
    box_edges,
    box_in_page,
    box_to_page,
    crop,
    snap_to_pixels,
)
from lookalike.relate.geometry.containment import containment_kind, part_shown
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.relation import Evidence, Verdict
from lookalike.relate.words.content_changes import position_of
from lookalike.relate.words.explain import Explanation, explain, with_words
from lookalike.types import RGB, Change, ChangeKind, Relation

_MAX_SHARE = 0.5  # of the larger image; a larger part is verified well enough in the whole


def verify_inset(query: RGB, page: RGB, whole_verdict: Verdict, calibration: Calibration) -> Verdict | None:
    """Return the verdict if the query is inside the page as a small part and a copy; else None.

    Both images have full resolution; takes about a second. The score of the whole images, taken from `whole_verdict`,
    says nothing about a part.
    """
    for location in find_in(query, page, calibration):
        is_small_part = containment_kind(location.match) == "inside" and location.share <= _MAX_SHARE
        if is_small_part and location.relation >= Relation.COPY:
            evidence = Evidence(score=whole_verdict.evidence.score, match=location.match)
            probability = location.probability
            return replace(
                whole_verdict, relation=Relation.COPY, probability=probability, copy=probability, evidence=evidence
            )
    return None


def explain_inset(first: RGB, second: RGB, verdict: Verdict, shape: tuple[int, int]) -> Explanation:
    """Explain the first image inside the second; `agreement_map` has the frame `shape` (h, w) of the second.

    The comparison uses the part alone: in the whole page at 320 pixels, a part of two hundredths would be a few pixels.
    """
    match = _match(verdict)
    box = snap_to_pixels(second, box_around(match.outline))
    inward = np.linalg.inv(box_to_page(box))
    part_match = replace(match, transform=inward @ match.transform, kept_second=1.0)
    explanation = explain(first, crop(second, box), _with_match(verdict, part_match))
    added = tuple(replace(addition, box=box_in_page(addition.box, box)) for addition in explanation.added)
    agreement_map = None if explanation.agreement_map is None else _map_in_page(explanation.agreement_map, box, shape)
    pasted = Change(ChangeKind.PASTED, {"share": float(match.kept_second), "position": position_of(box)})
    return _with_first(pasted, replace(explanation, added=added, agreement_map=agreement_map), verdict)


def explain_part(first: RGB, second: RGB, verdict: Verdict) -> Explanation:
    """Explain the second image as a small part of the first."""
    match = _match(verdict)
    box = snap_to_pixels(first, box_around(part_shown(match)))
    part_match = replace(match, transform=match.transform @ box_to_page(box), kept_first=1.0)
    explanation = explain(crop(first, box), second, _with_match(verdict, part_match))
    part = Change(ChangeKind.PART, {"share": float(match.kept_first), "position": position_of(box)})
    return _with_first(part, explanation, verdict)


def _with_first(change: Change, explanation: Explanation, verdict: Verdict) -> Explanation:
    """Return the explanation of the whole images: `change`, then the changes of the part."""
    return with_words(replace(explanation, changes=(change, *explanation.changes)), verdict)


def _match(verdict: Verdict) -> Match:
    match = verdict.evidence.match
    assert match is not None
    return match


def _with_match(verdict: Verdict, match: Match) -> Verdict:
    return replace(verdict, evidence=replace(verdict.evidence, match=match))


def _map_in_page(agreement_map: NDArray[np.float32], box: Box, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Place the map of a part in a map of the whole, NaN around it."""
    import cv2

    left, top, right, bottom = box_edges(shape, box)
    whole = np.full(shape, np.nan, np.float32)
    part = cv2.resize(agreement_map, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    whole[top:bottom, left:right] = part
    return whole
