"""Kinds of copies: what a filter of the review page finds."""

import pytest

from lookalike.duplicates.review.kinds import kinds_of
from lookalike.types import Change, ChangeKind, Extra, Shares

WHOLE: Shares = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
MIRRORED: Shares = ((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
QUARTER: Shares = ((0.0, -1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
HALF: Shares = ((-1.0, 0.0, 1.0), (0.0, -1.0, 1.0), (0.0, 0.0, 1.0))
PART: Shares = ((1.25, 0.0, -0.125), (0.0, 1.25, -0.125), (0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("words", "transform", "kinds"),
    [
        ("nothing visible was changed; 63 matching points; JPEG instead of PNG", WHOLE, "resized"),
        ("scaled to 70%; the pictures agree as a whole", WHOLE, "resized"),
        ("fine detail differs all over; 12 matching points", None, "resized"),
        ("score 0.981", None, "resized"),
        ("83% crop; 62 matching points", None, "cropped"),
        ("nothing visible was changed; 62 matching points", PART, "cropped"),
        ("mirrored, scaled to 50%; 9 matching points", None, "turned"),
        ("turned by 90° clockwise; 9 matching points", None, "turned"),
        ("nothing visible was changed; 9 matching points", MIRRORED, "turned"),
        ("nothing visible was changed; 9 matching points", QUARTER, "turned"),
        ("nothing visible was changed; 9 matching points", HALF, "turned"),
        ("text added at the bottom; 41 matching points", WHOLE, "added"),
        ("a border around it (12% of the picture); 41 matching points", WHOLE, "added"),
        ("inside a larger picture (30% of it); 41 matching points", WHOLE, "added"),
        ("80% crop, mirrored, made grey; 41 matching points", None, "cropped turned other"),
        ("made brighter; 41 matching points", WHOLE, "other"),
        ("as you decided", None, "other"),
        ("", None, "other"),
    ],
)
def test_a_kind_is_read_from_words_of_older_versions(words: str, transform: Shares | None, kinds: str) -> None:
    extra = Extra(id="x", score=0.9, relation="copy", probability=1.0, words=words, reason="", transform=transform)
    assert " ".join(kinds_of(extra)) == kinds


@pytest.mark.parametrize(
    ("changes", "transform", "kinds"),
    [
        ((), None, "resized"),
        ((), PART, "cropped"),
        ((), MIRRORED, "turned"),
        (("fine_detail", "format_differs"), WHOLE, "resized"),
        (("size_differs",), None, "resized"),
        (("scale",), WHOLE, "resized"),
        (("crop",), None, "cropped"),
        (("mirror", "scale"), None, "turned"),
        (("rotation",), None, "turned"),
        (("perspective",), None, "turned"),
        (("text_added",), WHOLE, "added"),
        (("border",), WHOLE, "added"),
        (("text_bars",), WHOLE, "added"),
        (("inside_larger",), WHOLE, "added"),
        (("crop", "mirror", "grayscale"), None, "cropped turned other"),
        (("brightness", "format_differs"), WHOLE, "other"),
        (("same_layout", "crop"), None, "cropped other"),
        (("decided_by_user",), None, "other"),
    ],
)
def test_a_kind_is_read_from_changes_and_transform(
    changes: tuple[str, ...], transform: Shares | None, kinds: str
) -> None:
    facts = tuple(Change(ChangeKind(kind)) for kind in changes)
    # Words are for people only: these name every kind.
    words = "crop, mirrored, a border, made grey; 9 matching points"
    extra = Extra(
        id="x", score=0.9, relation="copy", probability=1.0, words=words, reason="", transform=transform, changes=facts
    )
    assert " ".join(kinds_of(extra)) == kinds


def test_the_same_bytes_are_identical_and_an_unknown_relation_has_a_kind() -> None:
    facts = {"id": "x", "score": 0.9, "probability": 1.0, "reason": ""}
    assert kinds_of(Extra(**facts, relation="identical", words="the same bytes")) == ("identical",)
    assert kinds_of(Extra(**facts, relation="same-template", words="another text")) == ("other",)
