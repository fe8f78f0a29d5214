"""A server of a collection with vectors of a further model: searches by it, its client and its page."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.client import connect
from lookalike.search import Collection
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.server.conftest import Served, served, wait_for
from tests.server.test_browser import browser, page, pytestmark
from tests.words_model import write_words_model

__all__ = ["browser", "page", "pytestmark"]
NAME = "words"


@pytest.fixture(params=["in memory", "too large for memory"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
    (tmp_path / "photos").mkdir()
    for seed, (name, colour) in enumerate(COLOURS.items()):
        (tmp_path / "photos" / f"{name}.png").write_bytes(encode(picture(colour, seed=seed)))
    memory = 1 << 30 if request.param == "in memory" else 0
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.added_models.add(write_words_model(tmp_path / NAME))
        photos.sync(tmp_path / "photos")
        with served(photos, resident_bytes=memory) as opened:
            yield opened


def names(site: Served, **parameters: object) -> tuple[list[str], str | None]:
    answer = site.http.get("/v1/search", params={"k": 1, **parameters})
    assert answer.status_code == 200, answer.text
    content = answer.json()
    return [hit["id"].split("/")[-1].removesuffix(".png") for hit in content["hits"]], content.get("model")


def test_words_and_named_searches_go_to_the_added_model(site: Served) -> None:
    facts = site.http.get("/v1/collection").json()
    assert (facts["words"], facts["added_models"], facts["model"]) == (True, [NAME], "colour")
    assert names(site, text="a red thing") == (["red"], NAME)
    assert names(site, like="id:photos/red.png", text="blue") == (["violet"], NAME)
    assert names(site, like="id:photos/red.png", by=NAME, where="width > 0")[1] == NAME
    assert names(site, like="id:photos/red.png")[1] is None
    hits = site.http.get("/v1/search", params={"text": "green", "k": 5}).json()["hits"]
    assert [hit["percentile"] for hit in hits] == [100, 75, 50, 25, 0]
    assert {"width", "height"} <= hits[0]["metadata"].keys()
    assert "path" not in hits[0]["metadata"]
    similar = site.http.get("/v1/images/photos%2Fred.png/similar", params={"by": NAME, "k": 9}).json()
    assert (similar["model"], len(similar["hits"])) == (NAME, len(COLOURS) - 1)
    for by in ("nonsense", "x" * 500, ""):
        assert site.http.get("/v1/search", params={"like": "id:photos/red.png", "by": by}).status_code in (400, 422)


def test_uploads_regions_and_saved_queries_are_embedded_by_it(site: Served) -> None:
    half = picture(COLOURS["red"], seed=9)
    half[:, : half.shape[1] // 2] = picture(COLOURS["blue"], seed=9)[:, : half.shape[1] // 2]
    data = encode(half)
    for region, expected in (("0,0,.5,1", "blue"), (".5,0,.5,1", "red")):
        files, form = {"image": ("a.png", data)}, {"region": region}
        answer = site.http.post("/v1/search", params={"by": NAME, "k": 1}, files=files, data=form).json()
        assert expected in answer["hits"][0]["id"]
        (token,) = answer["query"]
        assert names(site, like=token, region=region, by=NAME) == ([expected], NAME)
    whole = names(site, like=token, by=NAME, k=2)[0]
    assert "violet" in whole
    assert names(site, like=token)[1] is None
    judged = site.http.get("/v1/search", params={"like": token, "by": NAME, "relations": True}).json()
    assert all(hit["relation"] for hit in judged["hits"])


def test_the_client_gives_what_the_collection_gives(site: Served) -> None:
    with connect(site.url) as remote:
        for query, by in (("text:blue", "both"), ("id:photos/red.png", NAME)):
            ours, theirs = site.photos.search(query, 4, by=by), remote.search(query, 4, by=by)
            assert [hit.id for hit in theirs] == [hit.id for hit in ours]
            assert [hit.score for hit in theirs] == pytest.approx([hit.score for hit in ours], abs=1e-5)
            assert (theirs.model, theirs.percentiles) == (ours.model, pytest.approx(ours.percentiles, abs=0.01))
        assert remote.search_by_id("photos/red.png", 2, by=NAME).model == NAME


def test_a_label_an_upload_and_a_removal_count_at_once(site: Served) -> None:
    patched = site.http.patch("/v1/images/photos%2Fblue.png", json={"label": "mine"})
    assert patched.status_code == 200, patched.text
    assert names(site, text="red", where="label = 'mine'", k=5) == (["blue"], NAME)
    files = {"image": ("new.png", encode(picture(COLOURS["red"], seed=11)))}
    added = site.http.post("/v1/images", files=files, data={"id": "new", "metadata": json.dumps({"label": "mine"})})
    assert added.status_code == 201, added.text
    wait_for(lambda: names(site, text="red", where="label = 'mine'", k=1)[0] == ["new"])
    assert site.http.delete("/v1/images/new").status_code == 200
    assert "new" not in names(site, text="red", k=9)[0]


def test_what_another_process_does_is_seen(site: Served, tmp_path: Path) -> None:
    (tmp_path / "photos" / "other.png").write_bytes(encode(picture(COLOURS["green"], seed=12)))
    (tmp_path / "photos" / "green.png").unlink()
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as other:
        other.sync()
    wait_for(lambda: names(site, text="green") == (["other"], NAME))
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as other:
        other.added_models.remove(NAME)
    wait_for(lambda: site.http.get("/v1/search", params={"text": "green"}).status_code == 400)
    assert names(site, like="id:photos/red.png")[1] is None  # the rest goes on
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as other:
        other.added_models.add(tmp_path / NAME)
        other.sync()
    started = time.monotonic()
    while site.http.get("/v1/search", params={"text": "green", "k": 1}).status_code != 200:
        assert time.monotonic() - started < 20
        time.sleep(0.1)
    wait_for(lambda: names(site, text="green") == (["other"], NAME))


def test_vectors_without_images_take_no_place_among_the_hits(site: Served) -> None:
    view = site.photos.by_model(NAME)
    (text,) = view.text_search.vectors(["red"])
    lost = [f"lost {n}" for n in range(20)]
    view.store.vectors.add(lost, np.repeat(text[None], 20, 0), [{"sha256": "x"} for _ in lost])  # type: ignore[attr-defined]
    wait_for(lambda: site.app.state.lookalike.service.added_models[NAME]._version == view.store.vectors.version)  # type: ignore[attr-defined]
    assert (names(site, text="red", k=3)[0][0], len(names(site, text="red", k=9)[0])) == ("red", len(COLOURS))


def test_a_model_that_cannot_be_loaded_leaves_the_rest_at_work(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "red.png").write_bytes(encode(picture(COLOURS["red"])))
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.added_models.add(write_words_model(tmp_path / NAME))
        photos.sync(tmp_path / "photos")
    (tmp_path / NAME).rename(tmp_path / "away")
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as photos, served(photos) as site:
        assert names(site, like="id:photos/red.png", k=3) == ([], None)
        answer = site.http.get("/v1/search", params={"text": "red"})
        assert (answer.status_code, NAME in answer.json()["message"]) == (503, True)
        assert str(tmp_path) not in answer.text
        assert site.http.get("/v1/collection").status_code == 200


@pytest.mark.parametrize("site", ["in memory"], indirect=True)
def test_the_page_offers_words_and_the_model(page, site: Served) -> None:
    page.goto(site.url)
    field = page.get_by_label("Search by words")
    field.fill("a red thing")
    field.press("Enter")
    page.wait_for_selector(".tile")
    assert page.locator(".tile").first.get_attribute("aria-label").startswith("red.png, rank 1, better than 100%")
    page.goto(f"{site.url}/?like=id%3Aphotos%2Fred.png")
    page.wait_for_selector(".tile")
    ranking = page.get_by_label("Rank by")
    assert ranking.locator("option").all_inner_texts() == ["Rank by: colour", f"Rank by: {NAME}"]
    ranking.select_option(NAME)
    page.wait_for_url(f"**by={NAME}*")
    page.wait_for_selector(".tile")
    assert page.get_by_label("Rank by").input_value() == NAME
    slider = page.get_by_label("Minimum score of the hits")
    slider.fill("0.1")
    assert "shown." in page.locator(".cut").inner_text()
    assert "random pairs" not in page.locator(".cut").inner_text()
