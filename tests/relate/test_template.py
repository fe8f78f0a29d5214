"""Pages of one template: those filled in differently are recognized by what distinguishes them; copies are not."""

import cv2
import numpy as np
import pytest

from lookalike.image import EDITS, decode, thumbnail
from lookalike.relate.content.template import filled_differently
from lookalike.relate.geometry.features import Features, preview_features
from lookalike.types import RGB
from tests.relate.conftest import scene
from tests.relate.test_content import page


def stored(image: RGB) -> Features:
    return preview_features(decode(thumbnail(image, 256)).image, (image.shape[1], image.shape[0]))


FILTERS = ("jpeg", "resize", "brightness", "noise", "gray", "contrast", "blur", "sharpen")
SHARPNESS = ("resize", "blur", "sharpen")
OTHERS = [stored(page(seed=seed)) for seed in range(1, 7)]


def test_other_fillings_are_told() -> None:
    assert sum(filled_differently(stored(page()), OTHERS)) >= 5


@pytest.mark.parametrize("name", ["jpeg", "resize", "brightness", "noise", "gray"])
def test_a_copy_is_never_among_them(name: str) -> None:
    copy = stored(EDITS[name].apply(page(), 0.4, 1))
    assert not filled_differently(stored(page()), [copy, *OTHERS])[0]


def test_a_page_that_was_scanned_a_little_turned_is_not_among_them() -> None:
    matrix = cv2.getRotationMatrix2D((360, 500), 1.2, 1.0)
    turned = cv2.warpAffine(page(), matrix, (720, 1000), borderValue=(250, 250, 250))
    assert not filled_differently(stored(page()), [stored(np.asarray(turned, np.uint8)), *OTHERS])[0]


def changed(image: RGB) -> RGB:
    """The page with another number, in bold, in one place."""
    edited = image.copy()
    cv2.rectangle(edited, (500, 470), (700, 530), (255, 255, 255), -1)
    cv2.putText(edited, "48,731", (520, 520), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 4)
    return edited


@pytest.mark.parametrize("name", [*FILTERS, ""])
def test_one_place_that_differs_is_enough_without_any_others(name: str) -> None:
    copy = EDITS[name].apply(page(), 0.3, 1) if name else page()
    result = filled_differently(stored(page()), [stored(changed(copy)), stored(copy)])
    assert result == [name not in SHARPNESS, False]  # a blurred page differs nearly everywhere, so the files are read


def test_too_few_pages_to_know_a_template_by() -> None:
    assert filled_differently(stored(page()), OTHERS[:3]) == [False] * 3


@pytest.mark.parametrize("count", range(4, 9))
@pytest.mark.parametrize("others", [0, 1, 2, 6])
def test_many_copies_of_one_page_are_no_other_fillings(count: int, others: int) -> None:
    copies = [stored(EDITS[name].apply(page(), 0.4, 1)) for name in FILTERS[:count]]
    assert not any(filled_differently(stored(page()), [*copies, *OTHERS[:others]])[:count])
    for at in range(count):
        rest = [stored(page()), *copies[:at], *copies[at + 1 :]]
        assert not any(filled_differently(copies[at], [*rest, *OTHERS[:others]])[:count])


def test_photographs_are_not_told_apart_so() -> None:
    shots = [stored(scene(1)) for _ in range(6)]
    assert filled_differently(stored(scene(1)), shots) == [False] * 6


def test_a_picture_that_is_lost_is_passed_over() -> None:
    assert not filled_differently(stored(page()), [None, *OTHERS])[0]
