"""Which files go along with a picture, by their names."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from lookalike.duplicates.files.companions import (
    LIVE_IMAGES,
    LIVE_VIDEOS,
    MAX_LIVE_VIDEO_BYTES,
    SIDECARS,
    Companions,
    described_name,
)
from lookalike.image import EXTENSIONS, RAW_EXTENSIONS


def lay(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(name.encode())


def along(folder: Path, *going: str, picture: str | None = None) -> list[str]:
    """The names that go with a picture, the last that goes unless another is named."""
    order = {str(folder / name): n for n, name in enumerate(going)}
    return [os.path.basename(one.path) for one in Companions().of(str(folder / (picture or going[-1])), order)]


def cased(name: str) -> list[str]:
    return [name, name.upper(), name.lower()]


@pytest.mark.parametrize("ending", sorted(SIDECARS))
@pytest.mark.parametrize("picture", ["IMG_1.JPG", "img_1.jpg", "a.b.png", "ünï.HEIC"])
def test_every_sidecar_goes_along_by_stem_and_by_whole_name(tmp_path: Path, picture: str, ending: str) -> None:
    stem = os.path.splitext(picture)[0]
    for name in {*cased(f"{stem}.{ending}"), *cased(f"{picture}.{ending}")}:
        folder = tmp_path / name
        folder.mkdir()
        lay(folder, picture, name, f"{stem}2.{ending}", f"{stem}", f"x{name}", f"{stem}.txt")
        assert along(folder, picture) == [name]


@pytest.mark.parametrize("video", sorted(LIVE_VIDEOS))
@pytest.mark.parametrize("ending", sorted(EXTENSIONS))
def test_a_video_goes_along_with_what_may_be_a_live_photo(tmp_path: Path, ending: str, video: str) -> None:
    lay(tmp_path, f"IMG_1.{ending}", f"img_1.{video.upper()}", f"IMG_1.{video}.xmp", f"IMG_10.{video}")
    expected = [f"IMG_1.{video}.xmp", f"img_1.{video.upper()}"] if ending in LIVE_IMAGES else []
    assert along(tmp_path, f"IMG_1.{ending}") == expected


def test_a_film_with_its_poster_is_no_live_photo_and_may_own_the_sidecar(tmp_path: Path) -> None:
    lay(tmp_path, "film.jpg", "film.xmp", "film.jpg.xmp", "other.jpg", "other.avi", "other.xmp")
    with open(tmp_path / "film.mp4", "wb") as film:
        film.truncate(MAX_LIVE_VIDEO_BYTES + 1)
    assert along(tmp_path, "film.jpg") == ["film.jpg.xmp"]
    assert along(tmp_path, "other.jpg") == []


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.JPG", "img_1.jpg.JSON"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-meta.json"),
        ("IMG_1.jpg", "IMG_1.jpg.s.json"),
        ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
        ("IMG_1(2).jpg", "IMG_1(2).jpg.json"),
    ],
)
def test_the_sidecars_of_a_takeout_go_along(tmp_path: Path, picture: str, sidecar: str) -> None:
    lay(tmp_path, picture, sidecar, "IMG_1.json", "metadata.json", "IMG_10.jpg.json")
    assert along(tmp_path, picture) == [sidecar]
    assert (described_name(sidecar) or "").lower() == picture.lower()


@pytest.mark.parametrize("other", ["HEIC", "png", *sorted(RAW_EXTENSIONS)])
def test_what_is_shared_with_a_picture_that_stays_stays(tmp_path: Path, other: str) -> None:
    lay(tmp_path, "IMG_1.JPG", f"img_1.{other}", "IMG_1.MOV", "IMG_1.xmp", "IMG_1.AAE", "IMG_1.MOV.json")
    lay(tmp_path, "IMG_1.JPG.xmp", f"IMG_1.{other}.xmp")
    assert along(tmp_path, "IMG_1.JPG") == ["IMG_1.JPG.xmp"]
    assert along(tmp_path, f"img_1.{other}") == [f"IMG_1.{other}.xmp"]


def test_what_is_shared_by_pictures_that_all_go_goes_with_the_last(tmp_path: Path) -> None:
    lay(tmp_path, "IMG_1.JPG", "IMG_1.HEIC", "IMG_1.png", "IMG_1.MOV", "IMG_1.xmp", "IMG_1.HEIC.xmp")
    going = ("IMG_1.HEIC", "IMG_1.JPG", "IMG_1.png")
    assert [along(tmp_path, *going, picture=name) for name in going] == [
        ["IMG_1.HEIC.xmp"], [], ["IMG_1.MOV", "IMG_1.xmp"]
    ]  # fmt: skip
    (video, _) = Companions().of(str(tmp_path / "IMG_1.png"), {str(tmp_path / n): k for k, n in enumerate(going)})
    assert set(video.owners) == {str(tmp_path / "IMG_1.HEIC"), str(tmp_path / "IMG_1.JPG")}
    assert along(tmp_path, *going[:2]) == []


def test_of_two_names_in_other_case_each_keeps_its_own(tmp_path: Path) -> None:
    lay(tmp_path, "IMG_1.JPG", "img_1.jpg", "IMG_1.JPG.xmp", "img_1.jpg.xmp", "Img_1.Jpg.pp3", "IMG_1.AAE")
    if len(os.listdir(tmp_path)) < 6:
        pytest.skip("this disk does not tell case apart")
    assert along(tmp_path, "IMG_1.JPG") == ["IMG_1.JPG.xmp"]
    assert along(tmp_path, "img_1.jpg") == ["img_1.jpg.xmp"]
    assert along(tmp_path, "img_1.jpg", "IMG_1.JPG") == ["IMG_1.AAE", "IMG_1.JPG.xmp", "Img_1.Jpg.pp3"]


def test_folders_are_no_companions_and_a_picture_of_any_extension_has_its_own(tmp_path: Path) -> None:
    lay(tmp_path, "a.jpg", "picture.dat", "picture.dat.xmp", "picture.xmp")
    (tmp_path / "a.on1").mkdir()
    assert along(tmp_path, "a.jpg") == []
    assert along(tmp_path, "picture.dat") == ["picture.dat.xmp", "picture.xmp"]


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{n}.jpg" for n in range(50)]
    lay(tmp_path, *names, *(f"{n}.xmp" for n in range(50)))
    listed, real = [], os.scandir

    def scandir(path: str) -> object:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    companions, going = Companions(), {str(tmp_path / name): n for n, name in enumerate(names)}
    names_of_each: Iterable[list[str]] = [
        [os.path.basename(one.path) for one in companions.of(p, going)] for p in going
    ]
    assert names_of_each == [[f"{n}.xmp"] for n in range(50)]
    assert listed == [str(tmp_path)]
