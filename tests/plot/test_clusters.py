"""Contact sheets, the page of clusters, the curve of levels, rows of neighbors, the map's figure and page."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike import plot
from lookalike.cluster import PALETTE, Clusters, LevelChoice, cluster
from lookalike.plot import cluster_page, contact_sheet, level_curve, map_figure, map_page, neighbor_rows, save
from lookalike.plot.map import one_per_cell
from lookalike.plot.tiles import COLUMNS, mosaic, sheets, side_for, tiles
from lookalike.search import Collection
from tests.conftest import COLOURS, picture


@pytest.fixture
def photos(collection: Collection) -> Collection:
    """Six pictures of each of three colours."""
    names = ("red", "green", "blue")
    pictures = [picture(COLOURS[name], seed=n) for name in names for n in range(6)]
    collection.add(pictures, [f"{name}/{n}" for name in names for n in range(6)])
    return collection


def parts(page: Path) -> tuple[dict[str, object], list[bytes]]:
    text = page.read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    jpegs = re.findall(r'<script type="text/plain" class="sheet">(.*?)</script>', text)
    return data, [base64.b64decode(jpeg) for jpeg in jpegs]


def color_at(sheet: bytes, index: int, side: int) -> np.ndarray:
    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    x, y = index % COLUMNS * side, index // COLUMNS * side
    return image[y + side // 4 : y + 3 * side // 4, x + side // 4 : x + 3 * side // 4].reshape(-1, 3).mean(axis=0)


def test_tiles_are_the_middle_square_and_grey_where_there_is_none(photos: Collection) -> None:
    images = tiles(photos, ["red/0", "nobody", "blue/0"], 20)
    assert images.shape == (3, 20, 20, 3)
    assert np.abs(images[0].mean(axis=(0, 1)) - COLOURS["red"]).max() < 20
    assert (images[1] == 128).all()
    assert np.abs(images[2].mean(axis=(0, 1)) - COLOURS["blue"]).max() < 20


def test_a_mosaic_is_laid_row_by_row() -> None:
    some = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(2, 2).repeat(3, 3)
    laid = mosaic(some, 3)
    assert laid.shape == (4, 6, 3)
    assert laid[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, 128]]


def test_sheets_grow_no_larger_than_a_page_can_carry() -> None:
    assert [side_for(n) for n in (10, 5_000, 15_000, 50_000, 100_000)] == [96, 64, 48, 32, 24]


def test_sheets_hold_a_thousand_tiles_each(photos: Collection) -> None:
    images = list(sheets(photos, ["red/0"] * 1030, 8))
    shapes = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] for jpeg in images]
    assert shapes == [(256, 256), (8, 256)]


def test_the_page_has_every_picture_where_it_says(photos: Collection, tmp_path: Path) -> None:
    result = cluster(photos, (2, 3), labels={"red/0": "</script><b>", "red/1": "</script><b>"})
    data, jpegs = parts(cluster_page(photos, result, tmp_path / "new" / "clusters.html"))
    levels = data["levels"]
    assert [level["count"] for level in levels] == [2, 3]  # type: ignore[attr-defined,union-attr]
    for level in levels:  # type: ignore[attr-defined]
        for c in level["clusters"]:
            stretch = data["ids"][c["start"] : c["start"] + c["size"]]  # type: ignore[index]
            assert len(stretch) == c["size"]
            assert {data["ids"][index] for index in c["shown"]} <= set(stretch)  # type: ignore[index]
            if level["count"] == 3:
                assert len({name.split("/")[0] for name in stretch}) == 1
    for index, name in enumerate(data["ids"]):  # type: ignore[arg-type]
        assert np.abs(color_at(jpegs[0], index, 96) - COLOURS[name.split("/")[0]]).max() < 25


def test_the_page_fetches_nothing(photos: Collection, tmp_path: Path) -> None:
    for page in (
        cluster_page(photos, cluster(photos, (3,)), tmp_path / "c.html"),
        map_page(photos, ["red/0"], np.zeros((1, 2), np.float32), tmp_path / "m.html"),
    ):
        text = page.read_text()
        assert not re.search(r"""(src|href)\s*=\s*["']|@import|https?://|fetch\(""", text)


