"""The page in a real browser, headless: found by upload, by paste, by box, by more-like-this, and with keys alone."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.search import Collection
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served, fill, served, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
]
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium"),
    # Playwright's own event loop leaves its pipes to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Fifteen pictures by the default model, and one with an altered copy."""
    folder = tmp_path_factory.mktemp("browsed")
    fill(folder / "photos")
    rng = np.random.default_rng(3)
    busy = picture(COLOURS["violet"], seed=5, size=(320, 240))
    for _ in range(60):
        x, y = rng.integers(0, 280), rng.integers(0, 200)
        busy[y : y + rng.integers(8, 40), x : x + rng.integers(8, 40)] = rng.integers(0, 255, 3)
    (folder / "photos" / "busy.png").write_bytes(encode(busy))
    (folder / "photos" / "copy.jpg").write_bytes(encode(busy, "JPEG"))
    with Collection.open(folder / "c", create=True) as photos:
        photos.sync(folder / "photos")
    with served(None, str(folder / "c"), decoders=2) as running:
        yield running


@pytest.fixture(scope="module")
def browser():  # type: ignore[no-untyped-def]
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, site: Served):  # type: ignore[no-untyped-def]
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    sheet = context.new_page()
    sheet.set_default_timeout(30_000)
    wrong: list[str] = []
    sheet.on("pageerror", lambda error: wrong.append(str(error)))
    sheet.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    sheet.goto(site.url)
    sheet.wait_for_selector(".tile img")
    yield sheet
    context.close()
    assert wrong == []


def names(page) -> list[str]:
    page.wait_for_selector(".tile .score")
    return page.eval_on_selector_all(".tile", "tiles => tiles.map(t => t.getAttribute('aria-label'))")


def holds(page, expression: str) -> None:
    """Wait for it without eval in the page, which its policy forbids."""
    wait_for(lambda: bool(page.evaluate(expression)))


def red_file(tmp_path: Path) -> Path:
    (tmp_path / "red.png").write_bytes(encode(picture(COLOURS["red"], seed=50, size=(96, 72))))
    return tmp_path / "red.png"


def test_found_by_upload_and_the_back_button_goes_back(page, tmp_path: Path) -> None:
    page.set_input_files("input[type=file]", red_file(tmp_path))
    assert names(page)[0].startswith("red")
    assert "like=query" in page.url
    link = page.url
    page.reload()
    assert names(page)[0].startswith("red")
    page.go_back()
    page.wait_for_selector(".zone")
    page.goto(link)
    assert names(page)[0].startswith("red")


def test_found_by_paste(page, tmp_path: Path) -> None:
    data = list(red_file(tmp_path).read_bytes())
    page.evaluate(
        """(bytes) => {
          const carried = new DataTransfer();
          carried.items.add(new File([new Uint8Array(bytes)], 'red.png', {type: 'image/png'}));
          document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: carried, bubbles: true}));
        }""",
        data,
    )
    assert names(page)[0].startswith("red")


def test_found_by_a_box(page, site: Served, tmp_path: Path) -> None:
    both = np.concatenate(
        [picture(COLOURS["red"], size=(150, 200)), picture(COLOURS["green"], size=(150, 200))], axis=1
    )
    (tmp_path / "both.png").write_bytes(encode(both))
    page.set_input_files("input[type=file]", tmp_path / "both.png")
    names(page)
    page.click(".chip .show")
    page.wait_for_selector("dialog[open] .frame img")
    holds(page, "document.querySelector('dialog .frame img').naturalWidth > 0")
    page.click("dialog [data-box]")
    box = page.locator("dialog .frame").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.9, steps=4)
    page.mouse.up()
    page.wait_for_url("**region=**")
    page.wait_for_selector(".chip .box")
    assert names(page)[0].startswith("green")


