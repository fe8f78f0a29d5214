"""The map's page in a headless browser: the tooltip shows the image under the pointer."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.plot import map_page
from lookalike.search import Collection
from tests.conftest import COLOURS, picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; apt-get install chromium"),
    # Playwright's event loop leaves its pipes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_tooltip_disappears_when_the_image_leaves_the_pointer(collection: Collection, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    collection.add([picture(COLOURS["red"]), picture(COLOURS["blue"])], ["red", "blue"])
    file = map_page(collection, ["red", "blue"], np.array([[-0.5, 0], [0.5, 0]], np.float32), tmp_path / "map.html")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 800, "height": 600})
        page.goto(file.as_uri())
        box = page.locator("#map").bounding_box()
        x = box["x"] + box["width"] / 2 - 0.5 * 0.485 * min(box["width"], box["height"])
        y = box["y"] + box["height"] / 2
        tip = page.locator("#tip")
        for leave in (lambda: page.mouse.wheel(0, -900), lambda: page.locator("#find").press("Enter")):
            page.mouse.move(x + 60, y)
            page.mouse.move(x + 10, y)
            tip.wait_for(state="visible")
            leave()
            tip.wait_for(state="hidden", timeout=20_000)
            page.locator("#whole").evaluate("button => button.click()")
            page.locator("#find").fill("blue")
        browser.close()
