from dataclasses import replace

import cv2
import numpy as np
import pytest

from lookalike.image import EDITS
from lookalike.relate import Subject, judge
from lookalike.relate.content.quality import Quality, too_poor
from lookalike.relate.geometry.features import find_features
from lookalike.relate.probability.calibration_model import (
    Ambiguity,
    Calibration,
    calibration_from_json,
    default_geometry,
    undecided_reason,
)
from lookalike.relate.probability.logistic import Logistic
from lookalike.relate.probability.score_tail import Tail
from lookalike.relate.relation import Evidence, to_verdict
from lookalike.relate.words.explain import explain
from lookalike.relate.words.sentences import ambiguity_phrase
from lookalike.types import RGB, Relation
from tests.relate.conftest import features, scene

PLAIN = Calibration(geometry=default_geometry())
SCORED = Calibration(
    geometry=default_geometry(),
    by_score=Logistic(-6.0, (10.0,)),
    by_both=Logistic(-4.0, (1.0, 5.0)),
    tail=Tail(0.3, 0.1, 0.0, 0.01),
    source="model",
)


def subject(image: RGB, name: str = "") -> Subject:
    return Subject(name=name, features=find_features(image))


def test_relations_are_ordered_and_named() -> None:
    names = [str(r) for r in sorted(Relation)]
    assert names == ["cannot tell", "unrelated", "related", "same-object", "variant", "copy", "identical"]


def test_the_same_bytes_and_the_same_pixels_are_identical() -> None:
    by_bytes = judge(Subject(sha256="a" * 64), Subject(sha256="a" * 64), PLAIN)
    assert (by_bytes.relation, by_bytes.probability) == (Relation.IDENTICAL, 1.0)
    assert by_bytes.evidence.same_bytes
    first, second = (Subject(features=features(1), sha256=c * 64) for c in "ab")
    by_pixels = judge(first, second, PLAIN)
    assert by_pixels.relation is Relation.IDENTICAL
    assert not by_pixels.evidence.same_bytes


def test_strangers_are_unrelated_with_and_without_a_collection() -> None:
    """A pair is compared with 1,000 images: a score that one unrelated image in a hundred reaches is no relation."""
    for score, size, relation in (
        (0.2, 1, Relation.UNRELATED),
        (0.35, 1, Relation.UNRELATED),
        (0.2, 5000, Relation.UNRELATED),
        (0.999, 1, Relation.RELATED),
    ):
        verdict = to_verdict(Evidence(score=score), replace(SCORED, by_score=None), size=size)
        assert verdict.relation is relation
        assert verdict.probability > 0.5


@pytest.mark.parametrize("name", ["jpeg", "crop", "flip", "turn", "caption", "screenshot", "gray", "border"])
def test_an_edit_is_a_copy(name: str) -> None:
    verdict = judge(subject(EDITS[name].apply(scene(1), 0.5, 1)), Subject(features=features(1)), PLAIN)
    assert verdict.relation is Relation.COPY
    assert verdict.probability > 0.8


def test_a_low_score_does_not_count_against_contents_that_agree() -> None:
    edited = find_features(EDITS["flip"].apply(EDITS["jpeg"].apply(scene(1), 0.5, 1), 0.5, 1))
    alone = judge(Subject(features=edited), Subject(features=features(1)), PLAIN).copy
    low, high = (np.array([score, np.sqrt(1 - score**2)], np.float32) for score in (0.1, 0.95))
    stored = Subject(features=features(1), vector=np.array([1.0, 0.0], np.float32))
    by_low, by_high = (judge(Subject(features=edited, vector=v), stored, SCORED).copy for v in (low, high))
    assert by_low == alone > 0.9
    assert by_high > alone  # a high one counts for it
    strangers = Subject(features=features(2), vector=low)
    assert judge(strangers, stored, SCORED).relation is Relation.UNRELATED


def arrow(tip: tuple[int, int] = (200, 128), color: tuple[int, int, int] = (40, 90, 200)) -> RGB:
    image = np.full((256, 256, 3), 255, np.uint8)
    cv2.rectangle(image, (20, 20), (236, 236), (235, 235, 240), -1)
    cv2.arrowedLine(image, (60, 128), tip, color, 26, cv2.LINE_AA, tipLength=0.45)
    return image


def test_a_drawing_of_a_few_shapes_is_a_copy_only_where_all_of_it_agrees() -> None:
    original = subject(arrow())
    smaller = cv2.resize(arrow(), (180, 180), interpolation=cv2.INTER_AREA)
    assert judge(subject(smaller), original, PLAIN).relation is Relation.COPY
    dotted = cv2.circle(arrow(), (90, 190), 18, (210, 40, 40), -1)
    cases = (
        (arrow()[:, ::-1], Ambiguity.MIRRORED_DRAWING),
        (np.rot90(arrow()), Ambiguity.MIRRORED_DRAWING),
        (dotted, Ambiguity.DIFFERING_DRAWING),
    )
    for other, ambiguity in cases:
        verdict = judge(subject(np.ascontiguousarray(other)), original, PLAIN)
        assert verdict.relation is Relation.CANNOT_TELL
        assert verdict.copy <= 0.5
        assert verdict.evidence.match is not None
        assert undecided_reason(verdict.evidence.match, verdict.evidence.content) is ambiguity
        assert verdict.evidence.reason == ambiguity_phrase(ambiguity)


