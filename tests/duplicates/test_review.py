"""The review page in a real browser, headless: what is pressed is what is saved."""

import json
import shutil
from pathlib import Path

import pytest

from lookalike.duplicates import Duplicates, as_decision, as_keep_choice
from lookalike.duplicates.review.accepted import apply_command
from lookalike.duplicates.review.page import write_page
from lookalike.search import Collection
from lookalike.types import DuplicateGroup, Extra, Hit
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene
from tests.duplicates.test_find import find

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


def test_a_page_of_many_groups_draws_few_remembers_and_saves_what_was_accepted(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    groups = [synthetic_group(n) for n in range(300)]
    command = apply_command("/home/me/My Photos", ["--last"], journal="j.jsonl")
    result = Duplicates(groups=tuple(groups), pictures=600)
    target = tmp_path / "review.html"
    assert write_page(result, target, lambda ids: [None] * len(ids), command="x", apply_command=command) == 300
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 900, "height": 900})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((tmp_path / "review.html").as_uri())
        assert 0 < page.locator(".group").count() < 60
        page.get_by_role("checkbox", name="Cropped").check()
        page.get_by_role("button", name="Accept all shown (150)").click()
        page.get_by_role("checkbox", name="Cropped").uncheck()
        page.keyboard.press("j")
        page.keyboard.press("n")
        page.reload()
        assert "150.0 MB accepted (150 files)" in page.inner_text(".totals")
        page.get_by_text("How to apply your decisions").click()
        assert page.locator(".command code").last.inner_text() == command
        assert "'/home/me/My Photos' --last --accepted-only" in command
        with page.expect_download() as saved:
            page.keyboard.press("s")
        lines = [json.loads(line) for line in Path(saved.value.path()).read_text().splitlines()]
        browser.close()
    assert wrong == []
    verdicts = [as_decision(line).verdict for line in lines]
    assert (verdicts.count("copy"), verdicts.count("not-a-copy")) == (150, 1)


def synthetic_group(n: int) -> DuplicateGroup:
    """A group of one extra, every other one cropped; nothing of it is on the disk."""
    facts = {"width": 400, "height": 300, "format": "JPEG", "size": 1_000_000}
    keep, extra = (
        {**facts, "path": f"/a/{name}{n}.jpg", "sha256": f"{2 * n + at:064x}"} for at, name in enumerate("kx")
    )
    words = "80% crop; 9 matching points" if n % 2 else "nothing visible was changed; 9 matching points"
    one = Extra(id=f"x{n}", score=0.9, relation="copy", probability=0.95, words=words, reason="r", metadata=extra)
    return DuplicateGroup(Hit(f"k{n}", 1.0, keep), (one,))
