"""Resizing, thumbnails, regions, plain images, and images in memory."""

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lookalike.errors import BadQuery, BrokenModel
from lookalike.image import crop, decode, fit, is_plain, thumbnail, to_rgb
from lookalike.image.color.to_rgb import flatten_to_rgb, to_uint8
from lookalike.image.decoding.decode import finish
from lookalike.image.resize import at_most, scaled_by, shrink
from lookalike.types import RGB, Preprocessing


@pytest.mark.parametrize("size", [(10, 10), (24, 36), (60, 90), (50, 100), (224, 224), (7, 300)])
@pytest.mark.parametrize("resize", ["squash", "letterbox", "crop"])
def test_fit_gives_exactly_the_size(size: tuple[int, int], resize: str, scene: RGB) -> None:
    before = scene.copy()
    image = fit(scene, Preprocessing(size=size, resize=resize))
    assert image.shape == (*size, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.array_equal(scene, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1000), (1000, 1), (3, 2), (2000, 17)])
@pytest.mark.parametrize("resize", ["squash", "letterbox", "crop"])
def test_fit_takes_any_shape(shape: tuple[int, int], resize: str) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    fitted = fit(image, Preprocessing(size=(32, 32), resize=resize, ground=(77, 77, 77)))
    assert (fitted == 77).all()


def test_letterbox_and_crop_by_hand() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 5:15] = 200
    boxed = fit(image, Preprocessing(size=(20, 20), resize="letterbox", ground=(9, 8, 7)))
    assert boxed[0, 0].tolist() == [9, 8, 7]
    assert boxed[10, 10].tolist() == [200, 200, 200]
    assert (fit(image, Preprocessing(size=(10, 10), resize="crop")) == 200).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((40, 60), (40, 60)), ((50, 50), (50, 50)), ((100, 300), (50, 150)), ((300, 60), (250, 50)), ((1, 900), (1, 900))],
)
def test_bound_keeps_the_aspect_ratio(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    bound = Preprocessing(size=(50, 50), resize="bound")
    fitted = fit(image, bound)
    assert fitted.shape == (*expected, 3)
    assert np.array_equal(fit(fitted, bound), fitted)
    assert np.array_equal(fitted, image) == (shape == expected)


def test_unknown_resize_names_the_nearest() -> None:
    with pytest.raises(BrokenModel, match="nearest: squash"):
        fit(np.zeros((4, 4, 3), np.uint8), Preprocessing(size=(2, 2), resize="squish"))


@pytest.mark.parametrize("factor", [1.3, 2, 3, 4, 5.5, 9])
def test_shrinking_does_not_alias(factor: float) -> None:
    """A fine checkerboard becomes uniform gray at any factor."""
    side = round(64 * factor)
    board = ((np.indices((side, side)).sum(axis=0) % 2) * 255).astype(np.uint8)
    small = fit(np.repeat(board[:, :, None], 3, axis=2), Preprocessing(size=(64, 64)))
    assert small.std() < (45 if factor < 4 else 12)
    assert abs(float(small.mean()) - 127.5) < 3


def test_a_large_and_a_small_file_of_a_photo_agree(scene: RGB, mean_difference: Callable[[Any, Any], float]) -> None:
    large = cv2.resize(scene, (3600, 2400), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(scene, (640, 426), interpolation=cv2.INTER_CUBIC)
    preprocessing = Preprocessing(size=(224, 224))
    fitted = []
    for picture in (large, small):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=92)
        decoded = decode(file.getvalue(), side=224)
        assert min(decoded.image.shape[:2]) >= 1.5 * 224
        fitted.append(fit(decoded.image, preprocessing))
    assert mean_difference(*fitted) < 1.5


def test_thumbnails_never_enlarge(scene: RGB) -> None:
    small = decode(thumbnail(scene))
    assert (small.format, small.width, small.height) == ("JPEG", 90, 60)
    half = decode(thumbnail(scene, side=45))
    assert (half.width, half.height) == (45, 30)
    assert decode(thumbnail(np.zeros((1, 4000, 3), np.uint8))).image.shape == (1, 256, 3)


def test_crop_by_hand(scene: RGB) -> None:
    assert np.array_equal(crop(scene, (0.5, 0.5, 0.5, 0.5)), scene[30:, 45:])
    assert np.array_equal(crop(scene, (0, 0, 1, 1)), scene)
    assert crop(scene, (0.999, 0.999, 0.001, 0.001)).shape == (1, 1, 3)
    assert not np.shares_memory(crop(scene, (0, 0, 1, 1)), scene)


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 1), (-0.1, 0, 1, 1), (0.5, 0, 0.6, 1), (0, 0, 1, float("nan")), (1, 0, 0.1, 0.1)]
)
def test_regions_outside_are_refused(region: tuple[float, float, float, float], scene: RGB) -> None:
    with pytest.raises(BadQuery, match="is not inside the image"):
        crop(scene, region)


