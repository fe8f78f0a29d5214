from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lookalike.image import EDITS
from lookalike.relate.geometry.containment import outline_iou
from lookalike.relate.geometry.features import find_features
from lookalike.relate.geometry.transform import (
    TransformSummary,
    intersection_area,
    plausible,
    project,
    summarize_transform,
)
from lookalike.relate.geometry.verify import verify
from lookalike.types import RGB
from tests.relate.conftest import features, scene


@pytest.mark.parametrize("name", sorted(EDITS))
def test_every_edit_is_verified(name: str) -> None:
    copy = EDITS[name].apply(scene(1), 0.5, 3)
    match = verify(find_features(copy), features(1))
    assert match.agreement.structure > 0.55, match
    assert match.inliers >= 20 or match.model == "frame", match


@pytest.mark.parametrize("other", range(2, 12))
def test_strangers_are_not(other: int) -> None:
    match = verify(features(1), features(other))
    assert match.inliers < 8
    assert match.agreement.structure < 0.6


@pytest.mark.parametrize(("turns", "flip"), [(n, flip) for n in range(4) for flip in (False, True)])
def test_turn_and_mirror_are_told(turns: int, flip: bool) -> None:
    image = np.rot90(scene(1)[:, ::-1] if flip else scene(1), -turns)  # clockwise
    match = verify(features(1), find_features(np.ascontiguousarray(image)))
    assert match.mirrored == flip
    assert abs((match.turn - 90 * turns + 180) % 360 - 180) < 1
    assert match.scale == pytest.approx(1, abs=0.02)
    assert match.residual < 0.5


def test_place_scale_and_shares_of_a_pasted_picture(pasted: Callable[..., tuple[RGB, np.ndarray]]) -> None:
    page, outline = pasted(scene(20, 960, 720), scene(1), 400, 250, 360)
    match = verify(features(1), find_features(page))
    assert outline_iou(match.outline, outline) > 0.97
    assert match.scale == pytest.approx(0.75, abs=0.02)
    assert match.kept_first == pytest.approx(1, abs=0.01)
    assert match.kept_second == pytest.approx(360 * 270 / (960 * 720), abs=0.01)
    assert match.agreement.structure > 0.9


def test_a_crop_keeps_its_share() -> None:
    match = verify(features(1), find_features(scene(1)[60:300, 80:400]))
    assert match.kept_first == pytest.approx(320 * 240 / (480 * 360), abs=0.02)
    assert match.kept_second > 0.98


def test_points_are_where_the_transform_puts_them() -> None:
    match = verify(features(1), find_features(np.ascontiguousarray(scene(1)[60:300, 80:400][:, ::-1])))
    moved = project(match.transform, match.points[:, :2].astype(np.float64))
    assert np.abs(moved - match.points[:, 2:]).max() < 0.03
    assert len(match.points) == match.inliers


def test_perspective_needs_a_homography() -> None:
    corners = np.float32([(0, 0), (480, 0), (480, 360), (0, 360)])
    moved = np.float32([(40, 10), (440, 60), (470, 330), (10, 300)])
    warped = cv2.warpPerspective(scene(1), cv2.getPerspectiveTransform(corners, moved), (480, 360))
    match = verify(features(1), find_features(warped))
    assert match.model == "homography"
    assert np.abs(match.outline * (480, 360) - moved).max() < 4


@pytest.mark.parametrize("edit", [lambda x: x, lambda x: x[:, ::-1], lambda x: np.rot90(x, -1)])
def test_a_negative_is_found_and_is_a_copy(edit: Callable[[RGB], RGB]) -> None:
    match = verify(features(1), find_features(np.ascontiguousarray(255 - edit(scene(1)))))
    assert match.negative
    assert match.inliers > 100
    assert match.agreement.structure > 0.9
    assert not verify(features(1), find_features(np.ascontiguousarray(edit(scene(1))))).negative
    assert not verify(features(1), find_features(np.ascontiguousarray(255 - scene(2)))).inliers


def test_repeated_texture_is_no_proof() -> None:
    def bricks(seed: int) -> RGB:
        wall = np.full((360, 480, 3), 150, np.uint8)
        for y in range(0, 360, 30):
            for x in range(-30, 480, 60):
                left = x + 30 * (y // 30 % 2)
                cv2.rectangle(wall, (left, y), (left + 56, y + 26), (170, 70, 50), -1)
        grain = np.random.default_rng(seed).normal(0, 6, wall.shape)
        return np.clip(wall + grain, 0, 255).astype(np.uint8)

    match = verify(find_features(bricks(1)), find_features(np.roll(bricks(2), (11, 17), (0, 1))), frames=False)
    assert match.inliers < 30


def test_a_line_of_points_fixes_nothing() -> None:
    strip = np.full((360, 480, 3), 255, np.uint8)
    cv2.putText(strip, "A LINE OF TEXT HERE", (10, 180), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
    tall = np.full((360, 480, 3), 255, np.uint8)
    tall[100:130] = scene(2)[100:130]
    assert verify(find_features(strip), find_features(tall), frames=False).inliers < 8


def test_blur_without_features_is_found_by_the_whole_frame() -> None:
    blurred = cv2.GaussianBlur(scene(1), (0, 0), 12)
    match = verify(find_features(np.ascontiguousarray(np.rot90(blurred, -1))), features(1))
    assert match.agreement.structure > 0.5
    assert abs(abs(match.turn) - 90) < 5


@pytest.mark.parametrize(
    "corners",
    [
        [(0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)],
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(0, 0), (1, 0), (1, 0.01), (0, 0.01)],
    ],
)
def test_collapsed_and_crossed_outlines_are_not_plausible(corners: list[tuple[float, float]]) -> None:
    unit = np.float32([(0, 0), (1, 0), (1, 1), (0, 1)])
    moved = np.float32(corners) + np.float32([(0, 0), (1e-4, 0), (1e-4, 1e-4), (0, 1e-4)])
    matrix = cv2.getPerspectiveTransform(unit, moved)
    shape: TransformSummary = summarize_transform(matrix, (100, 100), (100, 100), mirrored=False)
    assert not plausible(shape)


def test_nothing_and_something() -> None:
    plain = find_features(np.full((100, 100, 3), 200, np.uint8))
    assert verify(plain, features(1)).inliers == 0
    assert verify(plain, plain).inliers == 0


def test_shared_area_by_hand() -> None:
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    assert intersection_area(square, square) == pytest.approx(1)
    assert intersection_area(square, square[::-1] + np.array((0.5, 0.5))) == pytest.approx(0.25)
    assert intersection_area(square, square + 3.0) == 0
    assert intersection_area(square * 0.5, square) == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(20))
def test_outlines_that_nearly_coincide_share_all(seed: int) -> None:
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    moved = square + np.random.default_rng(seed).normal(0, 1e-5, (4, 2))
    assert intersection_area(moved, square) == pytest.approx(1, abs=1e-3)
