"""The explanation of an edit names that edit and no others."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lookalike.relate import Subject, judge
from lookalike.relate.geometry.features import find_features
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.relate.words.explain import Explanation, explain
from lookalike.relate.words.sentences import phrases
from lookalike.types import RGB, ChangeKind
from tests.relate.conftest import features, scene

PLAIN = Calibration(geometry=default_geometry())


def explain_edit(edited: RGB, seed: int = 1) -> Explanation:
    edited = np.ascontiguousarray(edited)
    verdict = judge(Subject(features=features(seed)), Subject(features=find_features(edited)), PLAIN)
    return explain(scene(seed), edited, verdict)


def middle(image: RGB) -> RGB:
    height, width = image.shape[:2]
    return image[height // 5 : height * 4 // 5, width // 5 : width * 4 // 5]


def turned(image: RGB, degrees: float) -> RGB:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC)[40:-40, 50:-50]


def slanted(image: RGB) -> RGB:
    height, width = image.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    moved = np.array([(60, 30), (width - 20, 0), (width, height - 50), (0, height)], np.float32)
    return cv2.warpPerspective(image, cv2.getPerspectiveTransform(corners, moved), (width, height))


def lettered_bar(image: RGB) -> RGB:
    bar = np.full((70, image.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, "when you see it, you know it", (12, 48), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
    return np.concatenate((bar, image))


def grainy(image: RGB) -> RGB:
    noise = np.random.default_rng(3).normal(0, 60, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def sepia(image: RGB) -> RGB:
    gray = image.mean(axis=2, keepdims=True)
    return np.clip(gray * (1.05, 0.85, 0.6), 0, 255).astype(np.uint8)


def pixelated(image: RGB) -> RGB:
    small = cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


@pytest.mark.parametrize(
    ("edit", "changes"),
    [
        (lambda x: x[:, ::-1], ["mirrored"]),
        (lambda x: x[::-1], ["flipped upside down"]),
        (lambda x: x[::-1, ::-1], ["rotated by 180°"]),
        (lambda x: np.rot90(x, -1), ["rotated by 90° clockwise"]),
        (lambda x: np.rot90(x, 1), ["rotated by 90° counterclockwise"]),
        (lambda x: np.rot90(x[:, ::-1], -1), ["mirrored", "rotated by 90° clockwise"]),
        (middle, ["cropped to 36%"]),
        (lambda x: middle(x)[:, ::-1], ["cropped to 36%", "mirrored"]),
        (lambda x: x[9:-9, 12:-12], ["cropped to 90%"]),
        (lambda x: turned(x, 7), ["cropped to 62%", "rotated by 7° clockwise"]),
        (lambda x: cv2.resize(x, (480, 504)), ["stretched in height to 140%"]),
        (lambda x: cv2.resize(x, (288, 360)), ["squeezed in width to 60%"]),
        (lambda x: cv2.resize(x, (240, 360 * 3 // 4)), ["scaled to 50% in width and 75% in height"]),
        (lettered_bar, ["a bar with text at the top (16% of the image)"]),
        (lambda x: cv2.copyMakeBorder(x, 60, 60, 0, 0, 0), ["bars at the top and bottom (25% of the image)"]),
        (lambda x: cv2.copyMakeBorder(x, 40, 40, 40, 40, 0), ["border added (30% of the image)"]),
        (lambda x: (x // 2 + 64).astype(np.uint8), ["contrast reduced"]),
        (lambda x: np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8), ["converted to grayscale"]),
        (lambda x: np.clip(x * np.float32(1.5), 0, 255).astype(np.uint8), ["brightened", "contrast increased"]),
        (lambda x: cv2.GaussianBlur(x, (0, 0), 4), ["blurred"]),
    ],
)
def test_what_was_done_is_told_and_nothing_else(edit: Callable[[RGB], RGB], changes: list[str]) -> None:
    explanation = explain_edit(edit(scene(1)))
    assert phrases(explanation.changes) == changes
    assert explanation.added == ()


@pytest.mark.parametrize(
    ("edit", "word"),
    [(grainy, "noise added"), (sepia, "toned in a single color"), (slanted, "seen at an angle"),
     (pixelated, "fine detail differs throughout")],
)  # fmt: skip
def test_what_was_done_is_told(edit: Callable[[RGB], RGB], word: str) -> None:
    assert word in phrases(explain_edit(edit(scene(1))).changes)


@pytest.mark.parametrize(
    ("edit", "kind", "values"),
    [
        (middle, ChangeKind.CROP, {"share": 0.36}),
        (lambda x: turned(x, 7), ChangeKind.ROTATION, {"degrees": 7.0}),
        (lambda x: np.rot90(x, 1), ChangeKind.ROTATION, {"degrees": -90.0}),
        (lambda x: cv2.resize(x, (240, 180)), ChangeKind.SCALE, {"factor": 0.5}),
        (lambda x: cv2.resize(x, (240, 270)), ChangeKind.STRETCH, {"width": 0.5, "height": 0.75}),
        (lambda x: cv2.copyMakeBorder(x, 60, 60, 0, 0, 0), ChangeKind.BARS, {"sides": "top, bottom", "share": 0.25}),
        (lambda x: (x // 2 + 64).astype(np.uint8), ChangeKind.CONTRAST, {"factor": 0.5}),
    ],
)
def test_a_change_has_the_values_that_were_applied(
    edit: Callable[[RGB], RGB], kind: ChangeKind, values: dict[str, float | str]
) -> None:
    (change,) = [change for change in explain_edit(edit(scene(1))).changes if change.kind is kind]
    numbers = {name: value for name, value in values.items() if isinstance(value, float)}
    assert {name: change.values[name] for name in numbers} == pytest.approx(numbers, rel=0.02)
    assert {name: value for name, value in change.values.items() if name not in numbers} == {
        name: value for name, value in values.items() if name not in numbers
    }


def test_a_caption_on_a_mirrored_crop_is_the_only_thing_added() -> None:
    edited = np.ascontiguousarray(middle(scene(2))[:, ::-1])
    edited[-26:] = 0
    cv2.putText(edited, "Greetings 2024", (8, 209), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
    explanation = explain_edit(edited, seed=2)
    assert ChangeKind.MIRROR in [change.kind for change in explanation.changes]
    assert [added.position for added in explanation.added] == ["bottom"]
