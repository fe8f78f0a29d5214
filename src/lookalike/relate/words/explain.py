"""Why two pictures are taken for copies, in words: how much is left, mirrored, turned, recoloured, what was laid on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.relate.content.text_detection import is_text
from lookalike.relate.geometry.overlay import correlation, overlay
from lookalike.relate.geometry.verify import Match, to_shares
from lookalike.relate.relation import Verdict
from lookalike.relate.words.color import Recolouring, recolouring
from lookalike.relate.words.content_changes import place_of, slight_words, variant_words
from lookalike.relate.words.frame_changes import frame_words, turn_words
from lookalike.types import RGB, Relation

_SIDE = 320  # pixels at which the two are compared
_HUE, _TINT = 12.0, 10.0  # degrees and levels from which other colours are told
_GRAIN = 2.5  # levels of noise
_ROUGH = 4.5  # levels by which pixels differ: JPEG of quality 85 up to 1.6, of quality 10 from 4.9 on


@dataclass(frozen=True, slots=True)
class Added:
    """Something that one picture shows and the other does not. `box`: x, y, width, height in shares of the second."""

    kind: str
    where: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`words`: the whole in one line. `agreeing`: (H, W) 0 to 1 in the frame of the second picture, NaN outside.

    `altered`: "picture" where the frame, colours, light, sharpness or contents were changed, "detail" where pixels were
    and no more can be told, as by compression, "" where nothing was.
    """

    words: str
    changes: tuple[str, ...]
    added: tuple[Added, ...]
    agreeing: NDArray[np.float32] | None
    altered: str = ""


def explain(first: RGB, second: RGB, verdict: Verdict) -> Explanation:
    """Describe how the second picture differs from the first. Pictures of any size, upright RGB."""
    evidence, match = verdict.evidence, verdict.evidence.match
    if evidence.same_bytes or evidence.same_pixels:
        words = "identical: the same bytes" if evidence.same_bytes else "identical: the same pixels in another file"
        return Explanation(words, (), (), None)
    if match is None or match.model == "none" or verdict.relation < Relation.SAME_OBJECT:
        return Explanation(_plainly(verdict, match), (), (), None)
    laid = _laid(first, second, match)
    if laid is None:
        return Explanation(_plainly(verdict, match), (), (), None)
    moved, shown, inside = laid
    colours = recolouring(moved, shown, inside)
    recoloured = _nearer(colours.apply(moved), moved, shown, inside)
    agreeing, added = _differences(recoloured, shown, inside, colours.sharpness)
    content, altered = evidence.content, "picture"
    changes = [*frame_words(match, shown, inside), *turn_words(match)]
    if verdict.relation is Relation.VARIANT:
        changes += variant_words(content) if content else []
        added = ()
    elif verdict.relation >= Relation.COPY:
        whole = match.kept_first > 0.8 and match.scale < 1.25
        changes += _colour_words(colours, whole=whole)
        changes += [f"{a.kind} {a.where}" for a in added]
        altered = "picture" if changes else ""
        if not changes and _apart(recoloured, shown, inside) > _ROUGH:
            changes, altered = ["fine detail differs all over"], "detail"
        if not changes and content is not None:
            changes = slight_words(content)
    else:
        added = ()
    return Explanation(_sentence(verdict, match, changes), tuple(changes), tuple(added), agreeing, altered)


def _nearer(recoloured: RGB, moved: RGB, shown: RGB, inside: NDArray[np.bool_]) -> RGB:
    """The fitted colours, or those there were where they are nearer: on a white page there is little to fit to."""
    return recoloured if _apart(recoloured, shown, inside) < _apart(moved, shown, inside) else moved


def _apart(a: RGB, b: RGB, inside: NDArray[np.bool_]) -> float:
    """The mean difference of two pictures in levels; NumPy takes ten times as long."""
    import cv2

    return float(np.mean(cv2.mean(cv2.absdiff(a, b), inside.astype(np.uint8))[:3]))


