"""Labels by the API: given one by one, by cluster, spread by a job, doubted, and asked for in `where`."""

from pathlib import Path

import pytest

from lookalike.cluster import ParsedLabels, known_labels, save_labels
from lookalike.search import Collection
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served, fill, served, wait_for


def job(own: Served, kind: str) -> dict:
    started = own.http.post("/v1/jobs", json={"kind": kind}).json()
    wait_for(lambda: own.http.get(f"/v1/jobs/{started['job']}").json()["state"] != "running", 60)
    return own.http.get(f"/v1/jobs/{started['job']}").json()


@pytest.fixture
def filed(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A server over a collection that jobs can open: five pictures of each colour, by the default model."""
    folder = fill(tmp_path / "photos", per_colour=5)
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.sync(folder)
    with served(None, str(tmp_path / "c")) as running:
        yield running


def test_a_label_given_is_counted_and_can_be_asked_for(own: Served) -> None:
    ids = ["photos/red0.png", "photos/blue0.png"]
    assert own.http.post("/v1/labels", json={"label": "warm", "ids": ids}).json() == {"labeled": 2, "labelled": 2}
    payload = own.http.get("/v1/labels", params={"spread": True}).json()
    assert [(one["label"], one["images"], sorted(one["examples"])) for one in payload["labels"]] == [
        ("warm", 2, sorted(ids))
    ]
    assert payload["without"] == 3
    assert payload["unsure"] is None
    results = own.http.get("/v1/images", params={"where": "label = 'warm'"}).json()
    assert [one["id"] for one in results["images"]] == sorted(ids)


def test_a_label_taken_away_is_gone_everywhere(own: Served) -> None:
    own.http.post("/v1/labels", json={"label": "warm", "ids": ["photos/red0.png"]})
    assert own.http.patch("/v1/images/photos%2Fred0.png", json={"label": None}).status_code == 200
    assert own.http.get("/v1/labels").json()["labels"] == []
    assert known_labels(own.photos) == {}


def test_labels_of_the_command_line_can_be_asked_for(own: Served) -> None:
    save_labels(own.photos, ParsedLabels(labels={"photos/green0.png": "leaf"}))
    assert [hit.id for hit in own.photos.search("id:photos/red0.png", where="label = 'leaf'")] == ["photos/green0.png"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"label": "x"}, 400),
        ({"label": "x", "ids": ["photos/red0.png"], "cluster": "8/1"}, 400),
        ({"label": "", "ids": ["photos/red0.png"]}, 422),
        ({"label": "x", "ids": ["nobody"]}, 404),
        ({"label": "x", "cluster": "8/1"}, 404),
    ],
)
def test_what_cannot_be_labelled_is_told(own: Served, body: dict, status: int) -> None:
    answer = own.http.post("/v1/labels", json=body)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_the_rest_is_named_and_wrong_labels_are_doubted(filed: Served) -> None:
    assert "no image has a label" in job(filed, "labels")["message"]
    assert filed.http.get("/v1/labels/suspects").json() == {"when": None, "suspects": []}
    for colour in ("red", "green", "blue"):
        ids = [f"photos/{colour}{n}.png" for n in range(4)]
        filed.http.post("/v1/labels", json={"label": colour, "ids": ids})
    filed.http.post("/v1/labels", json={"label": "green", "ids": ["photos/red3.png"]})
    done = job(filed, "labels")
    assert done["state"] == "done"
    assert done["report"]["labeled"] == 12
    wait_for(lambda: filed.http.get("/v1/labels", params={"spread": True}).json()["unsure"] is not None)
    payload = filed.http.get("/v1/labels", params={"spread": True}).json()
    named = {one["label"]: one["named"] for one in payload["labels"]}
    assert sum(named.values()) + payload["unsure"] == 25 - 12
    for label, count in named.items():
        spread = filed.http.get("/v1/labels/spread", params={"label": label}).json()
        assert spread["total"] == count
        assert all(one["id"].startswith(f"photos/{label}") for one in spread["images"])
    doubts = filed.http.get("/v1/labels/suspects").json()["suspects"]
    assert doubts[0]["neighbors"] == doubts[0]["neighbours"] != []
    assert [(one["id"], one["label"], one["instead"]) for one in doubts] == [("photos/red3.png", "green", "red")]
    with served(None, filed.app.state.lookalike.settings.uri) as other:  # what was found is the collection's
        assert other.http.get("/v1/labels/suspects").json()["suspects"] == doubts
    filed.http.post("/v1/labels", json={"label": "red", "ids": ["photos/red3.png"]})
    assert filed.http.get("/v1/labels/suspects").json()["suspects"] == []


def test_the_map_is_made_by_a_job_and_says_who_waits(filed: Served) -> None:
    before = filed.http.get("/v1/map").json()
    assert (before["ids"], before["waiting"]) == ([], 25)
    assert job(filed, "map")["report"] == {"images": 25}
    wait_for(lambda: filed.http.get("/v1/map").json()["waiting"] == 0)
    answer = filed.http.get("/v1/map")
    payload = answer.json()
    assert len(payload["ids"]) == len(payload["x"]) == len(payload["y"]) == 25
    assert max(map(abs, [*payload["x"], *payload["y"]])) <= 1
    assert filed.http.get("/v1/map", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    filed.http.post("/v1/labels", json={"label": "sea", "ids": ["photos/blue0.png"]})
    groups = filed.http.get("/v1/map").json()["groups"]
    assert groups[0]["title"] == "label"
    assert groups[0]["of"][payload["ids"].index("photos/blue0.png")] == 0


def test_a_group_is_named_by_its_typical_pictures(filed: Served) -> None:
    assert job(filed, "clusters")["state"] == "done"
    group = filed.http.get("/v1/clusters").json()["clusters"][0]
    done = filed.http.post("/v1/labels", json={"label": "mine", "cluster": group["key"]}).json()
    assert group["labeled"] == group["labelled"] == 0
    assert done["labeled"] == done["labelled"] == len(group["examples"])
    assert filed.http.get("/v1/labels").json()["labels"][0]["images"] == done["labeled"]
    assert filed.http.get("/v1/clusters").json()["clusters"][0]["name"] == "mine"


def test_a_map_is_asked_for_before_there_is_one_also_where_there_are_groups(filed: Served) -> None:
    assert job(filed, "clusters")["state"] == "done"
    assert filed.http.get("/v1/map").json()["ids"] == []


def test_a_picture_placed_later_is_on_the_map(filed: Served) -> None:
    assert job(filed, "map")["state"] == "done"
    filed.http.post(
        "/v1/images", files={"image": ("x.png", encode(picture(COLOURS["red"], seed=70)))}, data={"id": "x"}
    )
    wait_for(lambda: filed.http.get("/v1/map").json()["waiting"] == 1)
    assert job(filed, "map")["state"] == "done"
    wait_for(lambda: filed.http.get("/v1/map").json()["waiting"] == 0)
    assert "x" in filed.http.get("/v1/map").json()["ids"]


def test_what_a_person_said_is_not_asked_again_and_not_overwritten(filed: Served) -> None:
    for colour in ("red", "green", "blue"):
        ids = [f"photos/{colour}{n}.png" for n in range(4)]
        filed.http.post("/v1/labels", json={"label": colour, "ids": ids})
    filed.http.post("/v1/labels", json={"label": "green", "ids": ["photos/red3.png"]})
    assert job(filed, "labels")["state"] == "done"
    wait_for(lambda: len(filed.http.get("/v1/labels/suspects").json()["suspects"]) == 1)
    filed.http.post("/v1/labels", json={"label": "green", "ids": ["photos/red3.png"]})
    assert filed.http.get("/v1/labels/suspects").json()["suspects"] == []
    assert filed.http.get("/v1/labels/spread").status_code == 200
    assert job(filed, "clusters")["state"] == "done"
    for group in filed.http.get("/v1/clusters").json()["clusters"]:
        filed.http.post("/v1/labels", json={"label": "group", "cluster": group["key"]})
    payload = {one["label"]: one["images"] for one in filed.http.get("/v1/labels").json()["labels"]}
    assert (payload["red"], payload["green"]) == (3, 5)


def test_labels_of_a_collection_too_large_for_memory(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", per_colour=1)
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.sync(folder)
    with served(None, str(tmp_path / "c"), resident_bytes=1) as running:
        assert running.http.post("/v1/labels", json={"label": "warm", "ids": ["photos/red0.png"]}).status_code == 200
        payload = running.http.get("/v1/labels").json()
        assert [(one["label"], one["images"]) for one in payload["labels"]] == [("warm", 1)]
        assert payload["without"] == 4
