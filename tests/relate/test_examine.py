"""The order of comparison: which files are read, and which are not."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from lookalike.image import decode, thumbnail
from lookalike.relate import Calibration, Subject, judge
from lookalike.relate.geometry.features import preview_features
from lookalike.relate.probability.calibration_model import default_geometry
from lookalike.types import RGB, Relation
from tests.relate.conftest import scene
from tests.relate.test_content import page

PLAIN = Calibration(geometry=default_geometry())


def known(image: RGB, requested: list[int]) -> Subject:
    """An image as a collection stores it; `requested` records when its file is read."""

    def load(side: int) -> RGB:
        requested.append(side)
        return image

    small = decode(thumbnail(image, 256)).image
    return Subject(features=preview_features(small, (image.shape[1], image.shape[0])), load=load)


def with_another_digit(image: RGB) -> RGB:
    """Change one stroke of one small letter, of which nothing remains in a thumbnail."""
    changed = image.copy()
    cv2.rectangle(changed, (606, 322), (622, 336), (252, 252, 252), -1)
    return changed


def test_frames_alone_do_not_make_a_copy_of_a_page_whose_fine_print_differs() -> None:
    requested: list[int] = []
    verdict = judge(known(page(), requested), known(with_another_digit(page()), requested), PLAIN, depth="frames")
    assert requested
    assert verdict.relation < Relation.COPY
    assert verdict.copy < 0.5


def test_no_file_is_read_to_tell_pages_of_one_form_apart() -> None:
    requested: list[int] = []
    verdict = judge(known(page(), requested), known(page(seed=1), requested), PLAIN, depth="points")
    assert verdict.relation < Relation.COPY
    assert requested == []


def test_no_file_is_read_for_a_photograph() -> None:
    requested: list[int] = []
    soft = cv2.GaussianBlur(scene(1), (0, 0), 3)
    verdict = judge(
        known(soft, requested), known(np.ascontiguousarray(soft[:, ::-1]), requested), PLAIN, depth="points"
    )
    assert verdict.relation is Relation.COPY
    assert requested == []


def test_the_same_pixels_in_two_files_are_identical_once_both_were_read() -> None:
    requested: list[int] = []
    assert judge(known(scene(1), requested), known(scene(1), requested), PLAIN).relation is Relation.IDENTICAL
    assert len(requested) == 2
    unread: Callable[[int], None] = lambda side: None  # noqa: E731
    away = replace(known(scene(1), requested), load=unread)
    assert judge(away, known(scene(1), requested), PLAIN).relation is Relation.COPY
