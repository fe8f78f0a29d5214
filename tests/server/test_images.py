"""Looking at images, adding, labelling and removing them."""

from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from lookalike.server.service.originals import _is_inside
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served, wait_for


def test_the_collection_is_leafed_through(server: Served) -> None:
    first = server.http.get("/v1/images", params={"k": 4}).json()
    assert [i["id"] for i in first["images"]] == [f"photos/{n}.png" for n in ("blue0", "blue1", "blue2", "green0")]
    assert first["total"] == 15
    assert (
        server.http.get("/v1/images", params={"k": 4, "offset": 14}).json()["images"][0]["id"] == "photos/violet2.png"
    )
    results = server.http.get("/v1/images", params={"contains": "RED"}).json()
    assert [i["id"] for i in results["images"]] == [f"photos/red{n}.png" for n in range(3)]
    lots = [server.http.get("/v1/images", params={"order": "random", "seed": n}).json()["images"] for n in (1, 1, 2)]
    assert lots[0] == lots[1] != lots[2]


def test_thumbnails_are_got_once(server: Served) -> None:
    first = server.http.get("/v1/images/photos%2Fred0.png/thumbnail")
    assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
    assert first.headers["cache-control"] == "private, max-age=86400"
    again = server.http.get("/v1/images/photos%2Fred0.png/thumbnail", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    large = server.http.get("/v1/images/photos%2Fred0.png/thumbnail?side=512")
    assert large.status_code == 200
    assert large.headers["etag"] != first.headers["etag"]


def test_an_id_with_slashes_is_named_both_ways(server: Served) -> None:
    assert server.http.get("/v1/images/photos/red0.png").json()["id"] == "photos/red0.png"
    assert server.http.get("/v1/images/photos%2Fred0.png/similar?k=2").status_code == 200


def test_originals_by_id_only(own: Served, tmp_path: Path) -> None:
    path = tmp_path / "photos" / "red0.png"
    shown = own.http.get("/v1/images/photos%2Fred0.png/original")
    assert shown.content == path.read_bytes()
    assert (shown.headers["content-type"], shown.headers["content-disposition"]) == ("image/png", "inline")
    before = path.read_bytes()
    path.write_bytes(b"<html><script>alert(1)</script></html>")
    swapped = own.http.get("/v1/images/photos%2Fred0.png/original")
    assert swapped.status_code == 404
    assert "has changed since it was indexed" in swapped.json()["message"]
    assert own.http.get("/v1/images/photos%2Fred0.png/thumbnail?side=512").status_code == 200
    path.unlink()
    (tmp_path / "secret").write_bytes(before)
    path.symlink_to(tmp_path / "secret")
    linked = own.http.get("/v1/images/photos%2Fred0.png/original")
    assert linked.status_code == 404
    assert "is a link to outside its folder" in linked.json()["message"]
    path.unlink()
    gone = own.http.get("/v1/images/photos%2Fred0.png/original")
    assert gone.status_code == 404
    assert str(tmp_path) not in gone.text


def test_originals_that_a_page_may_not_show_are_a_download(own: Served, tmp_path: Path) -> None:
    path = tmp_path / "photos" / "red0.png"
    image = Image.open(path)
    image.save(path.with_suffix(".tif"))
    own.photos.sync(tmp_path / "photos")
    wait_for(lambda: own.http.get("/v1/images/photos%2Fred0.tif").status_code == 200)
    response = own.http.get("/v1/images/photos%2Fred0.tif/original")
    assert response.headers["content-disposition"] == "attachment"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


def test_added_found_labelled_removed(own: Served) -> None:
    new = encode(picture(COLOURS["green"], seed=7))
    files = [("image", ("a.png", new)), ("image", ("b.png", b"not a picture"))]
    done = own.http.post(
        "/v1/images", files=files, data={"id": ["shop/1", "shop/2"], "metadata": ['{"price": 3}', "{}"]}
    )
    assert done.status_code == 201, done.text
    assert (done.json()["added"], done.json()["ids"]) == (1, ["shop/1"])
    assert done.json()["failed"][0]["name"] == "b.png"
    results = own.http.get("/v1/search", params={"like": "id:shop/1", "k": 1}).json()["hits"]
    assert results[0]["id"] == "photos/green0.png"
    observed = own.http.get("/v1/search", params={"like": "id:photos/green0.png", "k": 1, "where": "price = 3"}).json()
    assert [hit["id"] for hit in observed["hits"]] == ["shop/1"]
    assert own.http.post("/v1/images", files={"image": ("a.png", new)}, data={"id": "shop/1"}).json()["changed"] == 1
    assert own.http.patch("/v1/images/shop%2F1", json={"label": "grass"}).json()["metadata"]["label"] == "grass"
    assert own.http.get("/v1/labels").json()["labels"] == [{"label": "grass", "images": 1}]
    assert own.http.delete("/v1/images/shop%2F1").json() == {"removed": 1}
    assert own.http.delete("/v1/images/shop%2F1").status_code == 404
    after = own.http.get("/v1/search", params={"like": "id:photos/green0.png", "k": 20}).json()["hits"]
    assert "shop/1" not in [hit["id"] for hit in after]
    assert "shop/1" not in own.photos


def test_an_odd_id_survives_the_way(own: Served) -> None:
    name = "a b/ü?#%2F&x=1/thumbnail"
    own.http.post("/v1/images", files={"image": ("a.png", encode(picture(COLOURS["blue"])))}, data={"id": name})
    assert own.http.get(f"/v1/images/{quote(name, safe='')}").json()["id"] == name
    assert own.http.get(f"/v1/images/{quote(name, safe='')}/thumbnail").headers["content-type"] == "image/jpeg"


def test_what_others_write_is_found_within_seconds(own: Served) -> None:
    from lookalike.search import Collection
    from tests.conftest import ColourEmbedder

    with Collection.open(own.photos.uri, model=ColourEmbedder()) as other:
        other.add([picture(COLOURS["red"], seed=5)], ids=["late"])
    wait_for(lambda: own.http.get("/v1/images/late").status_code == 200)
    results = own.http.get("/v1/search", params={"like": "id:photos/red0.png", "k": 1}).json()["hits"]
    assert results[0]["id"] == "late"


def test_read_only_forbids_every_write(tmp_path: Path) -> None:
    from lookalike.search import Collection
    from tests.conftest import ColourEmbedder
    from tests.server.conftest import served

    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        served(photos, str(tmp_path / "c"), read_only=True) as running,
    ):
        photos.add([picture(COLOURS["red"])], ids=["x"])
        image = {"image": ("a.png", encode(picture(COLOURS["red"])))}
        answers = [
            running.http.post("/v1/images", files=image),
            running.http.delete("/v1/images/x"),
            running.http.patch("/v1/images/x", json={"label": "y"}),
            running.http.post("/v1/jobs", json={"kind": "index"}),
            running.http.post("/v1/decisions", json={"first": "x", "second": "x", "verdict": "copy"}),
        ]
        assert [answer.status_code for answer in answers] == [403] * 5


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_refused(own: Served, number: str) -> None:
    image = {"image": ("a.png", encode(picture(COLOURS["red"])))}
    answer = own.http.post("/v1/images", files=image, data={"id": "x", "metadata": f'{{"w": {number}}}'})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_query")
    assert "'w'" in answer.json()["message"]
    body = f'{{"label": {number}}}'
    change = own.http.patch("/v1/images/photos%2Fred0.png", content=body, headers={"content-type": "application/json"})
    assert change.status_code in (400, 422)
    assert own.http.get("/v1/images/photos%2Fred0.png").json()["metadata"]["label"] is None
    assert own.http.get("/v1/images").json()["total"] == 5