def test_more_and_less_like_this(page) -> None:
    page.fill("#name", "blue1")
    page.press("#name", "Enter")
    page.wait_for_url("**name=blue1**")
    holds(page, "document.querySelectorAll('.tile').length === 1")
    page.click(".tile")
    page.wait_for_selector("dialog[open]")
    page.click("dialog >> text=More like this")
    page.wait_for_url("**like=id**")
    assert names(page)[0].startswith("blue")
    page.locator(".tile").last.click()
    page.click("dialog >> text=Less like this")
    page.wait_for_url("**minus=**")
    page.wait_for_selector(".chip.minus")
    names(page)


def test_the_cut_off_says_what_it_means_and_stays_in_the_link(page) -> None:
    page.click(".tile")
    page.click("dialog >> text=More like this")
    before = len(names(page))
    page.focus("input[type=range]")
    for _ in range(97):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("location.search.includes('min=0.97')")
    assert "of" in page.inner_text(".says")
    assert page.locator(".tile").count() < before


def test_with_keys_alone(page) -> None:
    page.keyboard.press("g")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .frame img")
    holds(page, "document.querySelector('dialog .frame img').naturalWidth > 0")
    first = page.inner_text("dialog h2")
    page.keyboard.press("ArrowRight")
    wait_for(lambda: page.inner_text("dialog h2") != first)
    page.keyboard.press("m")
    page.wait_for_url("**like=id**")
    names(page)
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .frame img")
    page.keyboard.press("b")
    page.wait_for_selector("dialog .region")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**region=**")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("Escape")


def test_duplicates_are_looked_for_reviewed_and_undone(page, site: Served) -> None:
    page.click("nav >> text=Duplicates")
    page.click("text=Look for duplicates")
    page.wait_for_selector(".extra", timeout=60_000)
    one = page.locator(".extra[data-name*='copy.jpg']").first
    one.get_by_role("button", name="Compare").click()
    for how in ("Flip", "Overlay", "Difference", "Side by side"):
        page.locator("dialog.closer").get_by_role("button", name=how, exact=True).first.click()
    page.keyboard.press("Escape")
    one.get_by_role("button", name="Not a copy").click()
    wait_for(lambda: "not-a-copy" in site.http.get("/v1/duplicates").text)
    groups = json.loads(site.http.get("/v1/duplicates").text)["groups"]
    assert "not-a-copy" in [e["verdict"] for g in groups for e in g["extras"]]
    one.get_by_role("button", name="Not a copy").click()
    wait_for(lambda: "not-a-copy" not in site.http.get("/v1/duplicates").text)
    one.get_by_role("button", name="Keep this one instead").click()
    one.get_by_text("The next search will keep this one.").wait_for()
    wait_for(lambda: '"chosen":true' in site.http.get("/v1/duplicates").text)
    page.get_by_role("button", name="Undo", exact=True).first.click()
    wait_for(lambda: '"chosen":true' not in site.http.get("/v1/duplicates").text)


def test_what_was_chosen_is_kept_and_left_to_the_rules_again(page, site: Served) -> None:
    page.click("nav >> text=Duplicates")
    holds(
        page,
        "document.querySelector('.extra') || /No search for/.test(document.querySelector('main').innerText)",
    )
    for first, second in (("busy.png", "copy.jpg"), ("copy.jpg", "busy.png"), ("busy.png", "copy.jpg")):
        # The page asks anew once the job is over: what it showed before must not be taken for what was found.
        with page.expect_response("**/v1/duplicates?**", timeout=60_000):
            page.click("text=Look for duplicates")
        card = page.locator(f".group[aria-label^='{first} is kept']")
        card.wait_for()
        if second == "copy.jpg":
            card.get_by_role("button", name="Keep this one instead").click()
            card.get_by_text("The next search will keep this one.").wait_for()
            wait_for(lambda: '"chosen":true' in site.http.get("/v1/duplicates").text)
        else:
            card.get_by_text("kept because you chose it", exact=True).wait_for()
            card.get_by_role("button", name="Let the rules decide").click()
            card.get_by_text("The next search will choose by the rules again.").wait_for()
            wait_for(lambda: '"chosen":true' not in site.http.get("/v1/duplicates").text)
    card.get_by_role("button", name="Keep this one instead").click()
    wait_for(lambda: '"chosen":true' not in site.http.get("/v1/duplicates").text)


