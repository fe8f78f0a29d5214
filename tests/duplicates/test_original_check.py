"""A second look at what would be kept: enlargements that show no more, and positions that few share."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from lookalike.duplicates import find_duplicates
from lookalike.duplicates.keep.detail import Detail, more_detail
from lookalike.search import Collection
from lookalike.types import RGB
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene
from tests.duplicates.test_find import find, relations

SIZE = (480, 360)


@pytest.fixture
def collection() -> Iterator[Collection]:
    with Collection.open("memory:", model=ColourEmbedder()) as opened:
        yield opened


def photo(seed: int = 1) -> RGB:
    """A scene with the grain of a photo: every frequency up to the finest holds something."""
    noise = np.random.default_rng(seed).normal(0, 25, (SIZE[1], SIZE[0], 1))
    return np.clip(scene(seed, size=SIZE) + cv2.GaussianBlur(noise, (0, 0), 0.6)[..., None], 0, 255).astype(np.uint8)


def resized(image: RGB, times: float, how: Image.Resampling = Image.Resampling.BICUBIC) -> RGB:
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((round(picture.width * times), round(picture.height * times)), how))


def gray(image: RGB) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


@pytest.mark.parametrize("how", [Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
@pytest.mark.parametrize("times", [1.5, 2, 3])
def test_an_enlargement_shows_no_more_even_when_sharpened(times: float, how: Image.Resampling) -> None:
    large = resized(photo(), times, how)
    assert more_detail(gray(large), gray(photo())) == Detail.NONE
    sharpened = Image.fromarray(large).filter(ImageFilter.UnsharpMask(2, 80, 0))
    assert more_detail(gray(np.asarray(sharpened)), gray(photo())) < Detail.MORE


@pytest.mark.parametrize("how", [Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.NEAREST])
@pytest.mark.parametrize("times", [0.75, 0.5, 0.25])
def test_an_original_shows_more_than_its_reduced_copy(times: float, how: Image.Resampling) -> None:
    assert more_detail(gray(photo()), gray(resized(photo(), times, how))) == Detail.MORE


def test_what_is_too_small_or_too_near_in_size_is_not_judged() -> None:
    assert more_detail(gray(resized(photo(), 1.1)), gray(photo())) == Detail.MORE
    tiny = resized(photo(), 0.1)
    assert more_detail(gray(resized(tiny, 2)), gray(tiny)) == Detail.MORE


@pytest.mark.parametrize("rules", ["largest,path", "largest,oldest,in:Originals", "default"])
def test_an_enlarged_copy_is_not_kept(collection: Collection, tmp_path: Path, rules: str) -> None:
    """Enlarged twice over: the first to be kept is an enlargement of another enlargement."""
    original = save(photo(), tmp_path / "photos/Originals/a long name.png")
    save(resized(photo(), 1.5), tmp_path / "photos/middle.jpg", quality=95)
    save(resized(photo(), 3), tmp_path / "photos/x3.jpg", quality=80)
    save(resized(photo(), 0.5), tmp_path / "photos/half.png")
    os.utime(original, ns=(2 * 10**18, 2 * 10**18))
    collection.sync([tmp_path / "photos"])
    result = find_duplicates(collection) if rules == "default" else find(collection, keep=rules)
    (group,) = result
    assert os.path.basename(group.keep.id) == original.name
    reasons = {os.path.basename(extra.id): extra.reason for extra in group.extras}
    assert set(reasons) == {"middle.jpg", "x3.jpg", "half.png"}
    assert reasons["x3.jpg"] == "has as much detail without being enlarged (480 × 360 against 1440 × 1080 pixels)"
    assert reasons["half.png"] == "is larger (480 × 360 against 240 × 180 pixels)"


def test_who_asks_for_another_rule_first_gets_it(collection: Collection, tmp_path: Path) -> None:
    save(photo(), tmp_path / "photos/a.png")
    save(resized(photo(), 2), tmp_path / "photos/x2.png")
    collection.sync([tmp_path / "photos"])
    assert relations(find(collection, keep="heaviest,largest")) == {"x2.png": {"a.png": "copy"}}


def test_a_noisy_twin_gains_nothing_by_doubts_about_the_original(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A soft original may show no more than its reduced copy; a noisy twin of its size seems to."""
    original = save(photo(), tmp_path / "photos/original.png")
    save(resized(photo(), 0.75), tmp_path / "photos/b.png")
    save(np.clip(photo() + np.random.default_rng(0).normal(0, 9, photo().shape), 0, 255).astype(np.uint8),
         tmp_path / "photos/c.png")  # fmt: skip
    os.utime(original, ns=(10**18, 10**18))
    collection.sync([tmp_path / "photos"])
    noise = np.abs(np.diff(gray(photo()))).mean() + 3

    def doubts(larger: np.ndarray, smaller: np.ndarray) -> Detail:
        return Detail.MORE if np.abs(np.diff(larger)).mean() > noise else Detail.DOUBTFUL

    monkeypatch.setattr("lookalike.duplicates.keep.original_check.more_detail", doubts)
    (group,) = find_duplicates(collection)
    assert (os.path.basename(group.keep.id), len(group.extras)) == ("original.png", 2)


