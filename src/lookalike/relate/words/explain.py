"""Explain a verdict: crop, mirror, rotation, color changes and additions, as facts and in words."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import at_most
from lookalike.relate.content.text_detection import is_text
from lookalike.relate.geometry.overlay import correlation, overlay
from lookalike.relate.geometry.verify import Match, pixels_to_fractions
from lookalike.relate.relation import Verdict
from lookalike.relate.words.color import ColorChange, color_change
from lookalike.relate.words.content_changes import position_of, slight_changes, variant_changes
from lookalike.relate.words.frame_changes import frame_changes, transform_changes
from lookalike.relate.words.sentences import details as details_of
from lookalike.relate.words.sentences import sentence
from lookalike.types import RGB, Change, ChangeKind, Relation

_SIDE = 320  # pixels at which the two are compared
_MIN_HUE, _MIN_TINT = 12.0, 10.0  # degrees and levels from which other colors are mentioned
_MIN_GRAIN = 2.5  # levels of noise
_MIN_DETAIL_DIFFERENCE = 4.5  # levels by which pixels differ: JPEG of quality 85 up to 1.6, of quality 10 from 4.9 on


@dataclass(frozen=True, slots=True)
class Addition:
    """Something shown only by the second image.

    `kind`: TEXT_ADDED or MARK_ADDED. `position`: as in a `Change`. `box`: x, y, width, height as fractions of the
    second.
    """

    kind: ChangeKind
    position: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation of a verdict.

    `words`: all of it in one line, composed from the verdict and `changes`. `agreement_map`: (H, W) 0 to 1 in the frame
    of the second image, NaN outside. `altered`: "picture" if the frame, colors, light, sharpness or contents were
    changed; "detail" if only pixels were, as by compression; "" if nothing was. `details`: `words` without the
    relation; "" if only the relation is known.
    """

    words: str
    changes: tuple[Change, ...]
    added: tuple[Addition, ...]
    agreement_map: NDArray[np.float32] | None
    altered: str = ""
    details: str = ""


def explain(first: RGB, second: RGB, verdict: Verdict) -> Explanation:
    """Determine how the second image differs from the first. Images of any size, upright RGB."""
    evidence, match = verdict.evidence, verdict.evidence.match
    same = evidence.same_bytes or evidence.same_pixels
    if same or match is None or match.model == "none" or verdict.relation < Relation.SAME_OBJECT:
        return _not_compared(verdict)
    warped = _warped(first, second, match)
    if warped is None:
        return _not_compared(verdict)
    moved, second_small, inside = warped
    change = color_change(moved, second_small, inside)
    color_matched = _closer(change.apply(moved), moved, second_small, inside)
    agreement_map, added = _differences(color_matched, second_small, inside, change.sharpness)
    content, altered = evidence.content, "picture"
    changes = [*frame_changes(match, second_small, inside), *transform_changes(match)]
    if verdict.relation is Relation.VARIANT:
        changes += variant_changes(content) if content else []
        added = ()
    elif verdict.relation >= Relation.COPY:
        whole = match.kept_first > 0.8 and match.scale < 1.25
        changes += _color_changes(change, whole=whole)
        changes += [Change(addition.kind, {"position": addition.position}) for addition in added]
        altered = "picture" if changes else ""
        difference = _mean_difference(color_matched, second_small, inside)
        if not changes and difference > _MIN_DETAIL_DIFFERENCE:
            changes, altered = [Change(ChangeKind.FINE_DETAIL, {"levels": difference})], "detail"
        if not changes and content is not None:
            changes = slight_changes(content)
    else:
        added = ()
    return with_words(Explanation("", tuple(changes), tuple(added), agreement_map, altered), verdict)


def with_words(explanation: Explanation, verdict: Verdict) -> Explanation:
    """Return the explanation of a comparison with `words` and `details` composed from its changes."""
    details = details_of(verdict, explanation.changes, compared=True)
    return replace(explanation, words=sentence(verdict, details), details=details)


def _not_compared(verdict: Verdict) -> Explanation:
    """Return the explanation of images that are the same, or that cannot be aligned."""
    details = details_of(verdict, (), compared=False)
    return Explanation(sentence(verdict, details), (), (), None, details=details)


def _closer(color_matched: RGB, moved: RGB, second_small: RGB, inside: NDArray[np.bool_]) -> RGB:
    """The fitted colors, or the original ones if they are closer: a white page gives little to fit to."""
    return (
        color_matched
        if _mean_difference(color_matched, second_small, inside) < _mean_difference(moved, second_small, inside)
        else moved
    )


def _mean_difference(a: RGB, b: RGB, inside: NDArray[np.bool_]) -> float:
    """The mean difference of two images in levels; NumPy takes ten times as long."""
    import cv2

    return float(np.mean(cv2.mean(cv2.absdiff(a, b), inside.astype(np.uint8))[:3]))


