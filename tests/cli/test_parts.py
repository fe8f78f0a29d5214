"""Search by parts on the command line: local features are kept, used, drawn, and asked for where they are missing."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.image.compositions import collage
from lookalike.types import RGB
from tests.cli.conftest import Cli
from tests.relate.conftest import scene


def write(path: Path, image: RGB) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(8):
        write(tmp_path / "images" / f"{n}.png", scene(n))
    return tmp_path / "images"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    images = [scene(2), scene(5), scene(100), scene(101)]
    return write(tmp_path / "page.png", collage(images, np.random.default_rng(0), side=700))


def test_a_collage_finds_its_images_and_they_are_drawn(cli: Cli, folder: Path, page: Path, tmp_path: Path) -> None:
    indexed = cli("index", folder, "--parts")
    assert indexed.code == 0, indexed.err
    assert "local features of 8 images" in indexed.err
    ran = cli("search", page, "--parts", "-k", "4", "--plot", tmp_path / "found.png")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert len(lines) == 4
    assert {line.split()[2].rsplit("/")[-1] for line in lines[:2]} == {"2.png", "5.png"}
    assert all("matching points" in line for line in lines[:2])
    assert not any("matching points" in line for line in lines[2:])
    # A cell has 21.5% of the page; the frames of the images whose middle they show have 29%.
    shares = [float(re.findall(r"only part of the image, ([\d.]+)% of it", line)[0]) for line in lines[:2]]
    assert shares == pytest.approx([20, 20], abs=2.5)
    assert (tmp_path / "found.png").stat().st_size > 10_000
    rows = [json.loads(line) for line in cli("search", page, "--parts", "-k", "3", "--json").out.splitlines()]
    assert [bool(row["containment"]) for row in rows] == [True, True, False]
    assert rows[0]["containment"]["probability"] > 0.75


def test_new_images_get_local_features_from_then_on(cli: Cli, folder: Path, page: Path) -> None:
    assert cli("index", folder, "--parts").code == 0
    write(folder / "late.png", scene(100))
    again = cli("index")
    assert "local features of 1 image" in again.err
    rows = [json.loads(line) for line in cli("search", page, "--parts", "--json").out.splitlines()]
    assert "late.png" in [Path(row["path"]).name for row in rows if row["containment"]]


def test_without_local_features_it_says_how_to_get_them(cli: Cli, folder: Path, page: Path) -> None:
    assert cli("index", folder).code == 0
    ran = cli("search", page, "--parts")
    assert ran.code == 1
    assert "index --parts" in ran.err


def test_no_part_is_found_in_another_image(cli: Cli, folder: Path, tmp_path: Path) -> None:
    assert cli("index", folder, "--parts").code == 0
    ran = cli("search", write(tmp_path / "other.png", scene(300)), "--parts", "-k", "2")
    assert ran.code == 0
    assert "no match" in ran.err


def test_find_in_verifies_the_most_promising_images_first(cli: Cli, folder: Path, page: Path, tmp_path: Path) -> None:
    write(folder / "page.png", cv2.imread(str(page))[..., ::-1])
    assert cli("index", folder, "--parts").code == 0
    ran = cli("find-in", folder / "5.png", "--limit", "2", "--json")
    assert {Path(json.loads(line)["path"]).name for line in ran.out.splitlines()} == {"5.png", "page.png"}
