"""What is found through HTTP is what the collection finds."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.image import decode
from lookalike.relate import calibration_of
from lookalike.relate.compare import compare
from lookalike.relate.facts import verdict_facts
from tests.conftest import COLOURS, encode, picture
from tests.relate.conftest import scene
from tests.server.conftest import Served


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_by_id_is_what_the_collection_finds_and_leaves_itself_out(server: Served) -> None:
    results = server.http.get("/v1/search", params={"like": "id:photos/red0.png", "k": 5})
    expected = server.photos.search_by_id("photos/red0.png", 5)
    assert [(h["id"], h["score"]) for h in results.json()["hits"]] == [(h.id, h.score) for h in expected]
    assert "photos/red0.png" not in ids(results)


def test_an_upload_in_a_form_and_as_a_body_find_the_same(server: Served, red: bytes) -> None:
    form = server.http.post("/v1/search?k=3", files={"image": ("x.png", red)})
    body = server.http.post("/v1/search?k=3", content=red, headers={"content-type": "image/png"})
    assert ids(form) == ids(body)
    assert all(i.startswith("photos/red") for i in ids(form))
    assert ids(form) == [hit.id for hit in server.photos.search(red, 3)]


def test_a_kept_query_is_asked_again_and_shown(server: Served, red: bytes) -> None:
    saved = server.http.post("/v1/queries", files={"image": ("x.png", red)})
    assert (saved.status_code, saved.json()["width"], saved.json()["format"]) == (201, 96, "PNG")
    token = saved.json()["query"]
    again = server.http.get("/v1/search", params={"like": token, "k": 3})
    assert all(i.startswith("photos/red") for i in ids(again))
    shown = server.http.get(f"/v1/queries/{token}/thumbnail")
    assert shown.headers["content-type"] == "image/jpeg"
    assert server.http.get("/v1/search", params={"like": "query:" + "0" * 32}).status_code == 404


def test_several_less_region_where_and_cut_off(server: Served, red: bytes) -> None:
    both = {"like": ["id:photos/red0.png", "id:photos/blue0.png"], "k": 1}
    expected = server.photos.search(["id:photos/red0.png", "id:photos/blue0.png"], 1)
    assert ids(server.http.get("/v1/search", params=both)) == [expected[0].id]
    less = {"like": ["id:photos/violet0.png"], "minus": ["id:photos/red0.png"], "k": 2}
    assert all("blue" in i for i in ids(server.http.get("/v1/search", params=less)))
    halves = np.concatenate([picture(COLOURS["red"]), picture(COLOURS["green"])], axis=1)
    part = {"image": ("x.png", encode(halves))}
    right = server.http.post("/v1/search?k=1", files=part, data={"region": "0.5,0,0.5,1"})
    assert ids(right)[0].startswith("photos/green")
    named = server.http.get("/v1/search", params={"like": "id:photos/red0.png", "region": "0.2,0.2,0.5,0.5", "k": 2})
    assert all(i.startswith("photos/red") for i in ids(named))
    only = {"like": "id:photos/red0.png", "where": "id LIKE '%blue%'", "k": 9}
    assert sorted(ids(server.http.get("/v1/search", params=only))) == [f"photos/blue{n}.png" for n in range(3)]
    cut = server.http.get("/v1/search", params={"like": "id:photos/red0.png", "min_score": 0.99, "k": 15})
    assert all(i.startswith("photos/red") for i in ids(cut))


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ({"like": "id:nobody"}, 404, "unknown_id"),
        ({}, 400, "bad_query"),
        ({"like": "id:photos/red0.png", "k": 0}, 422, "invalid"),
        ({"like": "id:photos/red0.png", "where": "widht > 3"}, 400, "bad_filter"),
        ({"like": "id:photos/red0.png", "where": "1=1; drop table images"}, 400, "bad_filter"),
        ({"like": "id:photos/red0.png", "region": "0,0,2,2"}, 400, "bad_query"),
        ({"like": "id:photos/red0.png", "minus": "id:photos/red0.png"}, 400, "bad_query"),
    ],
)
def test_what_cannot_be_asked_is_said(server: Served, query: dict[str, object], status: int, kind: str) -> None:
    answer = server.http.get("/v1/search", params=query)
    assert (answer.status_code, answer.json()["error"]) == (status, kind)
    assert answer.json()["message"]


def test_relations_and_compare(server: Served) -> None:
    original = server.photos.get(["photos/red0.png"], ["path"])[0]
    data = Path(str(original.metadata["path"])).read_bytes()
    results = server.http.post("/v1/search?k=2&relations=true", files={"image": ("x.png", data)})
    best = results.json()["hits"][0]
    assert (best["id"], best["relation"]["relation"]) == ("photos/red0.png", "identical")
    relations = [hit["relation"]["relation"] for hit in results.json()["hits"]]
    copies = sum(relation in ("copy", "identical") for relation in relations)
    undecided = relations.count("cannot tell")
    summary = {"judged": 2, "copies": copies, "possible": 0, "undecided": undecided, "strongest": "identical"}
    assert results.json()["summary"] == summary
    assert "summary" not in server.http.post("/v1/search?k=2", files={"image": ("x.png", data)}).json()
    both = server.http.post("/v1/compare", files={"image": ("x.png", data)}, data={"like": "photos/red0.png"})
    assert both.json()["relation"] == "identical"
    assert both.json()["words"] == "identical: same bytes"
    assert (both.json()["same_bytes"], both.json()["changes"]) == (True, [])
    assert server.http.post("/v1/compare", files={"image": ("x.png", data)}).status_code == 400


def test_compare_tells_the_facts_of_a_report(server: Served) -> None:
    image, mirrored = (encode(each) for each in (scene(1), np.ascontiguousarray(scene(1)[:, ::-1])))
    files = [("image", ("1.png", image)), ("image", ("2.png", mirrored))]
    answer = server.http.post("/v1/compare", files=files).json()
    comparison = compare(image, mirrored, server.photos.embedder, calibration_of(server.photos))
    facts = verdict_facts(comparison.verdict)
    assert set(answer) == {*facts, "words", "changes"}
    assert (answer["relation"], answer["mirrored"], answer["model"]) == ("copy", True, facts["model"])
    assert answer["changes"] == [{"kind": "mirror", "values": {}}]
    assert answer["words"] == comparison.explanation.words


def test_relations_are_of_the_part_that_was_asked(server: Served) -> None:
    original = server.photos.get(["photos/red0.png"], ["path"])[0]
    red = decode(Path(str(original.metadata["path"])).read_bytes()).image
    both = encode(np.concatenate([red, picture(COLOURS["green"], seed=77, size=(96, 72))], axis=1))
    query = {"image": ("both.png", both)}
    whole = server.http.post("/v1/search?k=3&relations=true", files=query).json()["hits"]
    assert "identical" not in [hit["relation"]["relation"] for hit in whole]
    part = server.http.post("/v1/search?k=3&relations=true", files=query, data={"region": "0,0,0.5,1"}).json()["hits"]
    assert (part[0]["id"], part[0]["relation"]["relation"]) == ("photos/red0.png", "identical")


def test_no_path_leaves_unless_asked(server: Served) -> None:
    for path in (
        "/v1/search?like=id:photos/red0.png",
        "/v1/images",
        "/v1/images/photos%2Fred0.png",
        "/v1/collection",
        "/v1/failures",
    ):
        answer = server.http.get(path)
        assert answer.status_code == 200
        assert "/tmp" not in answer.text
        assert '"path"' not in answer.text


def test_a_batch_gives_what_its_queries_give(server: Served) -> None:
    ids = ["id:photos/red0.png", "id:photos/blue1.png"]
    queries = [{"like": [ids[0]]}, {"like": ids}, {"like": [ids[1]], "minus": [ids[0]]}]
    answer = server.http.post("/v1/search/batch", json={"queries": queries, "k": 4, "where": "width > 1"})
    assert answer.status_code == 200, answer.text
    for query, result in zip(queries, answer.json()["results"], strict=True):
        alone = server.http.get("/v1/search", params={**query, "k": 4, "where": "width > 1"}).json()
        assert result["hits"] == alone["hits"]
        assert result["query"] == alone["query"]


def test_a_vector_is_searched_with(server: Served) -> None:
    (row,) = server.photos.get(["photos/red0.png"])
    assert row is not None
    vector = (row.vector * 7).tolist()
    answer = server.http.post("/v1/search/batch", json={"queries": [{"vector": vector}], "k": 3}).json()
    (expected,) = server.photos.search_by_vector(vector, 3)
    assert [hit["id"] for hit in answer["results"][0]["hits"]] == [hit.id for hit in expected]
    assert answer["results"][0]["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({"vector": [1.0, 2.0]}, 400, "2 numbers; colour makes 3"),
        ({"vector": [0, 0, 0]}, 400, "is zero"),
        ({"vector": [1e300, 1, 1]}, 200, ""),
        ({"vector": [1, 0, 0], "like": ["id:photos/red0.png"]}, 400, "either a vector or names"),
        ({"vector": ["x", 0, 0]}, 422, "queries[0].vector[0]"),
        ({"like": ["id:nobody"]}, 404, "no image has the id"),
        ({}, 400, "needs an image"),
        ({"text": ["red"]}, 400, "reads no words"),
        ({"lik": ["x"]}, 422, "nearest: `like`"),
    ],
)
def test_a_batch_with_a_bad_query_is_refused(server: Served, query: dict, status: int, sentence: str) -> None:
    answer = server.http.post("/v1/search/batch", json={"queries": [query]})
    assert answer.status_code == status, answer.text
    assert sentence in answer.text
