"""Duplicates in a real browser: what is laid over each other lies where it belongs, and claims only what is known."""

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from lookalike.search import Collection
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served, served
from tests.server.test_browser import browser, holds, page, pytestmark

__all__ = ["browser", "page", "pytestmark"]
TURNS = {
    "upright.jpg": lambda image: image,
    "turned.jpg": lambda image: np.rot90(image, -1),
    "back.jpg": np.rot90,
    "over.jpg": lambda image: np.rot90(image, 2),
    "mirrored.jpg": lambda image: image[:, ::-1],
    "upside.jpg": lambda image: image[::-1],
    "both.jpg": lambda image: np.rot90(image[:, ::-1]),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A picture of many boxes, its copies turned and mirrored in every way, and a crop of it."""
    folder = tmp_path_factory.mktemp("turned")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(3)
    busy = picture(COLOURS["violet"], seed=5, size=(480, 360))
    for _ in range(120):
        x, y = rng.integers(0, 420), rng.integers(0, 300)
        busy[y : y + rng.integers(8, 60), x : x + rng.integers(8, 60)] = rng.integers(0, 255, 3)
    (folder / "photos" / "whole.png").write_bytes(encode(busy))
    (folder / "photos" / "part.jpg").write_bytes(encode(busy[36:324, 48:432], "JPEG"))
    for name, turn in TURNS.items():
        (folder / "photos" / name).write_bytes(encode(np.ascontiguousarray(turn(busy)), "JPEG"))
    with Collection.open(folder / "c", create=True) as photos:
        photos.sync(folder / "photos")
    with served(None, str(folder / "c"), decoders=2) as running:
        yield running


def looked(page) -> None:
    """The page of duplicates, with what was found."""
    page.click("nav >> text=Duplicates")
    holds(
        page,
        "document.querySelector('.extra') || /No search for/.test(document.querySelector('main').innerText)",
    )
    if not page.locator(".extra").count():
        page.click("text=Look for duplicates")
    page.wait_for_selector(".extra", timeout=60_000)


def tile(page, name: str):  # type: ignore[no-untyped-def]
    return page.locator(f".extra[data-name='photos/{name}']")


def difference(page, name: str) -> tuple[np.ndarray, str]:
    """What the difference of the pair shows, and what it says of it."""
    tile(page, name).focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.closer[open]")
    dialog.get_by_role("button", name="Difference", exact=True).click()
    holds(page, "[...document.querySelectorAll('.laid img')].every(image => image.naturalWidth > 0)")
    shot = Image.open(io.BytesIO(dialog.locator(".laid > div").screenshot())).convert("RGB")
    caption = dialog.locator(".laid + p").inner_text()
    dialog.get_by_role("button", name="Side by side").click()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    return np.asarray(shot, np.float32), caption


def test_turned_and_mirrored_copies_are_laid_as_they_lie(page) -> None:
    looked(page)
    for name in TURNS:
        observed, caption = difference(page, name)
        assert observed.mean() < 12, name
        assert caption.startswith("Identical areas are black"), name


def test_where_a_crop_lies_that_an_older_version_found_is_not_told_and_nothing_is_claimed(page, site: Served) -> None:
    looked(page)
    results = json.loads(site.http.get("/v1/duplicates").text)
    for extra in results["groups"][0]["extras"]:
        extra |= {"transform": None, "changes": None}
    page.route("**/v1/duplicates?*", lambda route: route.fulfill(json=results))
    page.reload()
    page.wait_for_selector(".extra")
    _, caption = difference(page, "part.jpg")
    assert "is unknown" in caption
    assert "differences are bright" not in caption


def test_words_are_read_only_where_there_are_no_changes(page) -> None:
    looked(page)
    extra = {"relation": "copy", "transform": None, "words": "mirrored; 9 matching points"}
    script = "extra => import('/static/overlay.js').then(overlay => overlay.transformOf(extra))"
    assert page.evaluate(script, extra | {"changes": None}) == [[-1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert page.evaluate(script, extra) == [[-1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert page.evaluate(script, extra | {"changes": [{"kind": "mirror", "values": {}}]}) is None


def test_a_crop_is_laid_where_it_lies(page) -> None:
    looked(page)
    observed, caption = difference(page, "part.jpg")
    height, width = observed.shape[:2]
    within = observed[height // 10 + 3 : height * 9 // 10 - 3, width // 10 + 3 : width * 9 // 10 - 3]
    assert within.mean() < 12
    assert observed[: height // 10 - 3].min() > 100  # what only the kept one shows is not compared
    assert "Only the shared area" in caption


@pytest.mark.parametrize("width", [320, 360])
def test_a_phone_reaches_every_page_and_the_ways_to_look_stay_on_one_line(browser, page, site: Served, width) -> None:
    looked(page)
    phone = browser.new_context(viewport={"width": width, "height": 640})
    sheet = phone.new_page()
    sheet.goto(site.url + "/duplicates")
    sheet.wait_for_selector(".extra")
    for box in (link.bounding_box() for link in sheet.locator("nav a").all()):
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    sheet.click("nav >> text=Collection", timeout=20_000)
    sheet.go_back()
    sheet.wait_for_selector(".extra")
    sheet.locator(".extra").first.focus()
    sheet.keyboard.press("Enter")
    heights = [button.bounding_box()["height"] for button in sheet.locator("dialog.closer .segments button").all()]
    assert max(heights) < 44
    assert len(heights) == 4
    assert sheet.evaluate("document.querySelector('dialog.closer').scrollWidth <= innerWidth")
    assert sheet.evaluate("[...document.querySelectorAll('.segments')].every(e => e.scrollWidth <= e.clientWidth)")
    sheet.keyboard.press("Escape")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.close()
