"""What a person may not do is not offered to them, with the reason in its place."""

from pathlib import Path

from lookalike.search import Collection
from tests.conftest import ColourEmbedder
from tests.server.conftest import fill, served
from tests.server.test_browser import browser, pytestmark
from tests.server.test_trash import accept, lay

__all__ = ["browser", "pytestmark"]
READ, WRITE = "r" * 20, "w" * 20
REASON = "Read-only"


def sheet_of(browser, url: str):  # type: ignore[no-untyped-def]
    sheet = browser.new_context().new_page()
    sheet.set_default_timeout(30_000)
    sheet.goto(url)
    return sheet


def test_a_server_that_only_reads_offers_no_work(browser, tmp_path: Path) -> None:
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        served(photos, str(tmp_path / "c"), read_only=True) as running,
    ):
        sheet = sheet_of(browser, running.url + "/duplicates")
        for path, name in (("/duplicates", "Look for duplicates"), ("/collection", "Check folders for new images")):
            sheet.goto(running.url + path)
            sheet.wait_for_selector(f"main >> text={REASON}")
            assert sheet.get_by_role("button", name=name).count() == 0
        sheet.context.close()


def test_the_page_shows_the_reason_why_it_moves_nothing(browser, tmp_path: Path) -> None:
    collection = lay(tmp_path)
    reasons = {False: "without --allow-apply, so it moves no files", True: "with --read-only"}
    for read_only, reason in reasons.items():
        with served(None, str(collection), read_only=read_only) as running:
            if not read_only:
                accept(running, (1, 0))
            sheet = sheet_of(browser, running.url + "/duplicates")
            sheet.wait_for_selector(f"text=This page cannot move them: this server was started {reason}. To move")
            sheet.context.close()


def test_whoever_came_with_the_reading_token_is_offered_no_work(browser, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"read {READ}\nwrite {WRITE}\n")
    (tmp_path / "tokens").chmod(0o600)
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(fill(tmp_path / "photos", per_colour=1))
        with served(photos, str(tmp_path / "c"), tokens=str(tmp_path / "tokens")) as running:
            sheet = sheet_of(browser, running.url + "/duplicates")
            sheet.fill("#login input", READ)
            sheet.keyboard.press("Enter")
            sheet.wait_for_selector("#login:not([open])", state="attached")
            sheet.wait_for_selector(f"main >> text={REASON}")
            assert sheet.get_by_role("button", name="Look for duplicates").count() == 0
            sheet.click("nav >> text=Collection")
            sheet.wait_for_selector(f"main >> text={REASON}")
            assert sheet.get_by_role("button", name="Check folders for new images").count() == 0
            sheet.context.close()
