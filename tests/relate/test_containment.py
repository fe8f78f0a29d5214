from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.relate.find_in import find_in, find_in_collection
from lookalike.relate.geometry.containment import outline_iou
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.search import Collection
from lookalike.types import RGB
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene

PLAIN = Calibration(geometry=default_geometry())
Paste = Callable[..., tuple[RGB, np.ndarray]]


@pytest.mark.parametrize("width", [480, 300, 200])
def test_found_where_it_was_pasted(pasted: Paste, width: int) -> None:
    page, outline = pasted(scene(40, 960, 720), scene(1), 300, 200, width)
    (location,) = find_in(scene(1), page, PLAIN)
    assert outline_iou(location.outline, outline) > 0.9
    assert location.share == pytest.approx(width * width * 0.75 / (960 * 720), rel=0.1)
    assert location.scale == pytest.approx(width / 480, rel=0.05)


def test_twice_in_one_page_once_mirrored(pasted: Paste) -> None:
    page, first = pasted(scene(40, 960, 720), scene(1), 40, 60, 360)
    page, second = pasted(page, np.ascontiguousarray(scene(1)[:, ::-1]), 500, 400, 320)
    locations = find_in(scene(1), page, PLAIN)
    assert len(locations) == 2
    upright = next(p for p in locations if not p.mirrored)
    turned = next(p for p in locations if p.mirrored)
    assert outline_iou(upright.outline, first) > 0.9
    assert outline_iou(turned.outline, second) > 0.9


def test_nothing_is_found_where_it_is_not() -> None:
    assert find_in(scene(1), scene(41, 960, 720), PLAIN) == []


def test_overlap_by_hand() -> None:
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    assert outline_iou(unit, unit + np.array((0.5, 0))) == pytest.approx(1 / 3)
    assert outline_iou(unit, unit + np.array((2, 0))) == 0


def test_a_collection_tells_which_page_holds_it_and_which_part_it_holds(tmp_path: Path, pasted: Paste) -> None:
    page, outline = pasted(scene(42, 800, 600), scene(1), 200, 150, 400)
    part = np.ascontiguousarray(scene(1)[50:250, 100:400])
    for name, image in (("page", page), ("part", part), ("other", scene(43))):
        (tmp_path / f"{name}.png").write_bytes(png(image))
    with Collection.open("memory:", model=ColourEmbedder()) as photos:
        photos.add(sorted(tmp_path.glob("*.png")))
        containments = {Path(f.path).stem: f for f in find_in_collection(photos, scene(1), PLAIN)}
    assert set(containments) == {"page", "part"}
    assert containments["page"].kind == "inside"
    assert outline_iou(containments["page"].location.outline, outline) > 0.9
    assert containments["part"].kind == "holds"


def test_a_small_photo_on_a_large_page_is_found(pasted: Paste) -> None:
    page = cv2.resize(scene(44, 800, 600), (1600, 1200), interpolation=cv2.INTER_CUBIC)
    page, outline = pasted(page, scene(1), 1000, 700, 320)  # 4% of the page
    (location,) = find_in(scene(1), page, PLAIN)
    assert outline_iou(location.outline, outline) > 0.9
