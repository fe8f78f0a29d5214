"""Facts become words in one place, and every fact has words."""

import pytest

from lookalike.relate.content.quality import Quality
from lookalike.relate.probability.calibration_model import Ambiguity
from lookalike.relate.words.sentences import ambiguity_phrase, phrase, quality_phrase
from lookalike.types import Change, ChangeKind

PHRASES = [
    (ChangeKind.CROP, {"share": 0.36}, "cropped to 36%"),
    (ChangeKind.PART, {"share": 0.019, "position": "bottom right"},
     "part of the first image (1.9% of it, at the bottom right)"),
    (ChangeKind.PASTED, {"share": 0.019, "position": "middle"},
     "pasted into the second image (1.9% of it, in the middle)"),
    (ChangeKind.INSIDE_LARGER, {"share": 0.3}, "inside a larger image (30% of it)"),
    (ChangeKind.BORDER, {"share": 0.12}, "border added (12% of the image)"),
    (ChangeKind.BARS, {"sides": "top", "share": 0.16}, "a bar at the top (16% of the image)"),
    (ChangeKind.BARS, {"sides": "left, right", "share": 0.2}, "bars at the left and right (20% of the image)"),
    (ChangeKind.TEXT_BARS, {"sides": "top", "share": 0.16}, "a bar with text at the top (16% of the image)"),
    (ChangeKind.PERSPECTIVE, {"slant": 1.2}, "seen at an angle"),
    (ChangeKind.MIRROR, {}, "mirrored"),
    (ChangeKind.FLIP, {}, "flipped upside down"),
    (ChangeKind.ROTATION, {"degrees": 89.8}, "rotated by 90° clockwise"),
    (ChangeKind.ROTATION, {"degrees": -7.4}, "rotated by 7° counterclockwise"),
    (ChangeKind.ROTATION, {"degrees": -180.0}, "rotated by 180°"),
    (ChangeKind.ROTATION, {"degrees": 0.4}, "rotated by 1° clockwise"),
    (ChangeKind.SCALE, {"factor": 0.5}, "scaled to 50%"),
    (ChangeKind.STRETCH, {"width": 1.0, "height": 1.4}, "stretched in height to 140%"),
    (ChangeKind.STRETCH, {"width": 1.0, "height": 0.6}, "squeezed in height to 60%"),
    (ChangeKind.STRETCH, {"width": 1.4, "height": 1.0}, "stretched in width to 140%"),
    (ChangeKind.STRETCH, {"width": 0.6, "height": 1.0}, "squeezed in width to 60%"),
    (ChangeKind.STRETCH, {"width": 0.5, "height": 0.75}, "scaled to 50% in width and 75% in height"),
    (ChangeKind.NEGATIVE, {}, "inverted to a negative"),
    (ChangeKind.GRAYSCALE, {}, "converted to grayscale"),
    (ChangeKind.SINGLE_HUE, {}, "toned in a single color"),
    (ChangeKind.RECOLOR, {"degrees": 60.0}, "recolored"),
    (ChangeKind.TINT, {"levels": 12.0}, "tinted"),
    (ChangeKind.SATURATION, {"factor": 0.5}, "saturation reduced"),
    (ChangeKind.SATURATION, {"factor": 1.5}, "saturation increased"),
    (ChangeKind.BRIGHTNESS, {"levels": 20.0}, "brightened"),
    (ChangeKind.BRIGHTNESS, {"levels": -20.0}, "darkened"),
    (ChangeKind.CONTRAST, {"factor": 0.7}, "contrast reduced"),
    (ChangeKind.CONTRAST, {"factor": 1.3}, "contrast increased"),
    (ChangeKind.NOISE, {"levels": 6.0}, "noise added"),
    (ChangeKind.BLUR, {"sharpness": 0.3}, "blurred"),
    (ChangeKind.SHARPEN, {"sharpness": 2.0}, "sharpened"),
    (ChangeKind.FINE_DETAIL, {"levels": 5.0}, "fine detail differs throughout"),
    (ChangeKind.TEXT_ADDED, {"position": "bottom"}, "text added at the bottom"),
    (ChangeKind.MARK_ADDED, {"position": "middle"}, "something added in the middle"),
    (ChangeKind.SMALL_DIFFERENCES, {}, "small differences"),
    (ChangeKind.SMALL_DIFFERENCES, {"positions": "top, middle"}, "small differences at the top and in the middle"),
    (ChangeKind.SAME_LAYOUT, {}, "same layout"),
    (ChangeKind.TEXT_DIFFERS, {"positions": "right"}, "different text or numbers at the right"),
    (ChangeKind.TEXT_DIFFERS, {"count": 5.0}, "different text or numbers in at least 5 places"),
    (ChangeKind.CONTENT_DIFFERS, {"positions": "top left"}, "different content at the top left"),
    (ChangeKind.BOTH_ADDED, {"positions": "top, bottom"},
     "each image has its own addition at the top and at the bottom"),
    (ChangeKind.ALL_DIFFERS, {}, "different content throughout"),
    (ChangeKind.OTHER_COLORS, {"levels": 30.0}, "different colors"),
    (ChangeKind.DETAILS_DIFFER, {}, "different details"),
    (ChangeKind.SIZE_DIFFERS, {"width": 20, "height": 10, "first_width": 40, "first_height": 30},
     "20 × 10 instead of 40 × 30 pixels"),
    (ChangeKind.FORMAT_DIFFERS, {"format": "JPEG", "first_format": "PNG"}, "JPEG instead of PNG"),
    (ChangeKind.DECIDED_BY_USER, {}, "decided by you"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "words"), PHRASES)
def test_a_change_in_words(kind: ChangeKind, values: dict[str, float | str], words: str) -> None:
    assert phrase(Change(kind, values)) == words


def test_every_kind_of_change_has_words() -> None:
    assert {kind for kind, _, _ in PHRASES} == set(ChangeKind)


def test_every_ambiguity_has_words() -> None:
    assert [ambiguity_phrase(ambiguity) for ambiguity in Ambiguity] == [
        "both are simple drawings, which match only if one is mirrored or rotated",
        "both are simple drawings, which differ in one place",
        "the layouts match, but there is too little content to compare",
    ]


def test_every_quality_has_words() -> None:
    phrases = [quality_phrase(quality, 30, 20) for quality in Quality]
    assert phrases == ["too small (30 x 20 pixels)", "too plain", "too blurred"]
