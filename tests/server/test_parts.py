"""Search by parts through HTTP: the same hits as the collection's, refusals by name, features of added images."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

import lookalike
from lookalike.errors import BadQuery, StoreFailed
from lookalike.image.compositions import collage, paste_into
from lookalike.relate import local_search
from lookalike.relate.facts import containment_facts
from lookalike.relate.local_search import LocalIndex, load_query, search_by_parts, update_local_features
from lookalike.schema import LOCAL_FEATURES
from lookalike.search import Collection
from lookalike.types import RGB
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene
from tests.server.conftest import Served, served, wait_for

COUNT = 24


def sheet() -> RGB:
    """A collage of three stored images and a foreign one."""
    return collage([scene(3), scene(8), scene(100), scene(11)], np.random.default_rng(0), side=640)


def write(folder: Path) -> Path:
    folder.mkdir()
    for n in range(COUNT):
        (folder / f"{n:02}.png").write_bytes(png(scene(n)))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for the tests that leave it as it was."""
    location = tmp_path_factory.mktemp("parts")
    with Collection.open(location / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(write(location / "photos"))
        update_local_features(photos)
        with served(photos, str(location / "c")) as running:
            yield running


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Served]:
    """A server that the test may write to."""
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(write(tmp_path / "photos"))
        update_local_features(photos)
        with served(photos, str(tmp_path / "c")) as running:
            yield running


def hits(response: httpx.Response) -> list[dict]:
    assert response.status_code == 200, response.text
    return list(response.json()["hits"])


def contained(response: httpx.Response) -> set[str]:
    return {hit["id"] for hit in hits(response) if hit["containment"]}


def upload(site: Served, image: RGB, **parameters: object) -> httpx.Response:
    return site.http.post("/v1/search", params={"parts": True, **parameters}, files={"image": ("x.png", png(image))})


def test_the_server_finds_what_the_collection_finds(site: Served, tmp_path: Path) -> None:
    expected = search_by_parts(site.photos, load_query(site.photos, png(sheet())), 8)
    answer = hits(upload(site, sheet(), k=8))
    assert {h["id"] for h in answer if h["containment"]} == {f"photos/{n}.png" for n in ("03", "08", "11")}
    assert len(answer) == 8
    for hit, one in zip(answer[:3], expected[:3], strict=True):  # the scores of the others are all but equal
        assert one.containment is not None
        assert (hit["id"], hit["containment"]) == (one.hit.id, containment_facts(one.containment))
        assert hit["score"] == pytest.approx(one.hit.score, abs=2e-3)
        assert "path" not in hit["metadata"]
        assert "sha256" not in hit["metadata"]


def test_a_saved_query_and_an_id_find_the_same_as_an_upload(site: Served) -> None:
    token = site.http.post("/v1/queries", files={"image": ("x.png", png(sheet()))}).json()["query"]
    by_token = site.http.get("/v1/search", params={"like": token, "parts": True, "k": 8})
    assert hits(by_token) == hits(upload(site, sheet(), k=8))
    by_id = site.http.get("/v1/search", params={"like": "id:photos/05.png", "parts": True, "k": 30})
    assert "photos/05.png" not in [hit["id"] for hit in hits(by_id)]
    assert len(hits(by_id)) == COUNT - 1


def test_a_condition_holds_for_contained_images_too(site: Served) -> None:
    where = "id IN ('photos/03.png', 'photos/20.png')"
    answer = upload(site, sheet(), k=30, where=where)
    assert ([h["id"] for h in hits(answer)], contained(answer)) == (
        ["photos/03.png", "photos/20.png"],
        {"photos/03.png"},
    )
    assert upload(site, sheet(), where="path LIKE '/%'").status_code == 400


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("minus", {"minus": "id:photos/01.png"}),
        ("region", {"region": "0,0,0.5,0.5"}),
        ("min_score", {"min_score": 0.5}),
        ("relations", {"relations": True}),
        ("by", {"by": "copy"}),
        ("single query image", {"like": ["id:photos/01.png", "id:photos/02.png"]}),
    ],
)
def test_what_does_not_combine_is_refused_by_name(site: Served, name: str, parameters: dict) -> None:
    answer = site.http.get("/v1/search", params={"like": "id:photos/00.png", "parts": True, **parameters})
    assert answer.status_code == 400
    assert name in answer.json()["message"]
    assert "`parts`" in answer.json()["message"]


def test_the_collection_says_whether_it_keeps_local_features(site: Served, server: Served) -> None:
    assert site.http.get("/v1/collection").json()["local_features"] is True
    content = server.http.get("/v1/collection").json()
    assert (content["local_features"], content["vector_parts"]) == (False, [])


