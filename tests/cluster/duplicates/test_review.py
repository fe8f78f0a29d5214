"""The review page in a real browser, headless: what is pressed is what is saved."""

import json
import shutil
from pathlib import Path

import pytest

from lookalike.cluster import as_decision, as_keep_choice
from lookalike.cluster.duplicates.page import write_page
from lookalike.search import Collection
from tests.cluster.duplicates.pictures import save, scene
from tests.cluster.duplicates.test_find import find
from tests.conftest import ColourEmbedder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium"),
    # Playwright's own event loop leaves its pipes to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_one_of_a_group_is_kept_instead_and_verdicts_stand_beside_it(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    for name, scale in (("large.png", 1.0), ("less.png", 0.8), ("least.png", 0.6)):
        save(scene(1, size=(256, 192)), tmp_path / "photos" / name, scale=scale)
    with Collection.open("memory:", model=ColourEmbedder()) as photos:
        photos.sync([tmp_path / "photos"])
        write_page(find(photos), tmp_path / "review.html", photos.thumbnails, command="lookalike duplicates")
        hashes = {row.id: row.metadata["sha256"] for row in photos.get(["photos/least.png"], ["sha256"]) if row}
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.goto((tmp_path / "review.html").as_uri())
        less, least = (page.locator(f".extra[data-name$='/{name}']") for name in ("less.png", "least.png"))
        less.get_by_role("button", name="Keep this one instead").click()
        least.focus()
        page.keyboard.press("t")  # one of a group: it takes the place of the first
        less.get_by_role("button", name="Not a copy").click()
        assert page.locator(".extra.chosen").count() == 1
        with page.expect_download() as saved:
            page.click("#save")
        lines = [json.loads(line) for line in Path(saved.value.path()).read_text().splitlines()]
        browser.close()
    (choice,) = [as_keep_choice(line) for line in lines if "keep" in line]
    (decision,) = [as_decision(line) for line in lines if "keep" not in line]
    assert choice.keep == hashes["photos/least.png"]
    assert choice.name == str(tmp_path / "photos/least.png")
    assert decision.verdict == "not-a-copy"
