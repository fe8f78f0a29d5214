"""The page in a real browser where a proxy shows it below a path: every address it makes leads back below that path."""

from collections.abc import Iterator

import pytest

from lookalike.search import Collection
from tests.server.conftest import Served, fill, served
from tests.server.test_browser import browser, pytestmark  # noqa: F401 - a fixture, and when to skip


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("below")
    fill(folder / "photos")
    with Collection.open(folder / "c", create=True) as photos:
        photos.sync(folder / "photos")
    with served(None, str(folder / "c"), root_path="/photos", decoders=2) as running:
        yield running


def test_nothing_is_asked_outside_the_path(below: Served, browser) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    page = browser.new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(f"{below.url}/photos/")
    page.wait_for_selector("#main img")
    for name in ("Duplicates", "Groups", "Labels", "Map", "Collection", "Search"):
        page.keyboard.press("Escape")
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_load_state("networkidle")
        assert page.locator("nav a[aria-current=page]").inner_text() == name
    page.reload()
    page.wait_for_selector("#main img")
    outside = [url for url in urls if url.startswith(below.url) and "/photos/" not in url]
    assert not outside
    assert any("/photos/v1/images/" in url for url in urls)
    page.close()
