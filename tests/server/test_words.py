"""Searching by words through the server, its client and its page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.client import connect
from lookalike.errors import BadQuery
from lookalike.search import Collection, Query
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.server.conftest import Served, served
from tests.server.test_browser import browser, page, pytestmark
from tests.words_model import write_words_model

__all__ = ["browser", "page", "pytestmark"]


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
    folder = tmp_path_factory.mktemp("words")
    (folder / "photos").mkdir()
    for seed, (name, colour) in enumerate(COLOURS.items()):
        (folder / "photos" / f"{name}.png").write_bytes(encode(picture(colour, seed=seed)))
    model = write_words_model(folder / "colours")
    with Collection.open(folder / "c", model=model, create=True) as photos:
        photos.sync(folder / "photos")
        with served(photos) as site:
            yield site


@pytest.fixture
def site(worded: Served) -> Served:
    return worded


def ids(site: Served, **parameters: object) -> list[str]:
    answer = site.http.get("/v1/search", params={"k": 1, **parameters})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_words_are_combined_with_images_and_subtracted(worded: Served) -> None:
    assert ids(worded, text="a red thing") == ["photos/red.png"]
    assert ids(worded, text=["red", "blue"]) == ["photos/violet.png"]
    assert ids(worded, text="violet", minus="text:blue") == ["photos/red.png"]
    assert ids(worded, like="id:photos/red.png", text="blue") == ["photos/violet.png"]
    assert ids(worded, like="text:red *5", text="blue *0.1") == ["photos/red.png"]


def test_the_server_and_the_collection_give_the_same(worded: Served) -> None:
    query = Query(("id:photos/red.png",), ("text:green",), text="blue *0.5")
    with connect(worded.url) as remote:
        ours, theirs = worded.photos.search(query, 4), remote.search(query, 4)
        assert [hit.id for hit in theirs] == [hit.id for hit in ours]
        assert [hit.score for hit in theirs] == pytest.approx([hit.score for hit in ours], abs=1e-5)
        assert theirs.percentiles == pytest.approx(ours.percentiles, abs=0.01)


def test_hits_of_words_have_a_percentile_and_no_relation(worded: Served) -> None:
    hits = worded.http.get("/v1/search", params={"text": "green", "k": 5}).json()["hits"]
    assert [hit["percentile"] for hit in hits] == [100, 75, 50, 25, 0]
    assert "percentile" not in worded.http.get("/v1/search", params={"like": "id:photos/red.png"}).json()["hits"][0]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"text": "red", "relations": True}, "no pixels"),
        ({"text": "red", "parts": True}, "no pixels"),
        ({"text": "red", "by": "copy"}, "copies"),
        ({"text": ""}, "no words follow"),
        ({"text": "red *0"}, "not above 0"),
        ({"text": "r" * 2001}, "at most 2,000"),
        ({"text": "red", "region": "0,0,1,1"}, "regions"),
        ({"k": 3}, "or `text`"),
    ],
)
def test_what_words_cannot_do_is_refused(worded: Served, parameters: dict[str, object], reason: str) -> None:
    answer = worded.http.get("/v1/search", params=parameters)
    assert answer.status_code == 400, answer.text
    assert reason in answer.text


def test_a_collection_without_words_says_so(tmp_path: Path) -> None:
    with Collection.open("memory:", model=ColourEmbedder(), create=True) as plain, served(plain) as site:
        plain.add([picture(COLOURS["red"])], ["a"])
        assert site.http.get("/v1/collection").json()["words"] is False
        answer = site.http.get("/v1/search", params={"text": "red"})
        assert answer.status_code == 400
        assert "reads no words" in answer.text
        with connect(site.url) as remote, pytest.raises(BadQuery, match="reads no words"):
            remote.search("text:red")


def test_words_are_the_first_thing_on_the_page(page, site: Served) -> None:
    page.goto(site.url)
    field = page.get_by_label("Search by words")
    field.fill("a red thing")
    field.press("Enter")
    page.wait_for_selector(".tile")
    assert (
        page.locator(".tile").first.get_attribute("aria-label") == "red.png, rank 1, better than 100% of the collection"
    )
    assert page.locator(".chip q").inner_text() == "a red thing"
    assert page.locator(".cut").is_hidden()
    more = page.get_by_label("Add words to the query")
    more.fill("-blue")
    more.press("Enter")
    page.wait_for_selector(".chip.minus q")
    assert "minus=text%3Ablue" in page.url
    page.locator(".chip.minus .away").click()
    page.wait_for_function("document.querySelectorAll('.chip').length === 1")
    # The link lives: words need no upload.
    page.reload()
    page.wait_for_selector(".tile")
    assert page.locator(".chip q").inner_text() == "a red thing"
