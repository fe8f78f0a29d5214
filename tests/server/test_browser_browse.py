"""The collection on the start page: orders, folders, values, years, and lists of any length."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookalike.search import Collection
from tests.conftest import COLOURS, ColourEmbedder, picture
from tests.server.conftest import Served, served, wait_for
from tests.server.test_browser import browser, holds, page, pytestmark

__all__ = ["browser", "page", "pytestmark"]
COUNT, NAMES = 400, list(COLOURS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """400 photographs of four years in eight folders, fifty without a date."""
    folder = tmp_path_factory.mktemp("browsed")
    for n in range(COUNT):
        place = folder / "photos" / ("all" if n % 2 else "all/it's 100%") / NAMES[n % 4]
        place.mkdir(parents=True, exist_ok=True)
        exif: Any = Image.Exif()
        exif[0x010F], exif[0x0110] = ("Canon", "EOS 5D") if n % 3 else ("Leica", "M3")
        if n % 8:
            exif.get_ifd(0x8769)[0x9003] = f"{2001 + n % 4}:05:{n % 28 + 1:02} 10:{n % 60:02}:00"
        data = io.BytesIO()
        Image.fromarray(picture(COLOURS[NAMES[n % 4]], seed=n, size=(24, 18))).save(data, "JPEG", exif=exif)
        (place / f"{n:03}.jpg").write_bytes(data.getvalue())
    with Collection.open(folder / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder / "photos")
        with served(photos, decoders=1) as running:
            yield running


def shown(page: Any) -> list[str]:
    """The names of the tiles in sight, in order."""
    page.wait_for_selector(".tile img")
    tiles = page.eval_on_selector_all(".tile", "tiles => tiles.map(t => [+t.dataset.n, t.getAttribute('aria-label')])")
    return [name for _, name in sorted(tiles)]


def total(page: Any) -> str:
    page.wait_for_selector(".order [role=status]:not(:empty)")
    return str(page.locator(".order [role=status]").inner_text())


def test_the_collection_is_there_in_any_order(page: Any, site: Served) -> None:
    assert total(page) == "400 images in the collection"
    dated = sorted(row.id for row in site.photos.get(site.photos.ids("taken is not null")) if row)
    by_date = sorted(dated, key=lambda i: str(site.photos.get(i)[0].metadata["taken"]), reverse=True)  # type: ignore[union-attr]
    page.get_by_label("Order").select_option("-taken")
    page.wait_for_url("**sort=-taken*")
    assert shown(page)[:6] == [i.split("/")[-1] for i in by_date[:6]]
    assert page.locator(".timeline button").all_inner_texts() == ["2004", "2003", "2002", "2001", "no date"]
    page.get_by_label("Order").select_option("id")
    page.wait_for_url("**sort=id*")
    assert shown(page)[:3] == [i.split("/")[-1] for i in sorted(site.photos.ids())[:3]]
    assert page.locator(".timeline").is_hidden()
    page.go_back()
    page.wait_for_url("**sort=-taken*")
    assert page.get_by_label("Order").input_value() == "-taken"


def test_a_year_leads_to_its_first_image(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=taken")
    page.get_by_role("button", name="2003: ").click()
    first = site.photos.ids("year < 2003")
    in_sight(page, len(first))
    page.wait_for_selector(f".tile[data-n='{len(first)}'] img")
    page.get_by_role("button", name="Images without a date").click()
    holds(page, "window.scrollY > 1000")


def test_folders_and_values_narrow_the_list(page: Any, site: Served) -> None:
    page.locator("summary", has_text="Folder").click()
    page.get_by_role("button", name="it's 100%: 200 images").click()
    page.wait_for_url("**folder=*")
    assert total(page) == "200 images"
    page.locator("summary", has_text="Camera").click()
    leica = len(site.photos.ids("camera = 'Leica M3' and id like '%100\\%%'")) or sum(
        "100%" in i for i in site.photos.ids("camera = 'Leica M3'")
    )
    page.get_by_role("button", name=f"Leica M3: {leica} images").click()
    page.wait_for_url("**only=camera*")
    assert total(page) == f"{leica} images"
    page.reload()  # the address says it all
    assert total(page) == f"{leica} images"
    assert page.locator(".facets .facet").all_inner_texts()[:4] == ["All folders\n✕", "photos", "all", "it's 100%"]
    page.get_by_role("button", name="Remove: Camera Leica M3").click()
    page.wait_for_function("!location.search.includes('only=')")
    assert total(page) == "200 images"
    page.get_by_role("button", name="Show all folders").click()
    page.wait_for_function("!location.search.includes('folder=')")
    assert total(page) == "400 images in the collection"


def test_what_is_chosen_holds_for_searches_too(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?only=year%3D2002&folder=photos%2Fall")
    assert total(page) == f"{len(site.photos.ids('year = 2002'))} images"
    page.locator(".tile").first.click()
    page.get_by_role("button", name="More like this").click()
    page.wait_for_selector(".tile .score")
    assert "only=year%3D2002" in page.url
    count = page.locator(".ask + .row h1").inner_text()
    assert count.startswith(str(len(site.photos.ids("year = 2002")) - 1))


def test_values_that_are_no_values_are_harmless(page: Any, site: Served) -> None:
    for only in ("year=2002 or 1=1", "nothing=1", "camera=' or ''='", "=", "camera"):
        page.goto(f"{site.url}/?only={only.replace('=', '%3D').replace(' ', '%20')}")
        page.wait_for_selector(".order")
        assert "image" in total(page)
    page.goto(f"{site.url}/?sort=nothing&folder=%27")
    assert total(page) == "0 images"


def test_the_large_view_goes_on_beyond_what_is_loaded(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    ids = sorted(site.photos.ids())
    page.wait_for_selector(".tile img")
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    page.wait_for_selector(f".tile[data-n='{COUNT - 1}'] img")
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer[open] h2")
    assert page.locator("#viewer h2").inner_text() == ids[-1].split("/")[-1]
    for n in range(2, 5):
        page.keyboard.press("ArrowLeft")
        holds(page, f"document.querySelector('#viewer h2').textContent === '{ids[-n].split('/')[-1]}'")
    assert page.locator("#viewer .facts").inner_text().count("taken") <= 1
    page.keyboard.press("Escape")
    holds(page, f"document.activeElement.dataset.n === '{COUNT - 4}'")


TILES = """(() => [...document.querySelectorAll('.tile')].map((tile) => {
  const box = tile.getBoundingClientRect();
  return [Number(tile.dataset.n), box.top, box.bottom, tile === document.activeElement];
}))()"""


def in_sight(page: Any, n: int, *, focused: bool = False) -> None:
    """Wait until a tile is in the window, and if so has the focus."""

    def is_there() -> bool:
        tiles = {at: rest for at, *rest in page.evaluate(TILES)}
        top, bottom, has_focus = tiles.get(n, (-1, -1, False))
        return bool(top >= 0 and bottom <= page.viewport_size["height"] + 1 and has_focus >= focused)

    wait_for(is_there, seconds=10)


@pytest.mark.parametrize("width", [320, 1200])
def test_a_list_that_no_element_is_high_enough_for(page: Any, width: int) -> None:
    """A million tiles: every one can be reached, and only those in sight are in the document."""
    dot = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    page.route(
        re.compile("/v1/images/x%2F"), lambda route: route.fulfill(body=dot.getvalue(), content_type="image/png")
    )
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate(
        """async () => {
          const { Wall } = await import('/static/wall.js');
          document.getElementById('main').replaceChildren();
          window.asked = [];
          const load = async (offset, k) => {
            window.asked.push(offset);
            return Array.from({ length: Math.min(k, 1000000 - offset) }, (_, n) =>
              ({ id: `x/${offset + n}.jpg`, width: 4, height: 3 }));
          };
          window.wall = new Wall(document.getElementById('main'), { label: 'all', open: () => {}, load });
          window.wall.show(1000000);
        }"""
    )
    page.wait_for_selector(".tile[aria-label='0.jpg']")
    for at in (999_999, 500_000, 3, 777_777):
        page.evaluate(f"window.wall.focus({at})")
        page.wait_for_selector(f".tile[aria-label='{at}.jpg']")
        in_sight(page, at, focused=True)
        assert page.locator(".tile").count() < 400
    for _ in range(60):  # by the keys too, without a jump
        before = page.evaluate("Number(document.activeElement.dataset.n)")
        page.keyboard.press("ArrowUp")
        columns = page.evaluate("window.wall.columns")
        assert page.evaluate("Number(document.activeElement.dataset.n)") == before - columns
    in_sight(page, before - columns, focused=True)
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_selector(".tile[aria-label='999999.jpg']")
    in_sight(page, 999_999)
    assert page.evaluate("document.querySelector('.grid').clientHeight") <= 8e6
    asked = page.evaluate("window.asked.length")
    page.evaluate("window.scrollTo(0, 3000000)")
    page.evaluate("window.scrollTo(0, 5000000)")
    page.wait_for_timeout(400)
    assert page.evaluate("window.asked.length") - asked <= 8  # what is passed in a moment is not loaded


def test_many_are_selected_labeled_and_downloaded(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    ids = sorted(site.photos.ids())
    page.wait_for_selector(".tile img")
    page.locator(".tile[data-n='1']").click(modifiers=["Control"])
    page.locator(".tile[data-n='4']").click(modifiers=["Shift"])
    bar = page.get_by_role("region", name="Selected images")
    assert bar.locator("[role=status]").inner_text() == "4 selected"
    page.locator(".tile[data-n='2']").click(modifiers=["Control"])
    page.locator(".tile[data-n='0']").focus()
    page.keyboard.press("x")
    assert bar.locator("[role=status]").inner_text() == "4 selected"
    chosen = [ids[n] for n in (0, 1, 3, 4)]
    assert page.locator(".tile.selected").count() == 4
    assert page.locator(".tile.selected").first.get_attribute("aria-label").endswith(", selected")
    assert not page.locator("#viewer").is_visible()

    assert site.http.post("/v1/labels", json={"label": "before", "ids": [ids[1]]}).status_code == 200
    page.reload()
    page.wait_for_selector(".tile img")
    for n in (0, 1, 3, 4):
        page.locator(f".tile[data-n='{n}']").click(modifiers=["Control"])
    bar.get_by_label("Label for the selected images").fill('it\'s, "mine"')
    bar.get_by_role("button", name="Label").click()
    page.get_by_text("4 images labeled it's").wait_for()
    assert sorted(site.photos.ids({"label": 'it\'s, "mine"'})) == chosen
    with page.expect_download() as downloading:
        bar.get_by_role("button", name="Download list").click()
    lines = Path(downloading.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,label,width,height"
    assert lines[1] == f'{ids[0]},"it\'s, ""mine""",24,18'
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("the labels are as they were").wait_for()
    assert site.photos.ids("label is not null") == [ids[1]]
    assert site.photos.ids({"label": "before"}) == [ids[1]]
    page.keyboard.press("Escape")
    page.locator(".tile[data-n='0']").focus()
    page.keyboard.press("Escape")
    assert bar.is_hidden()