def test_plain_images() -> None:
    white = np.full((300, 400, 3), 255, np.uint8)
    noise = np.random.default_rng(0).normal(128, 4, (300, 400, 3)).astype(np.uint8)
    line = white.copy()
    line[150:153] = 0
    gradient = np.broadcast_to(np.linspace(100, 140, 400).astype(np.uint8)[None, :, None], (300, 400, 3))
    assert is_plain(white)
    assert is_plain(noise)
    assert is_plain(np.zeros((1, 1, 3), np.uint8))
    assert not is_plain(line)
    assert not is_plain(gradient)


# --- to_rgb


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_arrays_of_any_kind(kind: Any, shape: tuple[int, ...]) -> None:
    full = {np.uint8: 255, np.uint16: 65535}.get(kind, 1)
    array = np.full(shape, full, kind)
    array[0] = 0 if len(shape) < 3 or shape[2] < 4 else full
    array.flags.writeable = False
    image = to_rgb(array)
    assert image.shape == (5, 7, 3)
    assert image.dtype == np.uint8
    assert (image[1:] == 255).all()


def test_a_valid_array_is_not_copied(scene: RGB) -> None:
    assert to_rgb(scene) is scene
    assert to_rgb(scene[:, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5, 3), np.int64),
        np.full((5, 5), 200.0),
        np.full((5, 5), np.nan),
        np.zeros((1, 5, 5, 3), np.uint8),
        "a.jpg",
        None,
    ],
)
def test_other_objects_are_refused(bad: Any) -> None:
    with pytest.raises(BadQuery):
        to_rgb(bad)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
def test_pillow_images_of_any_mode(mode: str, scene: RGB) -> None:
    image = Image.fromarray(scene)
    image = image.convert("L").convert(mode) if mode in ("I;16", "I", "F") else image.convert(mode)
    before = image.copy()
    assert to_rgb(image).shape == (60, 90, 3)
    assert image == before


def test_the_orientation_of_pillow_images_is_applied(scene: RGB) -> None:
    image = Image.fromarray(scene)
    image.getexif()[0x0112] = 6
    assert np.array_equal(to_rgb(image), np.rot90(scene, -1))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(2111, 1999), (2048, 2050), (4097, 1001)])
@pytest.mark.parametrize("faint", [False, True])
def test_reducing_by_strips_gives_the_same_image(
    kind: type, channels: int, height: int, width: int, *, faint: bool
) -> None:
    random = np.random.default_rng(height)
    samples = random.integers(0, np.iinfo(kind).max + 1, (height, width, channels or 1)).astype(kind)
    if faint and channels in (2, 4):
        samples[:, :, -1] //= 16  # like an alpha channel that was left unset
    samples = samples if channels else samples[:, :, 0]
    whole = shrink(flatten_to_rgb(to_uint8(samples)), 60)
    strips = finish(samples, None, 1, 60)
    assert strips.shape == whole.shape
    assert np.array_equal(strips, whole)


def test_by_a_share_and_to_a_longest_side(scene: RGB) -> None:
    height, width = scene.shape[:2]
    assert scaled_by(scene, 2.0).shape == (2 * height, 2 * width, 3)
    assert scaled_by(scene, 0.001).shape == (1, 1, 3)
    assert max(at_most(scene, 45).shape) == 45
    assert at_most(scene, max(height, width)) is scene
