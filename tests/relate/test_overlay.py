import cv2
import numpy as np
import pytest

from lookalike.relate.geometry.overlay import agreement
from lookalike.relate.words.color import color_change
from tests.relate.conftest import scene

SAME = np.eye(3)


def small(seed: int = 1) -> np.ndarray:
    return cv2.resize(scene(seed), (128, 96), interpolation=cv2.INTER_AREA)


def test_a_picture_agrees_with_itself_and_not_with_another() -> None:
    same, other = agreement(small(), small(), SAME), agreement(small(), small(2), SAME)
    assert same.structure > 0.99
    assert same.color > 0.99
    assert same.first_inside > 0.99
    assert other.structure < 0.5


def test_brighter_and_grey_agree_in_structure_and_inverted_does_not() -> None:
    gray_image = cv2.cvtColor(cv2.cvtColor(small(), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert agreement(small(), gray_image, SAME).structure > 0.97
    assert agreement(small(), gray_image, SAME).color == 0
    assert agreement(small(), (small() * 0.5 + 60).astype(np.uint8), SAME).structure > 0.95
    assert agreement(small(), 255 - small(), SAME).structure < 0.3


def test_the_worst_place_tells_one_thing_laid_on_from_an_edit_of_the_whole() -> None:
    face = np.full((90, 90, 3), 250, np.uint8)
    cv2.circle(face, (45, 45), 30, (220, 180, 30), -1)
    tear = face.copy()
    cv2.circle(tear, (36, 50), 6, (30, 90, 220), -1)
    assert agreement(face, face, SAME).worst < 0.01
    assert agreement(face, cv2.GaussianBlur(face, (0, 0), 1.0), SAME).worst < 0.35
    assert agreement(face, (face * 0.8).astype(np.uint8), SAME).worst < 0.1
    assert agreement(face, tear, SAME).worst > 0.5


def test_another_hue_is_not_the_same_colour() -> None:
    red, blue = np.full((90, 90, 3), 128, np.uint8), np.full((90, 90, 3), 128, np.uint8)
    cv2.circle(red, (45, 45), 30, (220, 30, 30), -1)
    cv2.circle(blue, (45, 45), 30, (30, 30, 220), -1)
    assert agreement(red, red, SAME).color > 0.99
    assert agreement(red, blue, SAME).color < 0.2


def test_pictures_that_hardly_meet_have_nothing_to_agree_on() -> None:
    away = np.array([[1.0, 0, 126], [0, 1, 94], [0, 0, 1]])
    assert agreement(small(), small(), away).structure == 0


def test_color_change_by_hand() -> None:
    inside = np.ones(small().shape[:2], bool)
    darker = color_change(small(), np.clip(small() - np.int16(40), 0, 255).astype(np.uint8), inside)
    assert -45 < darker.brighter < -30
    assert not darker.gray
    assert darker.hue < 5
    assert darker.tint < 2
    assert not darker.toned
    gray_image = np.repeat(small().mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert color_change(small(), gray_image, inside).gray
    assert color_change(small(), np.ascontiguousarray(small()[..., ::-1]), inside).hue > 90
    assert color_change(small(), 255 - small(), inside).inverted
    assert color_change(small(), cv2.GaussianBlur(small(), (0, 0), 2), inside).sharpness < 0.5
    assert color_change(small(), small(), inside).sharpness == pytest.approx(1)


def test_color_change_finds_the_colours_again_in_spite_of_something_laid_on() -> None:
    changed = np.clip(small() * np.array([0.8, 0.9, 0.7]) + 10, 0, 255).astype(np.uint8)
    stained = changed.copy()
    stained[:30, :30] = (255, 0, 255)
    matched = color_change(small(), stained, np.ones(small().shape[:2], bool)).apply(small())
    assert np.abs(matched[40:].astype(int) - changed[40:]).mean() < 2