def _plainly(verdict: Verdict, match: Match | None) -> str:
    if verdict.relation is Relation.CANNOT_TELL:
        return f"cannot tell: {verdict.evidence.reason}"
    points = "" if match is None else "; no matching points" if not match.inliers else f"; {_points(match)}"
    return f"{verdict.relation}{points}"


def _sentence(verdict: Verdict, match: Match, changes: list[str]) -> str:
    if verdict.relation >= Relation.COPY:
        told = ", ".join(changes) or "nothing visible was changed"
    else:
        told = ", ".join(["laid out alike", *changes])
    proof = _points(match) if match.inliers else "the pictures agree as a whole"
    return f"{verdict.relation}: {told}; {proof}"


def _points(match: Match) -> str:
    return f"{match.inliers} matching point{'s' * (match.inliers != 1)}"


def _laid(first: RGB, second: RGB, match: Match) -> tuple[RGB, RGB, NDArray[np.bool_]] | None:
    """The first in the frame of the second, the second, and where they meet; at a size that words need."""
    a, b = _reduced(first), _reduced(second)
    into, out = (to_shares((image.shape[1], image.shape[0])) for image in (a, b))
    laid = overlay(a, b, np.linalg.inv(out) @ match.transform @ into)
    return None if laid is None else (laid[0], b, laid[1])


def _reduced(image: RGB) -> RGB:
    share = min(1.0, _SIDE / max(image.shape[:2]))
    return scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))


def _colour_words(changed: Recolouring, *, whole: bool) -> list[str]:
    """`whole`: the pictures show the same part at about the same size; else sharpness tells of the size alone."""
    words, grainy = [], changed.grain > _GRAIN
    saturation = changed.saturation / max(changed.contrast, 0.1)
    if changed.inverted:
        words.append("inverted to a negative")
    elif changed.grey:
        words.append("made grey")
    elif changed.toned:
        words.append("toned in one colour")
    elif changed.hue > _HUE:
        words.append("recoloured")
    elif changed.tint > _TINT:
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
    recoloured: RGB, second: RGB, inside: NDArray[np.bool_], sharpness: float
) -> tuple[NDArray[np.float32], tuple[Added, ...]]:
    """Where the second agrees with the first in its place and colours, and the places where something was laid on."""
    import cv2

    local, _, _ = correlation(recoloured, second, inside)
    fitted = recoloured.astype(np.float32)
    # Signed: what is merely sharper, blurred or grainy is as often lighter as darker, and averages out.
    reach = 2.0 if 0.6 < sharpness < 1.8 else 4.0
    apart = cv2.absdiff(cv2.GaussianBlur(fitted - second, (0, 0), reach), (0.0, 0.0, 0.0))
    off = cv2.transform(apart, np.full((1, 3), 1 / 3, np.float32))  # NumPy takes ten times as long
    # At the rim of the overlap half of the window is missing.
    core = cv2.erode(inside.astype(np.uint8), np.ones((7, 7), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
    usual = float(np.median(off[core])) if core.any() else 0.0
    strange = (off > max(4 * usual, 22.0)) & core
    agreeing = np.clip(np.minimum(local, 1 - (off - usual) / 60), 0, 1).astype(np.float32)
    # A plain place that has the right colour agrees, though there is nothing to correlate.
    agreeing = np.where(off < max(2 * usual, 10.0), np.maximum(agreeing, 0.9), agreeing)
    agreeing[~inside] = np.nan
    return agreeing, _patches(strange, second)


def _patches(strange: NDArray[np.bool_], second: RGB) -> tuple[Added, ...]:
    """The largest places of disagreement, letters that stand together taken as one."""
    import cv2

    height, width = strange.shape
    reach = max(3, round(0.04 * width))
    joined = cv2.morphologyEx(strange.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((max(3, reach // 2), reach), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined)
    found = []
    for x, y, w, h, area in sorted(boxes[1:count].tolist(), key=lambda b: -b[4])[:3]:
        if area < 0.004 * height * width:
            continue
        kind = "text added" if is_text(second[y : y + h, x : x + w]) else "something added"
        box = (x / width, y / height, w / width, h / height)
        found.append(Added(kind, place_of(box), box))
    return tuple(found)