def _warped(first: RGB, second: RGB, match: Match) -> tuple[RGB, RGB, NDArray[np.bool_]] | None:
    """The first in the frame of the second, the second, and their overlap, at the size used for explanations."""
    a, b = at_most(first, _SIDE), at_most(second, _SIDE)
    into, out = (pixels_to_fractions((image.shape[1], image.shape[0])) for image in (a, b))
    warped = overlay(a, b, np.linalg.inv(out) @ match.transform @ into)
    return None if warped is None else (warped[0], b, warped[1])


def _color_changes(changed: ColorChange, *, whole: bool) -> list[Change]:
    """`whole`: both show the same part at about the same size; otherwise sharpness depends on the size alone."""
    grainy = changed.grain > _MIN_GRAIN
    hue_change = _hue_change(changed, grainy=grainy)
    changes = [] if hue_change is None else [hue_change]
    if not changed.inverted and abs(changed.brighter) > 12:
        changes.append(Change(ChangeKind.BRIGHTNESS, {"levels": changed.brighter}))
    if not 0.8 < changed.contrast < 1.25:
        changes.append(Change(ChangeKind.CONTRAST, {"factor": changed.contrast}))
    if grainy:
        changes.append(Change(ChangeKind.NOISE, {"levels": changed.grain}))
    elif changed.sharpness < 0.5:
        changes.append(Change(ChangeKind.BLUR, {"sharpness": changed.sharpness}))
    elif changed.sharpness > 1.6 and whole:
        changes.append(Change(ChangeKind.SHARPEN, {"sharpness": changed.sharpness}))
    return changes


def _hue_change(changed: ColorChange, *, grainy: bool) -> Change | None:
    """The one change of hues and saturation that explains the others. Noise has colors of its own."""
    saturation = changed.saturation / max(changed.contrast, 0.1)
    first_that_applies = (
        (changed.inverted, Change(ChangeKind.NEGATIVE)),
        (changed.gray, Change(ChangeKind.GRAYSCALE)),
        (changed.toned, Change(ChangeKind.SINGLE_HUE)),
        (changed.hue > _MIN_HUE, Change(ChangeKind.RECOLOR, {"degrees": changed.hue})),
        (changed.tint > _MIN_TINT, Change(ChangeKind.TINT, {"levels": changed.tint})),
        (not 0.75 < saturation < 1.35 and not grainy, Change(ChangeKind.SATURATION, {"factor": saturation})),
    )
    return next((change for applies, change in first_that_applies if applies), None)


def _differences(
    color_matched: RGB, second: RGB, inside: NDArray[np.bool_], sharpness: float
) -> tuple[NDArray[np.float32], tuple[Addition, ...]]:
    """Return where the second agrees with the aligned, color-matched first, and where something was added."""
    import cv2

    local, _, _ = correlation(color_matched, second, inside)
    fitted = color_matched.astype(np.float32)
    # Signed: sharpening, blur and grain are as often lighter as darker, and average out.
    reach = 2.0 if 0.6 < sharpness < 1.8 else 4.0
    channel_difference = cv2.absdiff(cv2.GaussianBlur(fitted - second, (0, 0), reach), (0.0, 0.0, 0.0))
    difference = cv2.transform(channel_difference, np.full((1, 3), 1 / 3, np.float32))  # NumPy takes ten times as long
    # At the edge of the overlap half of the window is missing.
    core = cv2.erode(inside.astype(np.uint8), np.ones((7, 7), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
    typical = float(np.median(difference[core])) if core.any() else 0.0
    differs = (difference > max(4 * typical, 22.0)) & core
    agreement_map = np.clip(np.minimum(local, 1 - (difference - typical) / 60), 0, 1).astype(np.float32)
    # A plain place of the right color agrees, although there is nothing to correlate.
    agreement_map = np.where(difference < max(2 * typical, 10.0), np.maximum(agreement_map, 0.9), agreement_map)
    agreement_map[~inside] = np.nan
    return agreement_map, _added_patches(differs, second)


def _added_patches(differs: NDArray[np.bool_], second: RGB) -> tuple[Addition, ...]:
    """The largest places of disagreement; letters that stand together count as one."""
    import cv2

    height, width = differs.shape
    reach = max(3, round(0.04 * width))
    joined = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((max(3, reach // 2), reach), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined)
    additions = []
    for x, y, w, h, area in sorted(boxes[1:count].tolist(), key=lambda b: -b[4])[:3]:
        if area < 0.004 * height * width:
            continue
        has_text = is_text(second[y : y + h, x : x + w])
        kind = ChangeKind.TEXT_ADDED if has_text else ChangeKind.MARK_ADDED
        box = (x / width, y / height, w / width, h / height)
        additions.append(Addition(kind, position_of(box), box))
    return tuple(additions)