def test_in_doubt_a_reduced_copy_does_not_overtake_the_original(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The enlargement is doubtful against both; the original is held against the reduced copy later."""
    original = save(photo(), tmp_path / "photos/original.png")
    save(resized(photo(), 1.5), tmp_path / "photos/enlarged.png")
    save(resized(photo(), 0.75), tmp_path / "photos/b.png")
    os.utime(original, ns=(10**18, 10**18))
    collection.sync([tmp_path / "photos"])
    monkeypatch.setattr("lookalike.duplicates.keep.original_check.more_detail", lambda larger, smaller: Detail.DOUBTFUL)
    (group,) = find_duplicates(collection)
    assert (os.path.basename(group.keep.id), len(group.extras)) == ("original.png", 2)


def test_a_mirrored_copy_is_not_kept_for_its_metadata(collection: Collection, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Maker", "2020:01:01 00:00:00"
    for name, quality in (("a", 90), ("b", 80)):
        save(photo(), tmp_path / f"photos/{name}.jpg", quality=quality)
    mirrored = Image.fromarray(np.ascontiguousarray(photo()[:, ::-1]))
    mirrored.save(tmp_path / "photos/mirrored.jpg", quality=95, exif=exif)
    collection.sync([tmp_path / "photos"])
    (group,) = find_duplicates(collection)
    assert os.path.basename(group.keep.id) == "a.jpg"
    reasons = {os.path.basename(extra.id): extra.reason for extra in group.extras}
    assert reasons["mirrored.jpg"] == "has the orientation of most copies"


def test_a_file_that_went_away_meanwhile_is_not_looked_at(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(photo(), tmp_path / "photos/a.png")
    save(resized(photo(), 2), tmp_path / "photos/x2.png")
    collection.sync([tmp_path / "photos"])
    monkeypatch.setattr("lookalike.duplicates.keep.original_check._read_gray", lambda picture: None)
    assert relations(find(collection)) == {"x2.png": {"a.png": "copy"}}


def test_a_plain_border_is_not_kept_for_its_pixels_and_what_a_crop_lacks_is(
    collection: Collection, tmp_path: Path
) -> None:
    save(photo(), tmp_path / "photos/original.png")
    bordered = cv2.copyMakeBorder(photo(), 60, 60, 20, 90, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    save(bordered, tmp_path / "photos/bordered.png")
    save(photo(2), tmp_path / "photos/whole.png")
    save(photo(2)[40:-40, 50:-50], tmp_path / "photos/part.png")
    collection.sync([tmp_path / "photos"])
    extras_by_keep = {os.path.basename(group.keep.id): group.extras for group in find_duplicates(collection)}
    assert set(extras_by_keep) == {"original.png", "whole.png"}
    (extra,) = extras_by_keep["original.png"]
    assert extra.reason == "is at least as large as the other without its border (590 × 480 pixels with it)"


@pytest.mark.parametrize("ground", [(255, 255, 255), (150, 190, 235)])
def test_a_crop_is_not_kept_for_the_plain_background_of_its_original(
    collection: Collection, tmp_path: Path, ground: tuple[int, int, int]
) -> None:
    """A product on white, a bird in the sky: what lies around the crop is plain, and no border."""
    image = np.full((360, 480, 3), ground, np.uint8)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(mask, (240, 180), (110, 80), 20, 0, 360, 255, -1)
    image[mask > 0] = photo()[mask > 0]
    original = save(image, tmp_path / "photos/original.png")
    save(image[70:290, 100:380], tmp_path / "photos/crop.png")
    collection.sync([tmp_path / "photos"])
    for group in find_duplicates(collection):
        assert os.path.basename(group.keep.id) == original.name, group.extras[0].reason


def test_a_rotated_copy_on_a_plain_canvas_is_not_kept_for_its_pixels(collection: Collection, tmp_path: Path) -> None:
    """The corners of the rotated image touch the edges of the canvas: no side lies within it as a whole."""
    original = save(photo(), tmp_path / "photos/original.png")
    rotated = Image.fromarray(photo()).rotate(
        25, expand=True, fillcolor=(255, 255, 255), resample=Image.Resampling.BICUBIC
    )
    save(np.asarray(rotated), tmp_path / "photos/rotated.png")
    collection.sync([tmp_path / "photos"])
    (group,) = find_duplicates(collection)
    assert os.path.basename(group.keep.id) == original.name, group.extras[0].reason
