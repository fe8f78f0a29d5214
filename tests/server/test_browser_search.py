"""The search page in a real browser: what is asked stays asked, and what the screen says agrees with what it shows."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served, wait_for
from tests.server.test_browser import browser, holds, names, page, pytestmark, red_file, site

__all__ = ["browser", "page", "pytestmark", "site"]


def asked(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def go(page, site: Served, address: str) -> None:
    """Open an address and wait for its hits."""
    page.goto(site.url + address)
    names(page)


def files(tmp_path: Path, count: int) -> list[Path]:
    """So many pictures, each its own."""
    created = [tmp_path / f"many{n}.png" for n in range(count)]
    for n, path in enumerate(created):
        path.write_bytes(encode(picture(COLOURS["green"], seed=100 + n, size=(64, 48))))
    return created


def test_another_picture_is_added_and_nothing_is_taken_away(page, site: Served, tmp_path: Path) -> None:
    go(page, site, "/?like=id:photos/blue0.png&minus=id:photos/green0.png&region=0,0,0.5,0.5")
    page.set_input_files(".ask input[type=file]", red_file(tmp_path))
    page.wait_for_url("**like=query**")
    payload = asked(page)
    assert payload["like"][0] == "id:photos/blue0.png"
    assert payload["like"][1].startswith("query:")
    assert payload["minus"] == ["id:photos/green0.png"]
    assert payload["region"] == ["0,0,0.5,0.5"]
    page.wait_for_selector(".chip.minus")
    assert page.locator(".chip").count() == 3
    names(page)


def test_more_than_eight_pictures_at_once_are_told(page, tmp_path: Path) -> None:
    page.set_input_files("input[type=file]", files(tmp_path, 10))
    page.wait_for_url("**like=query**")
    assert len(asked(page)["like"]) == 8
    holds(page, "document.getElementById('status').textContent.includes('10 images were selected')")
    names(page)


def test_a_box_stays_when_a_picture_is_added_or_another_taken_out(page, site: Served) -> None:
    go(page, site, "/?like=id:photos/busy.png&region=0.1,0.2,0.5,0.5")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**like=id**like=id**")
    assert asked(page)["region"] == ["0.1,0.2,0.5,0.5"]
    page.wait_for_selector(".chip .box")
    names(page)
    page.locator(".chip .away").last.click()
    holds(page, "document.querySelectorAll('.chip').length === 1")
    assert asked(page)["region"] == ["0.1,0.2,0.5,0.5"]
    names(page)


def test_a_box_goes_with_its_own_picture(page, site: Served) -> None:
    go(page, site, "/?like=id:photos/busy.png&like=id:photos/red0.png&region=0.1,0.2,0.5,0.5&region=0,0,0.4,0.4")
    page.locator(".chip .away").first.click()
    holds(page, "document.querySelectorAll('.chip').length === 1")
    assert asked(page)["like"] == ["id:photos/red0.png"]
    assert asked(page)["region"] == ["0,0,0.4,0.4"]
    names(page)


SENTENCES = """async () => {
  const { thresholdText, setScores } = await import('/static/threshold_text.js');
  const step = (n) => ({ score: n / 100, expected_false: 100 * 0.9 ** n, copy_probability: 0 });
  const hit = (copy) => ({ relation: copy ? { relation: 'copy' } : null });
  setScores({ meaning: Array.from({ length: 101 }, (_, n) => step(n)) });
  const hits = (count, copies) => Array.from({ length: count }, (_, n) => hit(n < copies));
  return {
    endless: thresholdText(0.22, hits(200, 0), 200, { endless: true }),
    within: thresholdText(0.22, hits(65, 24), 200, { endless: false }),
    more: thresholdText(0.1, hits(40, 24), 200, { endless: false }),
    one: thresholdText(0.44, hits(30, 0), 200, { endless: false }),
    one_endless: thresholdText(0.44, hits(200, 0), 200, { endless: true }),
    rare: thresholdText(0.6, hits(30, 0), 200, { endless: false }),
    copies: thresholdText(0.6, hits(5, 5), 200, { endless: false }),
    none: thresholdText(0.9, [], 200, { endless: false }),
    top: thresholdText(1, hits(1, 0), 200, { endless: false }),
  };
}"""


def test_the_threshold_text_agrees_with_the_hits(page) -> None:
    assert page.evaluate(SENTENCES) == {
        "endless": "200 of 200 shown. About 10 unrelated images would reach this score.",
        "within": "65 of 200 shown. About 10 of them may be unrelated.",
        "more": "40 of 200 shown. All but the verified copies may be unrelated: chance alone would give as many.",
        "one": "30 of 200 shown. About 1 of them may be unrelated.",
        "one_endless": "200 of 200 shown. About 1 unrelated image would reach this score.",
        "rare": "30 of 200 shown. An unrelated image reaches this score in one of 6 searches.",
        "copies": "5 of 200 shown. All of them are verified copies.",
        "none": "0 of 200 shown. No image reaches this score.",
        "top": "1 of 200 shown. Only nearly identical images reach this score.",
    }


SUMMARIES = """async () => {
  const { summaryText } = await import('/static/threshold_text.js');
  const text = (copies, undecided, strongest, possible = 0) =>
    summaryText({ judged: 24, copies, possible, undecided, strongest });
  return [text(2, 0, 'identical'), text(1, 1, 'copy'), text(0, 0, 'unrelated'), text(0, 2, 'related'),
    text(0, 0, 'variant', 1), text(0, 24, 'cannot tell'),
    summaryText({ judged: 0, copies: 0, undecided: 0, strongest: 'cannot tell' })];
}"""


def test_the_summary_says_whether_anything_is_a_copy(page) -> None:
    assert page.evaluate(SUMMARIES) == [
        "2 of the best 24 hits are copies.",
        "1 of the best 24 hits is a copy.",
        "Nothing here is a copy: of the best 24 hits, none is related to it.",
        "Nothing here is a copy: of the best 24 hits, the nearest are only alike; 2 cannot be judged.",
        "Nothing here is proven to be a copy: of the best 24 hits, the nearest have the same layout or source, "
        "with other content; 1 may be one.",
        "None of the best 24 hits can be judged.",
        "",
    ]


FOCUSED = "document.activeElement.closest('.tile')?.getAttribute('aria-label') || document.activeElement.id"


def test_the_focus_stays_among_the_hits_after_each_letter(page, site: Served) -> None:
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**like=id**")
    first = names(page)[0]
    wait_for(lambda: page.evaluate(FOCUSED).startswith(first.split(",")[0]))
    page.keyboard.press("ArrowRight")
    for letter, part in (("a", "**like=id**like=id**"), ("l", "**minus=**")):
        page.keyboard.press(letter)
        page.wait_for_url(part)
        wait_for(lambda: bool(page.evaluate("document.activeElement.classList.contains('tile')")))


def test_a_adds_from_the_large_view_too(page, site: Served) -> None:
    go(page, site, "/?like=id:photos/blue0.png")
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .frame img")
    page.keyboard.press("a")
    page.wait_for_url("**like=id**like=id**")
    wait_for(lambda: bool(page.evaluate("document.activeElement.classList.contains('tile')")))
    assert page.locator("dialog[open]").count() == 0


def test_a_link_to_a_picture_that_is_gone_says_so_once_and_shows_no_empty_view(browser, site: Served) -> None:
    context = browser.new_context()
    sheet = context.new_page()
    sheet.add_init_script(
        """window.addEventListener('DOMContentLoaded', () => {
          window.messages = [];
          const status = document.getElementById('status');
          new MutationObserver(() => { if (status.textContent) window.messages.push(status.textContent); })
            .observe(status, { childList: true });
        });"""
    )
    sheet.goto(site.url + "/?like=id:photos/busy.png&open=photos/gone.png")
    sheet.wait_for_selector(".badge")  # by now the relations were told as well
    messages = sheet.evaluate("window.messages")
    assert sum("photos/gone.png" in each for each in messages) == 1, messages
    assert sheet.locator("dialog[open]").count() == 0
    assert "open=" not in sheet.url
    context.close()
