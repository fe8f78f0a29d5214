"""Verdicts do not depend on which image is first; swapped or derived through a third, they equal direct ones."""

import cv2
import numpy as np
import pytest

from lookalike.image import EDITS
from lookalike.relate import Calibration, Subject, Verdict, chain, compare_images, judge, shows_the_same, swap_sides
from lookalike.relate.geometry.features import preview_features
from lookalike.relate.geometry.transform import UNIT_SQUARE, project
from lookalike.relate.probability.calibration_model import default_geometry
from lookalike.types import RGB
from tests.conftest import ColourEmbedder
from tests.relate.conftest import scene

PLAIN = Calibration(geometry=default_geometry())


def subject(image: RGB) -> Subject:
    return Subject(features=preview_features(image, (image.shape[1], image.shape[0])))


def judged(first: RGB, second: RGB) -> Verdict:
    return judge(subject(first), subject(second), PLAIN, depth="points")


def size(image: RGB) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def corners(verdict: Verdict) -> np.ndarray:
    assert verdict.evidence.match is not None
    return project(verdict.evidence.match.transform, UNIT_SQUARE)


PHOTO = scene(1)
CROP = np.ascontiguousarray(PHOTO[40:300, 60:420])
MIRRORED = np.ascontiguousarray(PHOTO[:, ::-1])
MARKED = cv2.putText(PHOTO.copy(), "FOR SALE", (60, 200), cv2.FONT_HERSHEY_DUPLEX, 2.5, (255, 255, 255), 8, cv2.LINE_AA)


def assert_same_claim(one: Verdict, other: Verdict) -> None:
    """The last bits of a mean of single-precision numbers may differ from call to call."""
    assert one.relation == other.relation
    assert (one.probability, one.copy) == pytest.approx((other.probability, other.copy), abs=1e-5)


@pytest.mark.parametrize("name", sorted(EDITS))
def test_which_image_is_first_does_not_change_the_verdict(name: str) -> None:
    edited = EDITS[name].apply(PHOTO, 0.5, 3)
    for first, second in ((PHOTO, edited), (EDITS["logo"].apply(PHOTO, 0.3, 1), edited)):
        there, back = judged(first, second), judged(second, first)
        assert_same_claim(there, back)
        assert there.evidence.reason == back.evidence.reason
        one, two = there.evidence.match, back.evidence.match
        assert one is not None
        assert two is not None
        assert (one.model, one.inliers) == (two.model, two.inliers)
        assert (one.kept_first, one.kept_second) == pytest.approx((two.kept_second, two.kept_first))


@pytest.mark.parametrize("name", ["paste", "meme", "crop", "logo"])
def test_which_image_is_first_does_not_change_a_comparison(name: str) -> None:
    embedder, edited = ColourEmbedder(), EDITS[name].apply(PHOTO, 0.8, 2)
    there, back = (
        compare_images(first, second, embedder=embedder, calibration=PLAIN).verdict
        for first, second in ((PHOTO, edited), (edited, PHOTO))
    )
    assert_same_claim(there, back)


@pytest.mark.parametrize("other", [CROP, MIRRORED, MARKED, scene(2)], ids=["crop", "mirror", "words", "stranger"])
def test_told_from_the_other_side_as_if_it_had_been_judged_so(other: RGB) -> None:
    there, back = judged(PHOTO, other), judged(other, PHOTO)
    swapped = swap_sides(there, size(PHOTO), size(other))
    assert swapped.relation == back.relation
    assert swapped.copy == pytest.approx(back.copy, abs=0.02)
    one, two = swapped.evidence.match, back.evidence.match
    assert one is not None
    assert two is not None
    if two.model != "none":
        assert np.abs(corners(swapped) - corners(back)).max() < 0.02
        assert (one.kept_first, one.kept_second) == pytest.approx((two.kept_first, two.kept_second), abs=0.02)
        assert one.scale == pytest.approx(two.scale, rel=0.02)
        assert one.mirrored == two.mirrored
    again = swap_sides(swapped, size(other), size(PHOTO))
    if there.evidence.content and there.evidence.match and there.evidence.match.model != "none":
        assert again.evidence.content is not None
        assert [r.kind for r in again.evidence.content.regions] == [r.kind for r in there.evidence.content.regions]


def test_what_was_added_to_one_is_removed_from_the_other() -> None:
    there = judged(PHOTO, MARKED)
    assert there.evidence.content is not None
    kinds = {region.kind for region in there.evidence.content.regions}
    back = swap_sides(there, size(PHOTO), size(MARKED)).evidence.content
    assert back is not None
    opposite = {"overlay": "uncovered", "uncovered": "overlay", "added": "removed", "removed": "added"}
    assert kinds
    assert {region.kind for region in back.regions} == {opposite.get(kind, kind) for kind in kinds}


def test_copies_of_a_mirrored_picture_are_copies_of_the_picture() -> None:
    between, mirrored_to_crop = judged(PHOTO, MIRRORED), judged(MIRRORED, CROP)
    assert shows_the_same(between)
    chained = chain(between, mirrored_to_crop, (size(PHOTO), size(CROP)), 0.5)
    direct = judged(PHOTO, CROP)
    assert np.abs(corners(chained) - corners(direct)).max() < 0.02
    assert chained.evidence.match is not None
    assert not chained.evidence.match.mirrored
    assert chained.copy <= min(between.copy, mirrored_to_crop.copy)


@pytest.mark.parametrize("other", [CROP, MARKED, scene(2)], ids=["crop", "words", "stranger"])
def test_what_shows_less_or_more_does_not_stand_for_a_picture(other: RGB) -> None:
    assert not shows_the_same(judged(PHOTO, other))
