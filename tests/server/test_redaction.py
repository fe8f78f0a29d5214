"""Where things lie on the server's disk does not leave it: not by conditions, not by messages."""

from pathlib import Path

import pytest

from lookalike.search import Collection
from lookalike.server import Settings
from lookalike.server.http.redaction import redact_location
from tests.conftest import COLOURS, ColourEmbedder, picture
from tests.server.conftest import Served, fill, served, wait_for

ASKING = ["path like '/%'", "root = '{root}'", '"path" is not null', "width > 1 and lower(root) like '%a%'"]


@pytest.mark.parametrize("where", ASKING)
def test_a_condition_does_not_know_of_places(server: Served, where: str) -> None:
    query = where.format(root=server.photos.roots()[0].path)
    like = {"like": "id:photos/red0.png"}
    for path, parameters in (
        ("/v1/images", {}),
        ("/v1/search", like),
        ("/v1/images/photos%2Fred0.png/similar", {}),
    ):
        answer = server.http.get(path, params={"where": query, **parameters})
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_filter"), path
        assert "there is no column" in answer.json()["message"]
    message = server.http.get("/v1/images", params={"where": "rooot = 'x'"}).json()["message"].split("nearest")[1]
    assert "root" not in message
    assert "path" not in message


def test_places_can_be_asked_for_where_they_are_shown(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", per_colour=1)
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder)
        for options in ({"show_paths": True}, {"show_paths": True, "resident_bytes": 1}):
            with served(photos, str(tmp_path / "c"), **options) as running:
                query = {"like": "id:photos/red0.png", "where": f"root = '{folder}'"}
                assert len(running.http.get("/v1/search", params=query).json()["hits"]) == 4
        with served(photos, str(tmp_path / "c"), resident_bytes=1) as running:
            assert running.http.get("/v1/search", params=query).status_code == 400


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("there is no column 'nope'", "there is no column 'nope'"),
        ("No such file: '/a/col/images.lance'.", "No such file: the collection."),
        ("the disk is full (No space: /a/col/images.lance/data/1.lance); nothing was changed",
         "the disk is full (No space: the collection); nothing was changed"),
        ("Not found: a/col/i.lance/_versions, file:///a/col/x", "Not found: the collection, file://the collection"),
        ("/a/column, /b/a/col, /a/col.txt", "/a/column, /b/a/col, /a/col.txt"),
    ],
)  # fmt: skip
def test_only_the_whole_location_is_redacted(message: str, expected: str) -> None:
    assert redact_location(message, "/a/col") == expected
    assert redact_location("the card in s3://b/c failed", "s3://b/c") == "the card in the collection failed"


def test_a_relative_collection_s_messages_are_not_garbled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(uri="col").uri == str(tmp_path / "col")
    with Collection.open("col", create=True) as photos:
        photos.add([picture(COLOURS["red"])], ids=["x"])
    with served(None, "col") as running:
        answer = running.http.get("/v1/images", params={"where": "nope = 1"})
        assert "there is no column 'nope'" in answer.json()["message"]
        with Collection.open("col") as photos:
            photos.remove(["x"])
        wait_for(lambda: running.http.get("/v1/images").json()["total"] == 0)
        job = running.http.post("/v1/jobs", json={"kind": "clusters"}).json()["job"]
        wait_for(lambda: running.http.get(f"/v1/jobs/{job}").json()["state"] != "running", 60)
        message = running.http.get(f"/v1/jobs/{job}").json()["message"]
        assert message == "the collection is empty; add images first"
