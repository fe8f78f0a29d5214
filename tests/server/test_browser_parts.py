"""Search by parts on the page: badges, outlines over both images, ranks in the query image; the ranking by parts."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from lookalike.image.compositions import collage
from lookalike.relate.local_search import update_local_features
from lookalike.search import Collection
from tests.relate.conftest import png, scene
from tests.server.conftest import Served, served, wait_for
from tests.server.test_browser import browser, holds, names, page, pytestmark

__all__ = ["browser", "page", "pytestmark"]
COUNT = 16


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collection that keeps local features; one of its images is a collage of others, with a foreign one."""
    folder = tmp_path_factory.mktemp("browsed_parts")
    (folder / "photos").mkdir()
    for n in range(COUNT):
        (folder / "photos" / f"{n:02}.png").write_bytes(png(scene(n)))
    with Collection.open(folder / "c", create=True) as photos:
        photos.sync(folder / "photos")
        update_local_features(photos)
    with served(None, str(folder / "c"), decoders=2) as running:
        yield running


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [scene(3), scene(8), scene(100), scene(11)]
    path = tmp_path_factory.mktemp("sheet") / "sheet.png"
    path.write_bytes(png(collage(images, np.random.default_rng(0), side=640)))
    return path


def search_by_parts(page, sheet: Path) -> None:
    page.check("#parts")
    page.set_input_files("input[type=file]", sheet)
    page.wait_for_selector(".rank")
    names(page)


def focused(page) -> str:
    return str(page.evaluate("document.activeElement.closest('.tile')?.getAttribute('aria-label') || ''"))


def test_parts_are_named_outlined_and_ranked(page, sheet: Path) -> None:
    search_by_parts(page, sheet)
    assert parse_qs(urlsplit(page.url).query)["parts"] == ["1"]
    first = names(page)[:4]
    assert {name.split(",")[0] for name in first[:3]} == {"03.png", "08.png", "11.png"}
    assert all("shares a part" in name or "shows part of the query" in name for name in first[:3])
    assert not any(word in first[3] for word in ("part", "query"))
    badges = page.eval_on_selector_all(".tile .badge.contained", "all => all.map((badge) => badge.textContent)")
    assert [badge.split(" ")[0] for badge in badges] == ["1", "2", "3"]
    assert page.locator(".found-in-query .outlines .line").count() == 3
    assert page.inner_text("h1").startswith("3 by parts")
    with page.expect_response(lambda response: "relations=true" in response.url) as judged:
        page.reload()
    judged.value.finished()
    page.wait_for_selector(".tile .badge.contained")
    assert "copy" not in page.inner_text(".answer")


def test_a_rank_in_the_query_image_leads_to_its_hit_by_mouse_and_by_keys(page, sheet: Path) -> None:
    search_by_parts(page, sheet)
    labels = names(page)
    page.locator(".rank").nth(1).click()
    wait_for(lambda: focused(page) == labels[1])
    page.locator(".rank").nth(2).focus()
    page.keyboard.press("Enter")
    wait_for(lambda: focused(page) == labels[2])
    assert page.locator(".rank[aria-pressed=true]").get_attribute("aria-label").startswith("Hit 3: ")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .stage.both")
    assert page.locator("dialog[open] .frame img").count() == 2
    assert page.locator("dialog[open] .frame .outlines").count() >= 1
    assert "matching points" in page.inner_text("dialog[open] .side")


def test_an_image_that_contains_the_query_is_outlined_in_its_thumbnail(page, tmp_path: Path) -> None:
    (tmp_path / "crop.png").write_bytes(png(np.ascontiguousarray(scene(5)[90:270, 120:360])))
    page.check("#parts")
    page.set_input_files("input[type=file]", tmp_path / "crop.png")
    page.wait_for_selector(".tile .outlines")
    assert names(page)[0].startswith("05.png, contains the query, ")
    tile, line = (page.locator(name).first.bounding_box() for name in (".tile", ".tile polygon.line"))
    assert line["width"] == pytest.approx(tile["width"] / 2, rel=0.1)
    assert line["x"] == pytest.approx(tile["x"] + tile["width"] / 4, abs=8)
    assert page.locator(".found-in-query").count() == 0


def test_the_control_stays_and_says_what_it_is_for(page, site: Served, sheet: Path) -> None:
    search_by_parts(page, sheet)
    page.reload()
    page.wait_for_selector(".rank")
    assert page.is_checked("#parts")
    page.uncheck("#parts")
    holds(page, "!document.querySelector('.rank') && document.querySelectorAll('.tile .score').length > 0")
    assert "parts" not in parse_qs(urlsplit(page.url).query)
    wait_for(lambda: page.evaluate("document.activeElement.id") == "parts")
    page.goto(site.url + "/?like=id:photos/00.png&like=id:photos/01.png&parts=1")
    names(page)
    page.wait_for_selector("#parts:visible")
    assert page.is_disabled("#parts")
    assert page.locator(".rank").count() == 0


def test_a_narrow_page_does_not_scroll_sideways(page, sheet: Path) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    search_by_parts(page, sheet)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.locator(".tile").first.click()
    page.wait_for_selector("dialog[open] .stage.both .frame img")
    assert page.evaluate("document.getElementById('viewer').scrollWidth") <= 320


def test_the_ranking_by_parts_of_vectors_is_offered_only_where_there_are_two(page, site: Served) -> None:
    def collection_of(parts: list[str]):  # type: ignore[no-untyped-def]
        def fulfill(route) -> None:
            route.fulfill(json=route.fetch().json() | {"vector_parts": parts, "local_features": False})

        return fulfill

    page.route("**/v1/collection", collection_of([]))
    page.goto(site.url + "/?like=id:photos/00.png")
    names(page)
    assert page.locator("#by:visible").count() == 0
    page.unroute("**/v1/collection")
    page.route("**/v1/collection", collection_of(["alike", "copy"]))
    page.goto(site.url + "/?like=id:photos/00.png")
    names(page)
    page.wait_for_selector("#by:visible")
    assert page.locator("#parts:visible").count() == 0
    with page.expect_request(lambda request: "/v1/search" in request.url and "by=copy" in request.url):
        page.select_option("#by", "copy")
    page.wait_for_url("**by=copy**")
    names(page)
