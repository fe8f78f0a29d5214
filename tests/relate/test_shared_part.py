"""Only what two images share is judged: another screen of the same form, in a collage, is not that screen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.relate.compare import compare
from lookalike.relate.content.content import COARSE, overlap_of
from lookalike.relate.find_in import find_in, find_in_collection
from lookalike.relate.geometry.containment import outline_iou, part_shown
from lookalike.relate.geometry.features import find_features
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.local_search import search_by_parts, update_local_features
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.relate.shared_part import Sight, judge_shared_part, trimmed_box
from lookalike.search import Collection
from lookalike.types import RGB, Relation
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene

PLAIN = Calibration(geometry=default_geometry())
Paste = Callable[..., tuple[RGB, np.ndarray]]
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "knoll", "ledge")


def screen(seed: int) -> RGB:
    """A screen (700 x 520) of one app: the same bars, icons and labels, other words and another photo."""
    random = np.random.default_rng(seed)
    image = np.full((520, 700, 3), 246, np.uint8)
    image[:60] = (60, 90, 150)
    cv2.putText(image, "My Garden Planner", (20, 40), 0, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
    for n in range(5):
        cv2.circle(image, (40, 110 + 80 * n), 22, (80 + 30 * n, 200 - 30 * n, 120), -1, cv2.LINE_AA)
        cv2.putText(image, ("Home", "Beds", "Seeds", "Tasks", "Help")[n], (70, 118 + 80 * n), 0, 0.7, (40, 40, 40), 2)
        for row in range(2):
            words = " ".join(random.choice(WORDS, 3))
            cv2.putText(image, words, (180, 105 + 80 * n + 30 * row), 0, 0.7, (30, 30, 30), 2, cv2.LINE_AA)
    image[90:290, 460:680] = cv2.resize(scene(int(500 + seed)), (220, 200), interpolation=cv2.INTER_AREA)
    return image


@pytest.fixture
def slide(pasted: Paste) -> RGB:
    """A slide with the first screen on it."""
    page, _ = pasted(scene(41, 1400, 1000), screen(1), 100, 300, 640)
    return page


def test_another_screen_of_the_app_is_not_contained(tmp_path: Path, slide: RGB) -> None:
    assert find_in(screen(2), slide, PLAIN) == []
    (location,) = find_in(screen(1), slide, PLAIN)
    assert location.relation is Relation.COPY
    for name, image in (("first", screen(1)), ("second", screen(2)), ("slide", slide)):
        (tmp_path / f"{name}.png").write_bytes(png(image))
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.add([tmp_path / "first.png", tmp_path / "second.png"], ["first", "second"])
        update_local_features(photos)
        assert [one.id for one in find_in_collection(photos, slide, PLAIN)] == ["first"]
        found = [hit.hit.id for hit in search_by_parts(photos, slide, 5) if hit.containment]
    assert found == ["first"]
    relations = [
        compare(tmp_path / f"{name}.png", tmp_path / "slide.png", ColourEmbedder(), PLAIN).verdict.relation
        for name in ("first", "second")
    ]
    assert relations[0] is Relation.COPY
    assert relations[1] < Relation.COPY


def cell_of_collage() -> tuple[RGB, np.ndarray]:
    """A collage, one cell of which shows the middle of a scene, its sides cut off; and the cell's place."""
    page = cv2.resize(scene(60), (900, 700), interpolation=cv2.INTER_CUBIC)
    middle = scene(3)[:, 80:400]  # two thirds of the width
    page[200:560, 300:620] = middle
    return page, np.array([(300, 200), (620, 200), (620, 560), (300, 560)]) / (900, 700)


def test_a_cell_that_shows_only_the_middle_is_a_copy_of_it() -> None:
    page, cell = cell_of_collage()
    query, stored = Sight.of(page), Sight.of(scene(3))
    hint = verify(query.features, stored.features)
    judged = judge_shared_part(query, stored, hint, PLAIN)
    assert judged is not None
    match = judged.match
    assert judged.verdict.relation is Relation.COPY
    assert outline_iou(judged.in_first, cell) > 0.8  # the rim along the seam is left out
    middle = np.array([(80, 0), (400, 0), (400, 360), (80, 360)]) / (480, 360)
    assert outline_iou(judged.in_second, middle) > 0.8
    whole = cell.copy()
    whole[[0, 3], 0] -= 80 / 900  # the outline is that of the whole scene, of which the cell shows the middle
    whole[[1, 2], 0] += 80 / 900
    assert outline_iou(part_shown(match), whole) > 0.95


def test_strips_that_differ_are_dropped_and_a_hole_is_not() -> None:
    first = scene(7)
    strip, hole = first.copy(), first.copy()
    strip[:, :120] = scene(8)[:, :120]
    hole[120:240, 160:320] = scene(8)[120:240, 160:320]
    boxes = {}
    for name, second in (("strip", strip), ("hole", hole), ("same", first)):
        overlap = overlap_of(first, second, np.eye(3), side=COARSE)
        assert overlap is not None
        boxes[name] = trimmed_box(overlap)
    assert boxes["strip"] is not None
    left, top, width, height = boxes["strip"]
    assert left == pytest.approx(120 / 480, abs=0.06)
    assert (top, left + width, height) == (0, 1, 1)
    assert boxes["hole"] is None
    assert boxes["same"] is None


def test_strips_beside_a_plain_sky_leave_the_sky() -> None:
    """In the rows of the sky, only the strips have anything to compare; the sky is not dropped with them."""
    first = scene(7).copy()
    first[:160] = cv2.GaussianBlur(first[:160], (0, 0), 60)
    second = first.copy()
    second[:, :80], second[:, 400:] = scene(8)[:, :80], scene(8)[:, 400:]
    overlap = overlap_of(first, second, np.eye(3), side=COARSE)
    assert overlap is not None
    box = trimmed_box(overlap)
    assert box is not None
    left, top, width, height = box
    assert (left, width) == pytest.approx((80 / 480, 320 / 480), abs=0.09)
    assert (top, height) == (0, 1)


def test_too_little_may_not_be_left() -> None:
    first, second = scene(7), scene(7).copy()
    second[:, :340] = scene(8)[:, :340]
    overlap = overlap_of(first, second, np.eye(3), side=COARSE)
    assert overlap is not None
    assert trimmed_box(overlap) is None


def test_a_hint_that_leads_nowhere() -> None:
    query, stored = Sight.of(scene(1)), Sight.of(scene(2))
    hint = replace(Match(), model="similarity", inliers=9, kept_first=1.0, kept_second=0.2)
    tiny = np.array([(0.5, 0.5), (0.501, 0.5), (0.501, 0.501), (0.5, 0.501)])
    assert judge_shared_part(query, stored, replace(hint, outline=tiny), PLAIN) is None
    corner = np.array([(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)])
    judged = judge_shared_part(query, stored, replace(hint, outline=corner), PLAIN)
    assert judged is None or judged.verdict.relation < Relation.SAME_OBJECT


def test_features_of_a_reduced_image_keep_its_size() -> None:
    assert find_features(scene(1)).width == Sight.of(scene(1)).features.width == 480
    assert Sight.of(scene(1), (960, 720)).features.width == 960
