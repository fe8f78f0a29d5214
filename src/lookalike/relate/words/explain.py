"""Explain a verdict in words: crop, mirror, rotation, color changes and additions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.relate.content.text_detection import is_text
from lookalike.relate.geometry.overlay import correlation, overlay
from lookalike.relate.geometry.verify import Match, pixels_to_fractions
from lookalike.relate.relation import Verdict
from lookalike.relate.words.color import ColorChange, color_change
from lookalike.relate.words.content_changes import position_name, slight_words, variant_words
from lookalike.relate.words.frame_changes import frame_words, transform_words
from lookalike.types import RGB, Relation

_SIDE = 320  # pixels at which the two are compared
_MIN_HUE, _MIN_TINT = 12.0, 10.0  # degrees and levels from which other colors are mentioned
_MIN_GRAIN = 2.5  # levels of noise
_MIN_DETAIL_DIFFERENCE = 4.5  # levels by which pixels differ: JPEG of quality 85 up to 1.6, of quality 10 from 4.9 on


@dataclass(frozen=True, slots=True)
class Addition:
    """Something shown only by the second image. `box`: x, y, width, height as fractions of the second."""

    kind: str
    where: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation of a verdict.

    `words`: all of it in one line. `agreement_map`: (H, W) 0 to 1 in the frame of the second image, NaN outside.
    `altered`: "picture" if the frame, colors, light, sharpness or contents were changed; "detail" if only pixels were,
    as by compression; "" if nothing was.
    """

    words: str
    changes: tuple[str, ...]
    added: tuple[Addition, ...]
    agreement_map: NDArray[np.float32] | None
    altered: str = ""


def explain(first: RGB, second: RGB, verdict: Verdict) -> Explanation:
    """Describe how the second image differs from the first. Images of any size, upright RGB."""
    evidence, match = verdict.evidence, verdict.evidence.match
    if evidence.same_bytes or evidence.same_pixels:
        words = "identical: the same bytes" if evidence.same_bytes else "identical: the same pixels in another file"
        return Explanation(words, (), (), None)
    if match is None or match.model == "none" or verdict.relation < Relation.SAME_OBJECT:
        return Explanation(_relation_only(verdict, match), (), (), None)
    warped = _warped(first, second, match)
    if warped is None:
        return Explanation(_relation_only(verdict, match), (), (), None)
    moved, second_small, inside = warped
    change = color_change(moved, second_small, inside)
    color_matched = _closer(change.apply(moved), moved, second_small, inside)
    agreement_map, added = _differences(color_matched, second_small, inside, change.sharpness)
    content, altered = evidence.content, "picture"
    changes = [*frame_words(match, second_small, inside), *transform_words(match)]
    if verdict.relation is Relation.VARIANT:
        changes += variant_words(content) if content else []
        added = ()
    elif verdict.relation >= Relation.COPY:
        whole = match.kept_first > 0.8 and match.scale < 1.25
        changes += _color_words(change, whole=whole)
        changes += [f"{a.kind} {a.where}" for a in added]
        altered = "picture" if changes else ""
        if not changes and _mean_difference(color_matched, second_small, inside) > _MIN_DETAIL_DIFFERENCE:
            changes, altered = ["fine detail differs all over"], "detail"
        if not changes and content is not None:
            changes = slight_words(content)
    else:
        added = ()
    return Explanation(_sentence(verdict, match, changes), tuple(changes), tuple(added), agreement_map, altered)


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


def _relation_only(verdict: Verdict, match: Match | None) -> str:
    if verdict.relation is Relation.CANNOT_TELL:
        return f"cannot tell: {verdict.evidence.reason}"
    points = "" if match is None else "; no matching points" if not match.inliers else f"; {_points(match)}"
    return f"{verdict.relation}{points}"


def _sentence(verdict: Verdict, match: Match, changes: list[str]) -> str:
    if verdict.relation >= Relation.COPY:
        details = ", ".join(changes) or "nothing visible was changed"
    else:
        details = ", ".join(["laid out alike", *changes])
    proof = _points(match) if match.inliers else "the pictures agree as a whole"
    return f"{verdict.relation}: {details}; {proof}"


def _points(match: Match) -> str:
    return f"{match.inliers} matching point{'s' * (match.inliers != 1)}"


def _warped(first: RGB, second: RGB, match: Match) -> tuple[RGB, RGB, NDArray[np.bool_]] | None:
    """The first in the frame of the second, the second, and their overlap, at the size used for explanations."""
    a, b = _reduced(first), _reduced(second)
    into, out = (pixels_to_fractions((image.shape[1], image.shape[0])) for image in (a, b))
    warped = overlay(a, b, np.linalg.inv(out) @ match.transform @ into)
    return None if warped is None else (warped[0], b, warped[1])


def _reduced(image: RGB) -> RGB:
    share = min(1.0, _SIDE / max(image.shape[:2]))
    return scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))


def _color_words(changed: ColorChange, *, whole: bool) -> list[str]:
    """`whole`: both show the same part at about the same size; otherwise sharpness depends on the size alone."""
    words, grainy = [], changed.grain > _MIN_GRAIN
    saturation = changed.saturation / max(changed.contrast, 0.1)
    if changed.inverted:
        words.append("inverted to a negative")
    elif changed.gray:
        words.append("made grey")
    elif changed.toned:
        words.append("toned in one colour")
    elif changed.hue > _MIN_HUE:
        words.append("recoloured")
    elif changed.tint > _MIN_TINT:
        words.append("tinted")
    elif not 0.75 < saturation < 1.35 and not grainy:
        words.append("colours faded" if saturation < 1 else "colours strengthened")
    if not changed.inverted and abs(changed.brighter) > 12:
        words.append("made brighter" if changed.brighter > 0 else "made darker")
    if not 0.8 < changed.contrast < 1.25:
        words.append("contrast lowered" if changed.contrast < 1 else "contrast raised")
    if grainy:
        words.append("made grainy")
    elif changed.sharpness < 0.5:
        words.append("blurred")
    elif changed.sharpness > 1.6 and whole:
        words.append("sharpened")
    return words


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
        kind = "text added" if is_text(second[y : y + h, x : x + w]) else "something added"
        box = (x / width, y / height, w / width, h / height)
        additions.append(Addition(kind, position_name(box), box))
    return tuple(additions)
