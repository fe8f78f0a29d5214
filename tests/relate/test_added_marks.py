"""Marks added to an image are told from other content by the change alone, in both directions."""

import cv2
import numpy as np
import pytest

from lookalike.image import EDITS
from lookalike.relate.content.added_marks import added_mark_probabilities
from lookalike.relate.content.content import COARSE, align_pair, overlap_of
from lookalike.types import RGB
from tests.relate.conftest import scene


def photograph(seed: int) -> RGB:
    """Soft light and shade with grain: letters over a crowd of shapes are shapes too."""
    soft = cv2.GaussianBlur(scene(seed), (0, 0), 5).astype(np.float32)
    grain = np.random.default_rng(seed).normal(0, 5, soft.shape)
    return np.clip(soft + cv2.GaussianBlur(grain.astype(np.float32), (0, 0), 0.8), 0, 255).astype(np.uint8)


def sides(first: RGB, second: RGB) -> tuple[float, float]:
    pair = align_pair(first, second, np.eye(3), side=COARSE)
    return (0.0, 0.0) if pair is None else added_mark_probabilities(pair)


@pytest.mark.parametrize("name", ["caption", "meme", "logo", "stickers", "watermark"])
@pytest.mark.parametrize("filtered", ["", "jpeg", "sharpen"])
def test_the_one_that_carries_it_is_known(name: str, filtered: str) -> None:
    bare, marked = photograph(2), EDITS[name].apply(photograph(2), 0.7, 3)
    if filtered:
        marked = EDITS[filtered].apply(marked, 0.3, 1)
    first, second = sides(bare, marked)
    assert second > 0.5 > first
    first, second = sides(marked, bare)
    assert first > 0.5 > second


def test_two_that_each_carry_words() -> None:
    one, other = (EDITS["meme"].apply(photograph(2), 0.7, seed) for seed in (3, 8))
    assert max(sides(one, other)) < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_another_moment(seed: int) -> None:
    """Something stands elsewhere: a part of another photograph, with a soft edge."""
    first, second = photograph(2).copy(), photograph(2).copy()
    part = photograph(seed + 5)
    for image, (x, y) in ((first, (120, 150)), (second, (300, 180))):
        mask = np.zeros(image.shape[:2], np.float32)
        cv2.ellipse(mask, (x, y), (55, 70), 20, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
        image[:] = np.rint(image * (1 - mask) + part * mask).astype(np.uint8)
    assert max(sides(first, second)) < 0.5


def test_a_plain_patch_has_no_edges_and_was_laid_on() -> None:
    marked = scene(1).copy()
    marked[260:345, 350:460] = (255, 0, 200)
    first, second = sides(scene(1), marked)
    assert second > 0.9 > first


@pytest.mark.parametrize("word", ["studio", "(c) nobody", "WOW"])
def test_small_words_on_a_flat_ground_belong_to_the_one_with_the_outlines(word: str) -> None:
    """The ground is flatter than the words, but it is no patch."""
    bare = photograph(2).copy()
    cv2.ellipse(bare, (380, 90), (110, 60), 0, 0, 360, (60, 60, 70), -1, cv2.LINE_AA)
    marked = cv2.putText(bare.copy(), word, (310, 100), cv2.FONT_HERSHEY_DUPLEX, 0.9, (250, 250, 250), 1, cv2.LINE_AA)
    first, second = sides(bare, marked)
    assert second > first
    first, second = sides(marked, bare)
    assert first > second


def test_nothing_differs() -> None:
    assert sides(photograph(2), photograph(2)) == (0.0, 0.0)


def sky() -> RGB:
    """A plain gradient, with which any image agrees here and there."""
    y, x = np.linspace(0, 1, 192)[:, None], np.linspace(0, 1, 256)[None]
    channels = (60 + 60 * y + 8 * np.sin(6 * x + 3 * y), 120 + 40 * y + 6 * np.sin(9 * x * y), 190 - 60 * y + 0 * x)
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def pixelated(seed: int) -> RGB:
    """A landscape of 12 x 16 squares, bright above."""
    random = np.random.default_rng(seed)
    small = (
        random.normal(0, 35, (12, 16, 1)) + np.linspace(200, 70, 12)[:, None, None] + random.normal(0, 8, (12, 16, 3))
    )
    return cv2.resize(small.clip(0, 255).astype(np.uint8), (256, 192), interpolation=cv2.INTER_NEAREST)


@pytest.mark.parametrize("seed", [0, 2, 4, 5, 7, 9, 10, 11])
def test_a_whole_image_was_not_laid_on_a_plain_sky(seed: int) -> None:
    overlap = overlap_of(pixelated(seed), sky(), np.eye(3), side=256)
    assert overlap is not None
    assert not overlap.unrelated, "or it says nothing about what was laid on"
    assert overlap.content().laid_on == 0
