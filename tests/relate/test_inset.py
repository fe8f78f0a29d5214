"""One image pasted small into the other: missed by a comparison of the whole images, found by `compare`."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.relate.compare import ImageComparison, compare
from lookalike.relate.find_in import find_in
from lookalike.relate.geometry.containment import outline_iou, part_shown
from lookalike.relate.geometry.features import find_features
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.relate.relation import Subject, judge
from lookalike.types import RGB, Relation
from tests.conftest import ColourEmbedder
from tests.relate.conftest import features, png, scene

PLAIN = Calibration(geometry=default_geometry())
Paste = Callable[..., tuple[RGB, np.ndarray]]


def compared(folder: Path, first: RGB, second: RGB) -> ImageComparison:
    names = []
    for name, image in (("first.png", first), ("second.png", second)):
        (folder / name).write_bytes(png(image))
        names.append(folder / name)
    return compare(names[0], names[1], ColourEmbedder(), PLAIN)


def white(width: int, height: int) -> RGB:
    """A page with lines of words at its top."""
    page = np.full((height, width, 3), 255, np.uint8)
    for n in range(6):
        cv2.putText(page, "the quick brown fox jumps over it", (40, 80 + 60 * n), 0, 1.2, (20, 20, 20), 2)
    return page


@pytest.fixture
def page(pasted: Paste) -> tuple[RGB, np.ndarray]:
    """800 x 1600; the scene on 1.9% of it."""
    return pasted(white(800, 1600), scene(1), 500, 1300, 180)


def test_the_wholes_alone_do_not_prove_it(page: tuple[RGB, np.ndarray]) -> None:
    verdict = judge(Subject(features=features(1)), Subject(features=find_features(page[0])), PLAIN)
    assert verdict.relation < Relation.COPY


def test_a_picture_pasted_small_into_a_page_is_a_copy_and_where_it_is_told(
    page: tuple[RGB, np.ndarray], tmp_path: Path
) -> None:
    comparison = compared(tmp_path, scene(1), page[0])
    match = comparison.verdict.evidence.match
    assert comparison.verdict.relation is Relation.COPY
    assert match is not None
    assert outline_iou(match.outline, page[1]) > 0.9
    assert comparison.explanation.words.startswith("copy: pasted into the second image (1.9% of it, at the bottom")
    (location,) = find_in(scene(1), page[0], PLAIN)  # find-in says the same
    assert (comparison.verdict.probability, match.inliers) == (location.probability, location.inliers)
    agreement_map = comparison.explanation.agreement_map
    assert agreement_map is not None
    assert agreement_map.shape == comparison.second.image.shape[:2]
    assert np.isfinite(agreement_map).mean() == pytest.approx(0.019, rel=0.2)
    assert np.nanmean(agreement_map) > 0.7


def test_the_page_first_and_its_part_second(page: tuple[RGB, np.ndarray], tmp_path: Path) -> None:
    comparison = compared(tmp_path, page[0], scene(1))
    match = comparison.verdict.evidence.match
    assert comparison.verdict.relation is Relation.COPY
    assert match is not None
    assert outline_iou(part_shown(match), page[1]) > 0.9
    assert match.scale == pytest.approx(480 / 180, rel=0.02)
    assert match.kept_first == pytest.approx(0.019, rel=0.1)
    np.testing.assert_allclose(match.points[:, 2:], match.points[:, 2:].clip(0, 1))
    assert comparison.explanation.words.startswith("copy: part of the first image (1.9% of it, at the bottom")
    assert "scaled to 26" in comparison.explanation.words
    assert comparison.explanation.agreement_map is not None
    assert np.nanmean(comparison.explanation.agreement_map) > 0.7


def test_turns_and_what_was_laid_on_are_told_of_the_part(pasted: Paste, tmp_path: Path) -> None:
    turned = np.ascontiguousarray(np.rot90(scene(1)))
    turned[:80, :200] = 255
    comparison = compared(tmp_path, scene(1), pasted(white(800, 1600), turned, 480, 1200, 190)[0])
    assert "rotated by 90° counterclockwise" in comparison.explanation.words
    assert any(a.box[0] > 0.5 and a.box[1] > 0.6 and a.box[2] < 0.25 for a in comparison.explanation.added)


def test_another_picture_on_the_page_is_no_copy(page: tuple[RGB, np.ndarray], tmp_path: Path) -> None:
    assert compared(tmp_path, scene(2), page[0]).verdict.relation < Relation.SAME_OBJECT