def test_a_number_that_is_not_finite_in_the_collection_is_told_as_null(own: Served) -> None:
    own.photos.add([picture(COLOURS["red"], seed=3)] * 2, ids=["x", "y"], metadata=[{"w": float("inf")}, {"w": 2.5}])
    wait_for(lambda: own.http.get("/v1/images").json()["total"] == 7)
    assert own.http.get("/v1/images/x").json()["metadata"]["w"] is None
    hits = own.http.get("/v1/search", params={"like": "id:photos/red0.png", "k": 2}).json()["hits"]
    assert {hit["id"]: hit["metadata"]["w"] for hit in hits} == {"x": None, "y": 2.5}


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ('{"path": "/etc", "root": "x"}', "path, root"),
        ('{"thumbnail": "x"}', "thumbnail"),
        ('{"Width": 3}', "Width"),
        ('{"id": "x"}', "id"),
        ('{"a b": 3}', "'a b'"),
        ('{"label": "a\\u0000b"}', "label"),
        ('{"n": 99999999999999999999}', "'n'"),
        ('{"t": "\\ud800"}', "'t'"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused_by_name(own: Served, metadata: str, named: str) -> None:
    image = {"image": ("a.png", encode(picture(COLOURS["red"])))}
    answer = own.http.post("/v1/images", files=image, data={"id": "x", "metadata": metadata})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_query")
    assert named in answer.json()["message"]
    assert not [name for name in own.photos.store.columns() if name.endswith("_")]


def test_a_label_is_text_everywhere(own: Served) -> None:
    image = {"image": ("a.png", encode(picture(COLOURS["red"], seed=5)))}
    assert own.http.post("/v1/images", files=image, data={"id": "x", "metadata": '{"label": 5}'}).status_code == 201
    hits = own.http.get("/v1/search", params={"like": "id:photos/red0.png", "k": 1}).json()["hits"]
    assert hits[0]["metadata"]["label"] == "5"
    assert own.http.get("/v1/labels").json()["labels"] == [{"label": "5", "images": 1}]
    for answer in (
        own.http.patch("/v1/images/x", json={"label": "a\0b"}),
        own.http.post("/v1/labels", json={"label": "a\0b", "ids": ["x"]}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")


@pytest.mark.parametrize("name", [".", ".."])
def test_an_id_that_no_url_can_name_is_refused(own: Served, name: str) -> None:
    image = {"image": ("a.png", encode(picture(COLOURS["red"])))}
    answer = own.http.post("/v1/images", files=image, data={"id": name})
    assert (answer.status_code, repr(name) in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/photos%2Fred0.png", "/v1/images/photos%2Fred0.png/original", "/v1/images?k=3", "/v1/collection",
        "/v1/images/photos%2Fred0.png/thumbnail", "/v1/images/nobody", "/", "/static/app.js", "/favicon.ico",
    ],
)  # fmt: skip
def test_head_is_get_without_its_body(server: Served, path: str) -> None:
    head, get = server.http.head(path), server.http.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("content-type", "content-length", "etag", "cache-control", "x-content-type-options"):
        assert head.headers.get(name) == get.headers.get(name)
    assert get.content


def test_head_does_not_write(own: Served) -> None:
    assert own.http.head("/v1/jobs/00000000/events").status_code == 405
    assert own.http.head("/v1/compare").status_code == 405
    assert own.http.head("/v1/collection").status_code == 200
    assert 'method="HEAD",route="/v1/collection",status="200"' in own.http.get("/metrics").text


def test_a_folder_whose_name_ends_like_an_archives(tmp_path: Path) -> None:
    folder = tmp_path / "Wow!"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    (folder / "link.jpg").symlink_to("/etc/passwd")
    assert _is_inside(f"{folder}/a.jpg", str(folder))
    assert _is_inside(f"{folder}/a.jpg", str(tmp_path))
    assert not _is_inside(f"{folder}/link.jpg", str(tmp_path))


def test_the_collection_is_sorted_and_counted(server: Served) -> None:
    def ids(**parameters: object) -> list[str]:
        answer = server.http.get("/v1/images", params={"k": 15, **parameters})
        assert answer.status_code == 200, answer.text
        return [image["id"].removeprefix("photos/") for image in answer.json()["images"]]

    rows = server.photos.get(server.photos.ids())
    sizes = {row.id.removeprefix("photos/"): int(str(row.metadata["size"])) for row in rows if row}
    assert ids(sort="size") == sorted(sorted(sizes), key=lambda name: sizes[name])
    assert [sizes[name] for name in ids(sort="-size", k=5)] == sorted(sizes.values(), reverse=True)[:5]
    assert ids(sort="taken") == ids()
    assert ids(sort="-size", where="id like '%red%'", contains="1") == ["red1.png"]
    for column in ("path", "latitude", "thumbnail", "nothing", "--size", "size; drop"):
        assert server.http.get("/v1/images", params={"sort": column}).status_code == 400


def test_values_and_folders_are_counted(server: Served) -> None:
    answer = server.http.get("/v1/facets", params={"column": ["format", "width", "month"], "where": "id like '%red%'"})
    assert answer.json()["facets"] == {
        "format": {"values": [{"value": "PNG", "images": 3}], "more": 0, "images": 3},
        "width": {"values": [{"value": 96, "images": 3}], "more": 0, "images": 3},
        "month": {"values": [], "more": 0, "images": 0},
    }
    sizes = server.http.get("/v1/facets", params={"column": "size", "limit": 1}).json()["facets"]["size"]
    assert (len(sizes["values"]), sizes["images"]) == (1, 15)
    for bad in ({"column": "path"}, {"column": "longitude"}, {"column": "x"}, {"column": "size", "where": "x <"}):
        assert server.http.get("/v1/facets", params=bad).status_code == 400
    assert server.http.get("/v1/facets").status_code == 422
    whole = {"folders": [{"name": "photos", "below": "photos", "images": 15}], "images": 0}
    assert server.http.get("/v1/folders").json() == whole
    inside = server.http.get("/v1/folders", params={"below": "photos", "contains": "red"}).json()
    assert inside == {"folders": [], "images": 3}