def test_groups_and_the_collection_s_state(page) -> None:
    page.click("nav >> text=Groups")
    page.click("text=Group the images")
    page.wait_for_selector(".card", timeout=60_000)
    page.click(".card")
    page.wait_for_selector(".tile")
    page.click("nav >> text=Collection")
    page.wait_for_selector(".figure")
    assert "17" in page.inner_text(".figures")


def test_a_label_given_in_the_large_view_is_on_its_page(page) -> None:
    page.fill("#name", "red0")
    page.press("#name", "Enter")
    page.wait_for_url("**name=red0**")
    holds(page, "document.querySelectorAll('.tile').length === 1")
    page.click(".tile")
    page.fill("dialog .label input", "rose")
    page.click("dialog .label button")
    holds(page, "document.getElementById('status').textContent === 'labeled rose'")
    page.keyboard.press("Escape")
    page.click("nav >> text=Labels")
    page.wait_for_selector(".card")
    assert "rose 1" in page.inner_text(".cards")
    page.click(".card a")
    page.wait_for_url("**label=rose**")
    holds(page, "document.querySelectorAll('.tile').length === 1")


def test_what_was_typed_is_not_overwritten_by_a_late_answer(page) -> None:
    page.route("**/v1/images/photos%2Fgreen1.png", lambda route: (time.sleep(0.5), route.continue_()))
    page.fill("#name", "green1")
    page.press("#name", "Enter")
    holds(page, "document.querySelectorAll('.tile').length === 1")
    page.click(".tile")
    page.fill("dialog .label input", "leaf")
    page.wait_for_selector("dialog .facts dd")
    assert page.input_value("dialog .label input") == "leaf"


def test_the_map_is_laid_out_and_a_picture_found_on_it(page) -> None:
    page.click("nav >> text=Map")
    page.click("text=Create the map")
    page.wait_for_selector("canvas#map", timeout=60_000)
    page.fill("#name", "blue1")
    page.press("#name", "Enter")
    assert page.inner_text("main [role=status]") == "photos/blue1.png"
    box = page.locator("canvas#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**like=id**blue1**")
    assert names(page)


def test_everything_has_a_name_and_nothing_is_too_wide(page, browser, site: Served) -> None:
    unnamed = """() => [...document.querySelectorAll('button, a, input:not([hidden]), select, img')]
      .filter(e => !(e.getAttribute('aria-label') || e.innerText || e.hasAttribute('alt') || e.title || e.value))
      .map(e => e.outerHTML)"""
    assert page.evaluate(unnamed) == []
    phone = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    sheet = phone.new_page()
    for path in ("/", "/?like=id%3Aphotos%2Fred0.png", "/duplicates", "/clusters", "/labels", "/map", "/collection"):
        sheet.goto(site.url + path)
        sheet.wait_for_load_state("networkidle")
        assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert sheet.evaluate("document.documentElement.dataset.theme") == "dark"
    phone.close()


def test_a_thousand_hits_keep_few_elements(page, browser, site: Served) -> None:
    results = page.evaluate(
        """async () => {
          const { Grid } = await import('/static/grid.js');
          const place = document.createElement('div');
          document.body.append(place);
          const grid = new Grid(place, { open() {}, label: 'x' });
          const tile = (n) => ({ id: 'photos/red0.png', width: 40 + n % 7 * 20, height: 90, score: 1 - n / 2000 });
          grid.show(Array.from({ length: 1000 }, (_, n) => tile(n)));
          const right = grid.boxes.every(([left, , width]) => left >= 0 && left + width <= grid.width + 1);
          const told = { tiles: place.querySelectorAll('.tile').length, boxes: grid.boxes.length, right };
          grid.close();
          return told;
        }"""
    )
    assert results["boxes"] == 1000
    assert results["right"]
    assert 0 < results["tiles"] < 200
