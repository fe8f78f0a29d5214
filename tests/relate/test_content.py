"""Contents of aligned images: what a copy retains, and what changes if a template is filled in differently."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lookalike.image import EDITS
from lookalike.relate.content.content import COARSE, FINE, Content, compare_content, refine_transform
from lookalike.relate.content.drawn import drawn_share
from lookalike.relate.words.content_changes import slight_changes, variant_changes
from lookalike.relate.words.sentences import phrases
from lookalike.types import RGB
from tests.relate.conftest import scene

AS_IT_IS = np.eye(3)
Change = Callable[[RGB], RGB]


def page(rows: int = 14, seed: int = 0) -> RGB:
    """A form with lines of words."""
    random = np.random.default_rng(seed)
    image = np.full((1000, 720, 3), 252, np.uint8)
    cv2.putText(image, "DELIVERY NOTE", (60, 90), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (20, 60, 140), 3, cv2.LINE_AA)
    for row in range(rows):
        y = 170 + 55 * row
        cv2.line(image, (50, y + 16), (670, y + 16), (180, 180, 180), 1)
        words = "".join(chr(97 + int(n)) for n in random.integers(0, 26, 12))
        cv2.putText(image, words, (60, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2, cv2.LINE_AA)
        price = f"{random.uniform(1, 900):.2f}"
        cv2.putText(image, price, (540, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2, cv2.LINE_AA)
    return image


def compared(first: RGB, second: RGB, side: int = FINE) -> Content:
    content = compare_content(first, second, AS_IT_IS, side=side)
    assert content is not None
    return content


@pytest.mark.parametrize("name", ["jpeg", "resize", "brightness", "contrast", "gray", "noise"])
@pytest.mark.parametrize("picture", [scene(1), page()], ids=["scene", "page"])
def test_a_filtered_copy_agrees_everywhere(name: str, picture: RGB) -> None:
    content = compared(picture, EDITS[name].apply(picture, 0.3, 1))
    assert content.typical > 0.8
    assert content.strongest < 0.1
    assert content.regions == ()


def test_one_other_amount_on_a_page_is_found_where_it_is() -> None:
    changed = page()
    changed[560:616, 530:670] = page(seed=1)[560:616, 530:670]
    content = compared(page(), changed)
    assert content.strongest > 0.2
    assert content.typical > 0.95
    (region, *_) = content.regions
    assert 0.7 < region.box[0] < 0.95
    assert 0.5 < region.box[1] < 0.65
    assert phrases(variant_changes(content)) == ["different text or numbers at the right"]


def test_other_rows_on_the_same_form() -> None:
    content = compared(page(), page(seed=1))
    assert content.different > 0.1
    assert "different text or numbers in" in phrases(variant_changes(content))[0]


@pytest.mark.parametrize("name", ["logo", "caption", "stickers"])
def test_what_was_laid_over_a_picture_is_told_from_other_content(name: str) -> None:
    # A soft photograph: letters over a crowd of shapes are shapes too.
    soft = cv2.GaussianBlur(scene(2), (0, 0), 6)
    content = compared(soft, EDITS[name].apply(soft, 0.7, 3), side=COARSE)
    differs, added, removed = content.areas
    assert added > 0.01
    assert added > 3 * (differs + removed)
    back = compared(EDITS[name].apply(soft, 0.7, 3), soft, side=COARSE)
    assert back.areas[2] > 3 * (back.areas[0] + back.areas[1])


def shirt(color: tuple[int, int, int], ground: int = 255) -> RGB:
    image = np.full((400, 400, 3), ground, np.uint8)
    outline = np.array([(120, 80), (280, 80), (350, 160), (300, 200), (280, 170), (280, 340), (120, 340), (120, 170)])
    cv2.fillPoly(image, [outline.astype(np.int32)], color, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("other", [(30, 30, 30), (40, 70, 190), (230, 190, 40)])
def test_another_colour_of_one_object_is_seen(other: tuple[int, int, int]) -> None:
    content = compared(shirt((190, 40, 45)), shirt(other))
    assert content.recolored > 25
    assert "different colors" in phrases(variant_changes(content))


def test_exposure_and_shading_are_no_other_colour() -> None:
    red = shirt((190, 40, 45))
    shade = np.linspace(0.75, 1.0, 400)[None, :, None]
    for darker in (red * 0.8, red * shade):
        assert compared(red, darker.astype(np.uint8)).recolored < 12
    # All hues of an image of many colors are turned: a filter, not another object.
    soft = cv2.GaussianBlur(scene(1), (0, 0), 6)
    assert compared(soft, EDITS["hue"].apply(soft, 0.5, 1)).recolored < 25


def test_pages_are_drawn_and_photographs_are_not() -> None:
    soft = cv2.GaussianBlur(scene(1), (0, 0), 3)
    assert drawn_share(page()) > 0.8
    assert drawn_share(soft) < 0.3
    assert drawn_share(np.full((50, 50, 3), 200, np.uint8)) == 0.0


def test_a_transform_that_is_a_little_off_is_brought_nearer() -> None:
    off = np.array([[1.004, 0.002, -0.006], [0.001, 0.996, 0.004], [0, 0, 1]])
    nearer = refine_transform(page(), page(), off, side=512)
    assert np.abs(nearer - np.eye(3)).max() < 0.001
    assert compared(page(), page()).strongest == 0.0


def test_pictures_that_do_not_overlap_cannot_be_compared() -> None:
    away = np.array([[1.0, 0, 3], [0, 1, 0], [0, 0, 1]])
    assert compare_content(scene(1), scene(1), away, side=COARSE) is None
    plain = np.full((60, 60, 3), 128, np.uint8)
    assert compare_content(plain, plain, AS_IT_IS, side=COARSE) is None


def test_strangers_differ_everywhere() -> None:
    content = compared(scene(1), scene(2), side=COARSE)
    assert content.unrelated
    assert phrases(variant_changes(content)) == ["different content throughout"]


def test_slight_differences_are_told() -> None:
    dotted = scene(1).copy()
    cv2.circle(dotted, (60, 50), 9, (255, 255, 255), -1)
    (words,) = phrases(slight_changes(compared(scene(1), dotted)))
    assert words == "small differences at the top left"
    assert slight_changes(compared(scene(1), scene(1))) == []
