"""Kinds of copies, used as filters of the review page: derived from an extra's relation, changes and transform."""

import re
from collections.abc import Mapping

from lookalike.types import ChangeKind, Extra, Relation, Shares

KINDS = ("identical", "resized", "cropped", "turned", "added", "other")
"""Identical; resized or recompressed; cropped; mirrored or rotated; something added; any other difference."""

_KINDS_OF_CHANGES: Mapping[ChangeKind, str] = {
    ChangeKind.CROP: "cropped",
    ChangeKind.PART: "cropped",
    **dict.fromkeys((ChangeKind.MIRROR, ChangeKind.FLIP, ChangeKind.ROTATION, ChangeKind.PERSPECTIVE), "turned"),
    **dict.fromkeys((ChangeKind.PASTED, ChangeKind.INSIDE_LARGER), "added"),
    **dict.fromkeys((ChangeKind.BORDER, ChangeKind.BARS, ChangeKind.TEXT_BARS), "added"),
    **dict.fromkeys((ChangeKind.TEXT_ADDED, ChangeKind.MARK_ADDED), "added"),
    **dict.fromkeys((ChangeKind.SCALE, ChangeKind.STRETCH, ChangeKind.FINE_DETAIL), "resized"),
    **dict.fromkeys((ChangeKind.SIZE_DIFFERS, ChangeKind.FORMAT_DIFFERS), "resized"),
}
"""The kind of each change; a change that is not here is "other"."""

# The first pattern that matches words saved by older versions is their kind; words without a match are "other".
_PATTERNS = (
    ("added", re.compile(r"\badded\b|\bborder\b|\bbars?\b|larger picture|\bpasted\b")),
    ("cropped", re.compile(r"\bcrop")),
    ("turned", re.compile(r"mirrored|flipped|\bturned\b|at an angle")),
    (
        "resized",
        re.compile(
            r"scaled|stretched|squeezed|smaller|larger|pixels|\binstead of\b|fine detail|nothing visible|matching point"
            r"|agree as a whole|^score\b"
        ),
    ),
)
_MIN_CUT_OFF = 0.05  # of a side, beyond which a corner of the kept image counts as cut off


def kinds_of(extra: Extra) -> tuple[str, ...]:
    """Return the kinds of an extra, at least one, in the order of KINDS."""
    if extra.relation == str(Relation.IDENTICAL):
        return ("identical",)
    if extra.changes is None:
        kinds = _kinds_from_saved_words(extra.words)
    else:
        kinds = {_KINDS_OF_CHANGES.get(change.kind, "other") for change in extra.changes} or {"resized"}
    kinds |= _by_transform(extra.transform)
    if len(kinds) > 1:
        kinds.discard("resized")  # nearly every edit also recompresses the file
    return tuple(kind for kind in KINDS if kind in kinds) or ("other",)


def _kinds_from_saved_words(words: str) -> set[str]:
    """Return the kinds of an extra that an older version saved: it has words, but no changes."""
    phrases = [phrase.strip() for phrase in re.split(r"[;,]", words) if phrase.strip()]
    return {next((kind for kind, pattern in _PATTERNS if pattern.search(phrase)), "other") for phrase in phrases}


def _by_transform(transform: Shares | None) -> set[str]:
    """Return the kinds that a transform shows: "cropped", "turned"."""
    if transform is None:
        return set()
    (a, b, _), (c, d, _), _ = transform
    kinds = {"turned"} if a * d - b * c < 0 or abs(b * c) > abs(a * d) or (a < 0 and d < 0) else set()
    corners = [_apply(transform, x, y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    if any(not -_MIN_CUT_OFF <= value <= 1 + _MIN_CUT_OFF for corner in corners for value in corner):
        kinds.add("cropped")
    return kinds


def _apply(transform: Shares, x: float, y: float) -> tuple[float, float]:
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in transform)
    return (u / w, v / w) if w else (0.0, 0.0)
