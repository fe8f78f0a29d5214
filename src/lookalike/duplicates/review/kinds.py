"""Kinds of copies, by which a person filters groups: read from an extra's relation, its words and its transform."""

import re

from lookalike.types import Extra, Relation, Shares

KINDS = ("identical", "resized", "cropped", "turned", "added", "other")
"""identical; resized or recompressed; cropped; mirrored or turned; something added; anything else that differs."""

# The first that fits a change names its kind; a change that none fits is "other".
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
_BEYOND = 0.05  # of a side, from which a corner of the kept picture counts as cut off


def kinds_of(extra: Extra) -> tuple[str, ...]:
    """The kinds of an extra, at least one, in the order of KINDS."""
    if extra.relation == str(Relation.IDENTICAL):
        return ("identical",)
    changes = [change.strip() for change in re.split(r"[;,]", extra.words) if change.strip()]
    kinds = {_kind_of(change) for change in changes} | _by_transform(extra.transform)
    if len(kinds) > 1:
        kinds.discard("resized")  # nearly every edit also saves the file again
    return tuple(kind for kind in KINDS if kind in kinds) or ("other",)


def _kind_of(change: str) -> str:
    return next((kind for kind, pattern in _PATTERNS if pattern.search(change)), "other")


def _by_transform(transform: Shares | None) -> set[str]:
    """What is cut off, mirrored or turned, as far as a transform tells."""
    if transform is None:
        return set()
    (a, b, _), (c, d, _), _ = transform
    kinds = {"turned"} if a * d - b * c < 0 or abs(b * c) > abs(a * d) or (a < 0 and d < 0) else set()
    corners = [_moved(transform, x, y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    if any(not -_BEYOND <= value <= 1 + _BEYOND for corner in corners for value in corner):
        kinds.add("cropped")
    return kinds


def _moved(transform: Shares, x: float, y: float) -> tuple[float, float]:
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in transform)
    return (u / w, v / w) if w else (0.0, 0.0)