def test_a_contact_sheet_shows_each_cluster_with_its_size(photos: Collection, tmp_path: Path) -> None:
    result = cluster(photos, (3,), labels={"red/0": "tomato"})
    figure = contact_sheet(photos, result, 0)
    assert len(figure.axes) == 3
    words = [text.get_text() for text in figure.texts]
    assert words.count("6") == 3
    assert any(word.endswith("tomato") for word in words)
    assert save(figure, tmp_path / "sheet.png").stat().st_size > 5000


def test_the_curve_marks_what_was_chosen() -> None:
    figure = level_curve(LevelChoice((4,), {2: 0.5, 4: 0.9, 8: 0.4}))
    lines = figure.axes[0].lines
    assert lines[0].get_xydata().tolist() == [[2, 0.5], [4, 0.9], [8, 0.4]]
    assert lines[1].get_xydata().tolist() == [[4, 0.9]]


def test_rows_of_neighbors(photos: Collection) -> None:
    figure = neighbor_rows(photos, [("red/0", "factor 2"), ("blue/0", "factor 1")], [[("red/1", 0.9)], []])
    assert len(figure.axes) == 3
    assert {"factor 2", "factor 1", "0.900", "0"} <= {text.get_text() for text in figure.texts}


def test_thumbnails_of_the_map_do_not_overlap() -> None:
    positions = np.random.default_rng(0).uniform(-1, 1, (3000, 2)).astype(np.float32)
    chosen = one_per_cell(positions, 10)
    cells = {tuple(np.floor((positions[row] + 1.03) / 2.06 * 10).astype(int)) for row in chosen}
    assert len(cells) == len(chosen) == 100


def test_the_map_figure_and_page(photos: Collection, tmp_path: Path) -> None:
    result = cluster(photos, (3,))
    ids = result.ids
    angle = np.linspace(0, 6, len(ids))
    positions = 0.9 * np.stack((np.cos(angle), np.sin(angle)), axis=1).astype(np.float32)
    labels = {"red/0": "tomato"}
    figure = map_figure(photos, ids, positions, clusters=result, labels=labels)
    assert len(figure.axes[0].images) >= 10
    data, jpegs = parts(map_page(photos, ids, positions, tmp_path / "m.html", clusters=result, labels=labels))
    back = np.frombuffer(base64.b64decode(str(data["positions"])), "<i2").reshape(-1, 2) / 32000
    where = dict(zip(ids, positions, strict=True))
    assert np.allclose(back, [where[name] for name in data["ids"]], atol=1e-4)  # type: ignore[attr-defined]
    assert [group["title"] for group in data["groups"]] == ["label", "3 clusters"]  # type: ignore[attr-defined]
    for index, name in enumerate(data["ids"]):  # type: ignore[arg-type]
        assert np.abs(color_at(jpegs[0], index, 96) - COLOURS[name.split("/")[0]]).max() < 25


def test_a_map_without_names_to_explain_has_no_legend(photos: Collection) -> None:
    result = cluster(photos, (3,))
    nobody = Clusters(method="density", ids=[], levels=result.levels, clusters=[[]])
    figure = map_figure(photos, result.ids[:1], np.zeros((1, 2), np.float32), clusters=nobody)
    assert figure.axes[0].get_legend() is None


def test_no_colour_of_a_name_is_a_grey() -> None:
    """Grey is what has no name; a colour's channels lie well apart."""
    for colour in PALETTE:
        red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
        assert max(red, green, blue) - min(red, green, blue) > 60, colour


def test_the_old_name_of_neighbor_rows_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="neighbor_rows"):
        assert plot.neighbour_rows is neighbor_rows
