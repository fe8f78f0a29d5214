"""The edits are repeatable, accept any size, and change the image visibly."""

import numpy as np
import pytest

from lookalike.errors import BadQuery
from lookalike.image import EDITS, get_edit
from lookalike.types import RGB

EXPECTED = [
    *("blur", "border", "brightness", "caption", "contrast", "crop", "flip", "gray", "halftone"),
    *("hue", "jpeg", "letterbox", "logo", "meme", "negative", "noise", "paste", "perspective", "pixelate", "posterize"),
    *("rephotograph", "resize", "rotate", "saturation", "scan", "screenshot", "sharpen", "stickers", "turn"),
    "watermark",
]


def test_registry() -> None:
    assert sorted(EDITS) == EXPECTED
    with pytest.raises(BadQuery, match="nearest: rotate"):
        get_edit("rotat")
    with pytest.raises(TypeError):
        EDITS["mine"] = EDITS["flip"]  # type: ignore[index]


@pytest.mark.parametrize("name", EXPECTED)
def test_edits_are_repeatable_and_leave_their_argument_alone(name: str, scene: RGB) -> None:
    before = scene.copy()
    for strength in (0.0, 0.5, 1.0):
        first, second = (get_edit(name).apply(scene, strength, seed=3) for _ in range(2))
        assert np.array_equal(first, second)
        assert first.dtype == np.uint8
        assert first.ndim == 3
        assert first.flags.c_contiguous
        assert not np.shares_memory(first, scene)
    assert np.array_equal(scene, before)
    strong = get_edit(name).apply(scene, 1.0, seed=3)
    assert strong.shape != scene.shape or np.abs(strong.astype(int) - scene).mean() > 0.5


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (50, 2)])
def test_edits_accept_any_size(name: str, shape: tuple[int, int]) -> None:
    for strength in (0.0, 1.0):
        assert get_edit(name).apply(np.full((*shape, 3), 9, np.uint8), strength, seed=0).size


def test_strength_outside_its_range(scene: RGB) -> None:
    with pytest.raises(BadQuery, match="not between 0 and 1"):
        get_edit("blur").apply(scene, 1.5, seed=0)


def test_by_hand(scene: RGB) -> None:
    assert np.array_equal(get_edit("flip").apply(scene, 0.5, seed=0), scene[:, ::-1])
    assert sorted(get_edit("turn").apply(scene, 0.5, seed=0).shape[:2]) == [60, 90]
    cropped = get_edit("crop").apply(scene, 1.0, seed=0)
    assert cropped.shape[:2] == (30, 45)
    gray = get_edit("gray").apply(scene, 0.5, seed=0)
    assert (gray[:, :, 0] == gray[:, :, 2]).all()
