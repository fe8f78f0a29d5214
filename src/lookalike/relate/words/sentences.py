"""Compose words from facts: verdicts, changes and the quality of images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from lookalike.relate.content.quality import Quality
from lookalike.relate.probability.calibration_model import Ambiguity
from lookalike.text import counted, percent
from lookalike.types import Change, ChangeKind, Relation

if TYPE_CHECKING:
    from lookalike.relate.geometry.verify import Match
    from lookalike.relate.hit_summary import HitSummary
    from lookalike.relate.relation import Verdict

LIST_SEPARATOR = ", "  # between the positions or sides in a value of a change
_MIN_SAME_SIDE, _MAX_SAME_SIDE = 0.95, 1.05  # factors between which a side is not mentioned as stretched

Values: TypeAlias = Mapping[str, float | str]


def sentence(verdict: "Verdict", details: str) -> str:
    """Return a verdict in one line. `details`: from the function of this name."""
    if details:
        return f"{verdict.relation}: {details}"
    match = verdict.evidence.match
    points = "" if match is None else "; no matching points" if not match.inliers else f"; {_points(match)}"
    return f"{verdict.relation}{points}"


def details(verdict: "Verdict", changes: Sequence[Change], *, compared: bool) -> str:
    """Return what a verdict rests on and what was changed; "" if only the relation is known.

    `compared`: whether the images were aligned and compared, so that no changes means that there are none.
    """
    evidence = verdict.evidence
    if evidence.same_bytes or evidence.same_pixels:
        return "same bytes" if evidence.same_bytes else "same pixels, in different files"
    if not compared or evidence.match is None:
        return evidence.reason if verdict.relation is Relation.CANNOT_TELL else ""
    if verdict.relation >= Relation.COPY:
        differences = ", ".join(_joined_phrases(changes)) or "no visible change"
    else:
        differences = ", ".join(phrases([Change(ChangeKind.SAME_LAYOUT), *changes]))
    proof = _points(evidence.match) if evidence.match.inliers else "the aligned images match"
    return f"{differences}; {proof}"


_NEAREST = {
    Relation.UNRELATED: "none of the hits is related to the query",
    Relation.RELATED: "the nearest are only alike",
    Relation.SAME_OBJECT: "the nearest show the same object",
    Relation.VARIANT: "the nearest have the same layout or source, with other content",
}


def summary_sentence(summary: "HitSummary") -> str:
    """Return that nothing is a copy, and what the nearest hits are; "" if a hit is a copy, or if none was judged.

    Hits that may be one after all and hits that cannot be judged are counted.
    """
    if summary.copies or not summary.judged:
        return ""
    if not summary.nothing_is_a_copy:
        return "no match: none of the hits can be judged"
    match = "no match: " if summary.strongest is Relation.UNRELATED and not summary.possible else ""
    claim = "nothing here is proven to be a copy" if summary.possible else "nothing here is a copy"
    hits = counted(summary.judged, "hit")
    doubts = [f"{summary.possible} of {hits} may be one"] if summary.possible else []
    doubts += [f"{summary.undecided} of {hits} cannot be judged"] if summary.undecided else []
    return match + "; ".join((claim, _NEAREST[summary.strongest], *doubts))


def phrases(changes: Iterable[Change]) -> list[str]:
    """Return each change in words."""
    return [phrase(change) for change in changes]


def _joined_phrases(changes: Iterable[Change]) -> list[str]:
    """Return each change in words, additions of one kind as one: "text added at the top and in the middle"."""
    joined: dict[str, list[str]] = {}
    for change in changes:
        addition = _ADDITIONS.get(change.kind)
        positions = joined.setdefault(addition or phrase(change), [])
        if addition:
            positions.append(position_phrase(str(change.values["position"])))
    return [" ".join(filter(None, (text, _list_text(positions)))) for text, positions in joined.items()]


def _list_text(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def phrase(change: Change) -> str:
    """Return one change in words."""
    fixed = _FIXED.get(change.kind)
    return fixed if fixed is not None else _COMPOSED[change.kind](change.values)


def addition_phrase(kind: ChangeKind) -> str:
    """Return what was added, TEXT_ADDED or MARK_ADDED, without its position."""
    return _ADDITIONS[kind]


def position_phrase(position: str) -> str:
    """Return a position in words: "in the middle", "at the top left"."""
    return "in the middle" if position == "middle" else f"at the {position}"


def quality_phrase(quality: Quality, width: int, height: int) -> str:
    """Return why an image of this size cannot be judged."""
    if quality is Quality.TOO_SMALL:
        return f"too small ({width} x {height} pixels)"
    return {Quality.TOO_PLAIN: "too plain", Quality.TOO_BLURRED: "too blurred"}[quality]


def ambiguity_phrase(ambiguity: Ambiguity) -> str:
    """Return why it is undecidable whether one image is an edit of the other."""
    return _AMBIGUITIES[ambiguity]


_AMBIGUITIES: Mapping[Ambiguity, str] = {
    Ambiguity.MIRRORED_DRAWING: ("both are simple drawings, which match only if one is mirrored or rotated"),
    Ambiguity.DIFFERING_DRAWING: "both are simple drawings, which differ in one place",
    Ambiguity.TOO_LITTLE_SHARED: "the layouts match, but there is too little content to compare",
}


def _points(match: "Match") -> str:
    return f"{match.inliers} matching point{'s' * (match.inliers != 1)}"


def _number(values: Values, name: str) -> float:
    return float(values[name])


def _share(values: Values, digits: int = 0) -> str:
    return percent(_number(values, "share"), digits)


def _bars(values: Values, text: str = "") -> str:
    sides = str(values["sides"]).split(LIST_SEPARATOR)
    bars = "a bar" if len(sides) == 1 else "bars"
    return f"{bars}{text} at the {' and '.join(sides)} ({_share(values)} of the image)"


def _rotation(values: Values) -> str:
    degrees = _number(values, "degrees")
    whole = round(abs(degrees))
    direction = "" if whole == 180 else " clockwise" if degrees > 0 else " counterclockwise"
    return f"rotated by {max(whole, 1)}°{direction}"


def _stretch(values: Values) -> str:
    wide, tall = _number(values, "width"), _number(values, "height")
    if _MIN_SAME_SIDE < wide < _MAX_SAME_SIDE:
        return f"{'stretched' if tall > 1 else 'squeezed'} in height to {percent(tall, 0)}"
    if _MIN_SAME_SIDE < tall < _MAX_SAME_SIDE:
        return f"{'stretched' if wide > 1 else 'squeezed'} in width to {percent(wide, 0)}"
    return f"scaled to {percent(wide, 0)} in width and {percent(tall, 0)} in height"


def _at_positions(values: Values) -> str:
    return " and ".join(position_phrase(position) for position in str(values["positions"]).split(LIST_SEPARATOR))


def _small_differences(values: Values) -> str:
    return f"small differences {_at_positions(values)}" if "positions" in values else "small differences"


def _differs(what: str, values: Values) -> str:
    if "count" in values:
        return f"{what} in at least {_number(values, 'count'):.0f} places"
    return f"{what} {_at_positions(values)}"


def _in_image(values: Values, image: str) -> str:
    return f"{image} image ({_share(values, 1)} of it, {position_phrase(str(values['position']))})"


def _size_differs(values: Values) -> str:
    width, height, first_width, first_height = (
        f"{_number(values, name):.0f}" for name in ("width", "height", "first_width", "first_height")
    )
    return f"{width} × {height} instead of {first_width} × {first_height} pixels"


_ADDITIONS: Mapping[ChangeKind, str] = {
    ChangeKind.TEXT_ADDED: "text added",
    ChangeKind.MARK_ADDED: "something added",
}


def _added(kind: ChangeKind, values: Values) -> str:
    return f"{_ADDITIONS[kind]} {position_phrase(str(values['position']))}"


_FIXED: Mapping[ChangeKind, str] = {
    ChangeKind.PERSPECTIVE: "seen at an angle",
    ChangeKind.MIRROR: "mirrored",
    ChangeKind.FLIP: "flipped upside down",
    ChangeKind.NEGATIVE: "inverted to a negative",
    ChangeKind.GRAYSCALE: "converted to grayscale",
    ChangeKind.SINGLE_HUE: "toned in a single color",
    ChangeKind.RECOLOR: "recolored",
    ChangeKind.TINT: "tinted",
    ChangeKind.NOISE: "noise added",
    ChangeKind.BLUR: "blurred",
    ChangeKind.SHARPEN: "sharpened",
    ChangeKind.FINE_DETAIL: "fine detail differs throughout",
    ChangeKind.SAME_LAYOUT: "same layout",
    ChangeKind.ALL_DIFFERS: "different content throughout",
    ChangeKind.OTHER_COLORS: "different colors",
    ChangeKind.DETAILS_DIFFER: "different details",
    ChangeKind.DECIDED_BY_USER: "decided by you",
}

_COMPOSED: Mapping[ChangeKind, Callable[[Values], str]] = {
    ChangeKind.CROP: lambda values: f"cropped to {_share(values)}",
    ChangeKind.PART: lambda values: f"part of {_in_image(values, 'the first')}",
    ChangeKind.PASTED: lambda values: f"pasted into {_in_image(values, 'the second')}",
    ChangeKind.INSIDE_LARGER: lambda values: f"inside a larger image ({_share(values)} of it)",
    ChangeKind.BORDER: lambda values: f"border added ({_share(values)} of the image)",
    ChangeKind.BARS: _bars,
    ChangeKind.TEXT_BARS: lambda values: _bars(values, " with text"),
    ChangeKind.ROTATION: _rotation,
    ChangeKind.SCALE: lambda values: f"scaled to {percent(_number(values, 'factor'), 0)}",
    ChangeKind.STRETCH: _stretch,
    ChangeKind.SATURATION: lambda values: f"saturation {'reduced' if _number(values, 'factor') < 1 else 'increased'}",
    ChangeKind.BRIGHTNESS: lambda values: "brightened" if _number(values, "levels") > 0 else "darkened",
    ChangeKind.CONTRAST: lambda values: f"contrast {'reduced' if _number(values, 'factor') < 1 else 'increased'}",
    ChangeKind.TEXT_ADDED: lambda values: _added(ChangeKind.TEXT_ADDED, values),
    ChangeKind.MARK_ADDED: lambda values: _added(ChangeKind.MARK_ADDED, values),
    ChangeKind.SMALL_DIFFERENCES: _small_differences,
    ChangeKind.TEXT_DIFFERS: lambda values: _differs("different text or numbers", values),
    ChangeKind.CONTENT_DIFFERS: lambda values: _differs("different content", values),
    ChangeKind.BOTH_ADDED: lambda values: f"each image has its own addition {_at_positions(values)}",
    ChangeKind.SIZE_DIFFERS: _size_differs,
    ChangeKind.FORMAT_DIFFERS: lambda values: f"{values['format']} instead of {values['first_format']}",
}