def test_without_local_features_the_answer_says_how_to_get_them_and_no_path(server: Served, red: bytes) -> None:
    answer = server.http.get("/v1/search", params={"like": "id:photos/red0.png", "parts": True})
    assert answer.status_code == 400
    assert "lookalike index --parts" in answer.json()["message"]
    assert server.photos.uri not in answer.text
    with lookalike.connect(server.url) as remote, pytest.raises(BadQuery, match="index --parts"):
        remote.search_by_parts(red)


def test_the_client_returns_containments(site: Served) -> None:
    with lookalike.connect(site.url) as remote:
        answer = remote.search_by_parts(png(sheet()), 5, where={"id": "photos/08.png"})
        assert [one.hit.id for one in answer] == ["photos/08.png"]
        assert answer[0].containment is not None
        assert answer[0].containment["kind"] in ("holds", "overlaps")
        by_id = remote.search_by_parts("id:photos/02.png", 2)
        assert [one.containment for one in by_id] == [None, None]


def test_added_images_are_found_by_their_parts(own_site: Served) -> None:
    page = paste_into(cv2.resize(scene(200), (800, 600)), scene(50), np.random.default_rng(1), share=0.2)
    assert contained(upload(own_site, page)) == set()
    files = [("image", (f"{n}.png", png(scene(n)))) for n in (50, 51, 52)]
    answer = own_site.http.post("/v1/images", files=files, data={"id": ["new/50", "new/51", "new/52"]})
    assert answer.status_code == 201
    table = own_site.photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key)
    assert {"new/50", "new/51", "new/52"} <= {str(row["id"]) for row in table.all() if row["postings"]}
    assert update_local_features(own_site.photos).added == 0
    wait_for(lambda: contained(upload(own_site, page)) == {"new/50"})
    own_site.http.delete("/v1/images/new%2F50")
    assert contained(upload(own_site, page)) == set()


def test_an_upload_succeeds_although_its_local_features_cannot_be_stored(
    own_site: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(photos: Collection, ids: list[str]) -> None:
        raise StoreFailed("the disk is full", subject=photos.uri, location=photos.uri)

    monkeypatch.setattr("lookalike.server.service.local_features.add_local_features", fail)
    answer = own_site.http.post("/v1/images", files={"image": ("x.png", png(scene(50)))})
    assert (answer.status_code, answer.json()["added"]) == (201, 1)
    assert "local features not stored" in caplog.text
    assert own_site.photos.uri not in caplog.text
    assert update_local_features(own_site.photos).added == 1


def test_an_image_added_to_a_collection_without_local_features_gets_none(own: Served) -> None:
    assert own.http.post("/v1/images", files={"image": ("x.png", png(scene(1)))}).status_code == 201
    assert own.photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key).all() == []


def test_no_request_waits_for_an_index_that_is_read_again(own_site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert contained(upload(own_site, sheet()))
    reading, go_on = threading.Event(), threading.Event()
    read = LocalIndex.read.__func__  # type: ignore[attr-defined]

    def slow(kind: type[LocalIndex], photos: Collection) -> LocalIndex:
        reading.set()
        assert go_on.wait(30)
        return read(kind, photos)

    monkeypatch.setattr(local_search.LocalIndex, "read", classmethod(slow))
    try:
        own_site.photos.add(png(scene(60)), "60")
        update_local_features(own_site.photos)
        assert contained(upload(own_site, sheet()))  # by the older index
        assert reading.wait(30)
        assert contained(upload(own_site, sheet()))
    finally:
        go_on.set()
    wait_for(lambda: contained(upload(own_site, scene(60))) == {"60"})


def test_a_stream_of_changes_is_not_read_each_time(own_site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    features = own_site.app.state.lookalike.local_features
    first = features.index(own_site.photos)
    monkeypatch.setattr(features, "_next_read", time.monotonic() + 3600)
    own_site.photos.add(png(scene(60)), "60")
    update_local_features(own_site.photos)
    assert [features.index(own_site.photos) is first for _ in range(3)] == [True] * 3
    assert features._refresher is None
    monkeypatch.setattr(features, "_next_read", 0.0)
    wait_for(lambda: "60" in features.index(own_site.photos).ids)


def test_a_job_that_indexes_updates_local_features(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos")
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.sync(folder)
        update_local_features(photos)
    (folder / "70.png").write_bytes(png(scene(70)))
    with served(None, str(tmp_path / "c")) as site:
        assert site.http.post("/v1/jobs", json={"kind": "index"}).status_code == 202
        wait_for(lambda: site.http.get("/v1/jobs").json()["jobs"][0]["state"] == "done")
        assert contained(upload(site, scene(70), k=3)) == {"photos/70.png"}