@pytest.mark.parametrize("side", [96, 128, 160])
def test_a_small_photograph_is_no_drawing_of_a_few_shapes(side: int) -> None:
    small = cv2.resize(scene(1), (side, side * 3 // 4), interpolation=cv2.INTER_AREA)
    verdict = judge(subject(np.ascontiguousarray(small[:, ::-1])), subject(small), PLAIN)
    assert verdict.relation is Relation.COPY
    assert verdict.evidence.match.mirrored


@pytest.mark.parametrize("other", [2, 3, 4])
def test_a_stranger_is_unrelated(other: int) -> None:
    verdict = judge(Subject(features=features(1)), Subject(features=features(other)), PLAIN)
    assert verdict.relation is Relation.UNRELATED
    assert verdict.copy < 0.1


def test_the_same_thing_before_another_ground_is_no_copy() -> None:
    def before(seed: int, x: int, y: int) -> RGB:
        page = scene(seed, 640, 480).copy()
        cv2.circle(mask := np.zeros((480, 640), np.uint8), (x + 130, y + 110), 105, 255, -1)
        thing = np.zeros_like(page)
        thing[y : y + 220, x : x + 260] = scene(7)[40:260, 60:320]
        page[mask > 0] = thing[mask > 0]
        return page

    verdict = judge(subject(before(30, 60, 50)), subject(before(31, 300, 200)), PLAIN)
    assert verdict.relation is Relation.SAME_OBJECT, verdict


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.full((200, 300, 3), 240, np.uint8), "too plain"),
        (scene(1)[:20, :20], "too small"),
        (cv2.GaussianBlur(scene(1), (0, 0), 25), "too blurred"),
    ],
)
def test_what_cannot_be_judged_is_said_to_be_so(image: RGB, reason: str) -> None:
    verdict = judge(subject(image, "it"), subject(EDITS["jpeg"].apply(scene(2), 0.5, 1)), PLAIN)
    assert verdict.relation is Relation.CANNOT_TELL
    assert reason in verdict.evidence.reason
    assert explain(image, scene(2), verdict).words.startswith("cannot tell: it is ")


@pytest.mark.parametrize(
    ("image", "quality"),
    [
        (np.full((200, 300, 3), 240, np.uint8), Quality.TOO_PLAIN),
        (scene(1)[:20, :20], Quality.TOO_SMALL),
        (cv2.GaussianBlur(scene(1), (0, 0), 25), Quality.TOO_BLURRED),
        (scene(1), None),
    ],
)
def test_why_an_image_cannot_be_judged_is_a_fact(image: RGB, quality: Quality | None) -> None:
    assert too_poor(find_features(np.ascontiguousarray(image))) is quality


def test_expected_false_matches_grow_with_the_collection() -> None:
    small, large = (to_verdict(Evidence(score=0.7), SCORED, size=n).expected_false_matches for n in (1000, 100_000))
    assert small == pytest.approx(1000 * 0.01 * np.exp(-4))
    assert large == pytest.approx(100 * small)


def test_a_high_score_alone_is_related() -> None:
    verdict = to_verdict(Evidence(score=0.55), SCORED, size=10)
    assert verdict.relation is Relation.RELATED
    assert verdict.probability == pytest.approx(1 / (1 + 0.1 * np.exp(-2.5)))
    assert to_verdict(Evidence(score=0.1), SCORED, size=10).relation is Relation.UNRELATED


def test_without_a_calibration_nothing_is_invented() -> None:
    verdict = to_verdict(Evidence(score=0.99), PLAIN)
    assert verdict.expected_false_matches is None
    assert verdict.copy == 0


def test_min_score_is_where_the_probability_is_reached() -> None:
    at = SCORED.min_score(0.9)
    assert SCORED.copy_by_score(np.array([at]))[0] == pytest.approx(0.9)
    assert PLAIN.min_score(0.5) == 1.0


def test_a_calibration_survives_json() -> None:
    again = calibration_from_json(SCORED.to_json(), source="model")
    assert again == SCORED
    assert calibration_from_json({}, source="model").source == "none"


@pytest.mark.parametrize(
    ("name", "strength", "words"),
    [
        ("crop", 0.5, "cropped to 60%"),
        ("flip", 0.5, "mirrored"),
        ("gray", 0.5, "converted to grayscale"),
        ("caption", 0.8, "text added"),
        ("logo", 0.8, "something added"),
        ("letterbox", 0.5, "bars at the top and bottom"),
        ("rotate", 0.5, "rotated by 16°"),
        ("resize", 0.7, "scaled to"),
    ],
)
def test_the_edit_is_told_in_words(name: str, strength: float, words: str) -> None:
    # A logo over a crowd of shapes is a shape, too.
    picture = cv2.GaussianBlur(scene(1), (0, 0), 3) if name == "logo" else scene(1)
    edited = EDITS[name].apply(picture, strength, 1)
    explanation = explain(picture, edited, judge(subject(picture), subject(edited), PLAIN)).words
    assert words in explanation
    assert "matching points" in explanation or "the aligned images match" in explanation


def test_nothing_is_told_that_was_not_done() -> None:
    _, data = cv2.imencode(".jpg", scene(1), (cv2.IMWRITE_JPEG_QUALITY, 95))
    edited = cv2.imdecode(data, cv2.IMREAD_COLOR)
    verdict = judge(Subject(features=features(1)), subject(edited), PLAIN)
    assert "no visible change" in explain(scene(1), edited, verdict).words


def test_what_was_added_is_placed() -> None:
    edited = scene(1).copy()
    edited[260:345, 350:460] = (255, 0, 200)
    verdict = judge(Subject(features=features(1)), subject(edited), PLAIN)
    (added,) = explain(scene(1), edited, verdict).added
    assert added.position == "bottom right"
    np.testing.assert_allclose(added.box, (350 / 480, 260 / 360, 110 / 480, 85 / 360), atol=0.04)