def test_a_click_selects_after_select_and_ranges_reach_beyond_what_is_loaded(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    page.wait_for_selector(".tile img")
    page.get_by_role("button", name="Select", exact=True).click()
    page.locator(".tile[data-n='0']").click()
    page.keyboard.press("End")
    page.wait_for_selector(f".tile[data-n='{COUNT - 1}'] img")
    page.locator(f".tile[data-n='{COUNT - 1}']").click(modifiers=["Shift"])
    page.get_by_text(f"{COUNT} selected").wait_for()
    page.get_by_role("button", name="Select", exact=True).click()
    assert page.get_by_role("region", name="Selected images").is_hidden()
    page.locator(f".tile[data-n='{COUNT - 1}']").click()  # and a click opens again
    page.wait_for_selector("#viewer[open]")


def test_back_and_a_reload_return_to_the_same_place(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    page.wait_for_selector(".tile img")
    page.evaluate("window.scrollTo(0, 2000)")
    holds(page, "history.state?.scroll >= 2000")  # what comes in above moves it on
    in_view = page.evaluate(TILES)
    n = next(at for at, top, _, _ in in_view if 100 < top < 500)
    page.wait_for_selector(f".tile[data-n='{n}'] img")
    page.locator(f".tile[data-n='{n}']").click()
    page.get_by_role("button", name="More like this").click()
    page.wait_for_selector(".tile .score")
    page.go_back()
    holds(page, "Math.abs(window.scrollY - 2000) < 300")
    in_sight(page, n)
    page.reload()
    holds(page, "Math.abs(window.scrollY - 2000) < 300")


def first_in_sight(page: Any) -> int:
    return min([int(n) for n, top, _, _ in page.evaluate(TILES) if 50 <= top < 800], default=0)


def test_a_narrower_window_keeps_the_first_image_in_sight(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    page.get_by_text("400 images").wait_for()
    page.evaluate("window.scrollTo(0, 6000)")
    wait_for(lambda: first_in_sight(page) > 100)
    before = first_in_sight(page)
    page.set_viewport_size({"width": 800, "height": 800})
    wait_for(lambda: page.evaluate("document.querySelector('.grid').clientWidth") < 800)
    wait_for(lambda: abs(first_in_sight(page) - before) <= 12)


def test_a_list_that_has_become_shorter_says_so(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    page.get_by_text("400 images in the collection").wait_for()

    def shorter(route: Any) -> None:
        """Answer as if 150 images had been removed."""
        path = route.request.url.removeprefix(site.url)
        content = site.http.get(path).json()
        start = re.search(r"offset=(\d+)", path)
        content["images"] = content["images"][: max(0, 250 - int(start[1] if start else 0))]
        route.fulfill(json=content | {"total": 250})

    page.route("**/v1/images?**", shorter)
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.get_by_text("250 images in the collection").wait_for()
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    wait_for(lambda: max(row[0] for row in page.evaluate(TILES)) == 249)
    page.unroute_all(behavior="wait")


def test_a_page_that_cannot_be_loaded_is_tried_again(page: Any, site: Served) -> None:
    page.goto(f"{site.url}/?sort=id")
    page.wait_for_selector(".tile img")
    failures: list[int] = []

    def fail_once(route: Any) -> None:
        if failures:
            route.fallback()
            return
        failures.append(1)
        route.fulfill(status=200, body="{", content_type="application/json")

    page.route("**/v1/images?**", fail_once)
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    page.wait_for_selector(f".tile[data-n='{COUNT - 1}'] img")
    assert failures
    page.unroute_all(behavior="wait")


@pytest.mark.parametrize("width", [320, 768])
def test_long_names_of_folders_stay_inside(page: Any, site: Served, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site.url}/?folder={'long%20name%20' * 12}{'x' * 120}")
    page.get_by_text("0 images").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_paths_as_ids_and_no_dates(browser: Any, tmp_path: Path) -> None:
    """A collection that a program filled: ids are paths, and there are no dates to sort by."""
    files = []
    for n in range(6):
        path = tmp_path / f"f{n % 2}" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(COLOURS["red"], seed=n)).save(path)
        files.append(path)
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.add(files)
        photos.store.drop_columns(["taken", "year", "camera", "lens"])
        with served(photos, decoders=1) as own:
            context = browser.new_context()
            sheet = context.new_page()
            sheet.goto(f"{own.url}/?sort=-taken")
            sheet.get_by_text("6 images in the collection").wait_for()
            assert "Newest photos first" not in sheet.locator("#sort option").all_inner_texts()
            sheet.locator("summary", has_text="Folder").click()
            sheet.get_by_role("button", name="f1: 3 images").click()
            sheet.get_by_text("3 images").wait_for()
            crumbs = sheet.locator(".facets .facet").all_inner_texts()
            assert crumbs[1].startswith("/")
            assert crumbs[-1] == "f1" or "f1" in crumbs
            context.close()
