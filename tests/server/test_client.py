"""The client against the collection itself: the same verbs, the same answers."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike.errors import BadFilter, BadQuery, CollectionError, ImageTooLarge, UnknownId, UnreadableImage
from lookalike.search import Collection
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.server.conftest import Served, served


def pairs(results) -> list[tuple[str, object]]:
    # The server fits a picture to the model before it embeds it: the mean colour moves in the fifth digit.
    return [(hit.id, pytest.approx(hit.score, abs=1e-3)) for hit in results]


def test_it_finds_what_the_collection_finds(server: Served, red: bytes, tmp_path: Path) -> None:
    (tmp_path / "q.png").write_bytes(red)
    with lookalike.connect(server.url) as remote:
        photos = server.photos
        assert pairs(remote.search(red, 3)) == pairs(photos.search(red, 3))
        assert pairs(remote.search(tmp_path / "q.png", 3)) == pairs(photos.search(red, 3))
        assert pairs(remote.search(picture(COLOURS["blue"]), 2)) == pairs(photos.search(picture(COLOURS["blue"]), 2))
        two = ["id:photos/red0.png", red]
        assert pairs(remote.search(two, 2, minus=["id:photos/blue0.png"])) == pairs(
            photos.search(two, 2, minus=["id:photos/blue0.png"])
        )
        assert pairs(remote.search(two, 2, region=(0, 0, 0.5, 0.5))) == pairs(
            photos.search(two, 2, region=(0, 0, 0.5, 0.5))
        )
        assert pairs(remote.search_by_id("photos/red0.png", 4, where="width > 3")) == pairs(
            photos.search_by_id("photos/red0.png", 4, where="width > 3")
        )
        assert (len(remote), "photos/red0.png" in remote, "nobody" in remote) == (15, True, False)
        assert remote.thumbnails(["photos/red0.png", "nobody"])[1] is None
        assert "data:image/jpeg" in remote.search_by_id("photos/red0.png", 1)._repr_html_()
        assert remote.failures() == photos.failures()


def test_it_adds_and_removes(own: Served) -> None:
    with lookalike.connect(own.url) as remote:
        report = remote.add(
            [encode(picture(COLOURS["red"], seed=9)), b"no"], ids=["a/1", "a/2"], metadata=[{"x": 1}, {}]
        )
        assert (report.added, len(report.failed)) == (1, 1)
        assert remote.get(["a/1"])[0].metadata["x"] == 1  # type: ignore[union-attr]
        assert remote.remove(["a/1", "a/2"]) == 1
        assert remote.add([b"no"]).failed[0].reason


def test_a_file_that_cannot_be_read_costs_only_itself(own: Served, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(encode(picture(COLOURS["red"], seed=9)))
    (tmp_path / "odd.png").write_bytes(b"no picture")
    images = [tmp_path / "good.png", "/nope.png", tmp_path / "odd.png"]
    with lookalike.connect(own.url) as remote:
        for collection in (remote, own.photos):
            report = collection.add(
                images, ids=["n/1", "n/2", "n/3"], metadata=[{"x": np.int64(1)}, {"x": 2}, {"x": 3}]
            )
            assert report.added + report.changed == 1
            assert [one.path for one in report.failed] == ["/nope.png", str(tmp_path / "odd.png")]
        assert remote.get(["n/1"], ["x"])[0].metadata == {"x": 1}  # type: ignore[union-attr]
        assert [one.path for one in remote.add(["/nope.png", tmp_path / "odd.png"]).failed] == [
            "/nope.png",
            str(tmp_path / "odd.png"),
        ]
        both = remote.add([b"no", tmp_path / "odd.png"]).failed
        assert [one.path for one in both][1] == str(tmp_path / "odd.png")
        assert all(";" not in one.reason for one in both)


def test_it_gets_what_the_collection_gets(server: Served) -> None:
    names = ["photos/red0.png", "nobody", "photos/blue1.png"]
    hidden = {"path", "root", "latitude", "longitude"}
    with lookalike.connect(server.url) as remote:
        for columns in (None, ["width", "sha256"], ["thumbnail"], []):
            rows = zip(remote.get(names, columns), server.photos.get(names, columns), strict=True)
            for ours, theirs in rows:
                if theirs is None:
                    assert ours is None
                    continue
                assert ours is not None
                assert (ours.id, ours.vector.tolist()) == (theirs.id, theirs.vector.tolist())
                assert ours.metadata == {k: v for k, v in theirs.metadata.items() if k not in hidden}
        with pytest.raises(BadQuery, match=r"'widht'.*width"):
            remote.get(names, ["widht"])


def test_one_item_is_a_list_of_one(own: Served) -> None:
    with lookalike.connect(own.url) as remote:
        for name in ("c", "a", "b", "cab"):
            assert remote.add(encode(picture(COLOURS["red"], seed=9)), name, {"x": 1}).added == 1
        assert remote.ids({"x": 1}) == own.photos.ids({"x": 1}) == ["a", "b", "c", "cab"]
        assert remote.get("cab", "x") == remote.get(["cab"], ["x"]) == own.photos.get("cab", "x")
        assert remote.thumbnails("cab") == own.photos.thumbnails("cab")
        assert remote.search_many("id:cab", 3) == [remote.search("id:cab", 3)]
        assert pairs(remote.search("id:cab", 3, minus="id:photos/blue0.png")) == pairs(
            own.photos.search("id:cab", 3, minus="id:photos/blue0.png")
        )
        assert remote.remove("cab") == 1
        assert remote.ids({"x": 1}) == ["a", "b", "c"]


def test_conditions_are_those_of_the_collection(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.client.remote.MAX_PAGE", 4)
    with lookalike.connect(server.url) as remote:
        names = ["photos/red0.png", "photos/red1.png", "nobody"]
        assert remote.ids() == server.photos.ids()
        assert len(remote.ids()) == 15
        for where, parameters in (({"id": names}, None), ("id in ?", [names])):
            assert remote.ids(where, parameters) == names[:2]
            for query in ("id:photos/red0.png", picture(COLOURS["red"])):
                expected = server.photos.search(query, where=where, parameters=parameters)
                assert pairs(remote.search(query, where=where, parameters=parameters)) == pairs(expected)
                assert pairs(remote.search_many([query], where=where, parameters=parameters)[0]) == pairs(expected)
            (hit,) = remote.search_by_id("photos/red0.png", where=where, parameters=parameters)
            assert hit.id == "photos/red1.png"


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.search("id:photos/red0.png", 2.5),
        lambda c: c.search_many(["id:photos/red0.png"], "3"),
        lambda c: c.search_by_id("photos/red0.png", True),
        lambda c: c.search_by_id(5),
        lambda c: c.search("id:photos/red0.png", min_score="x"),
        lambda c: c.get(b"photos/red0.png"),
        lambda c: c.get([1]),
        lambda c: c.thumbnails(None),
        lambda c: c.remove([Path("photos/red0.png")]),
        lambda c: c.add([b"x"], ids=[7]),
        lambda c: c.add([b"x"], ids=["a", "b"]),
        lambda c: c.add([b"x"], metadata=["x"]),
    ],
)
def test_arguments_are_checked_as_in_the_collection(server: Served, call: Callable[[object], object]) -> None:
    with lookalike.connect(server.url) as remote:
        reasons = set()
        for collection in (remote, server.photos):
            with pytest.raises(BadQuery) as raised:
                call(collection)
            reasons.add(str(raised.value))
        assert len(reasons) == 1


def test_a_connected_collection_is_true_without_a_request(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with lookalike.connect(server.url) as remote:
        monkeypatch.setattr("lookalike.client.transport.Transport.request_bytes", None)
        assert bool(remote)
        assert 5 not in remote


def test_many_files_are_sent_in_turn(server: Served, own: Served, red: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    nine = [encode(picture(COLOURS["orange"], seed=n, size=(96, 72))) for n in range(9)]
    query, less = [*nine[:4], "id:photos/red1.png", *nine[4:]], [red, "id:photos/blue0.png"]
    with lookalike.connect(server.url) as remote:
        for region in (None, (0.0, 0.0, 0.5, 0.5)):
            results = remote.search(query, 4, minus=less, region=region)
            assert pairs(results) == pairs(server.photos.search(query, 4, minus=less, region=region))
        monkeypatch.setattr("lookalike.client.remote.MAX_REQUEST_BYTES", 100)
        assert pairs(remote.search(nine[:2], 4)) == pairs(server.photos.search(nine[:2], 4))
    with lookalike.connect(own.url) as remote:
        assert remote.add(nine).added == 9


def test_a_picture_too_large_for_the_server_costs_only_itself(tmp_path: Path) -> None:
    small, large = encode(picture(COLOURS["red"])), b"x" * 200_000
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        served(photos, str(tmp_path / "c"), max_bytes=50_000) as running,
        lookalike.connect(running.url) as remote,
    ):
        for data in (large, large[:60_000]):
            report = remote.add([small, data, small], ids=["a", "b", "c"])
            assert (report.added + report.changed, [one.path for one in report.failed]) == (2, ["bytes"])
            assert "bytes" in report.failed[0].reason
        with pytest.raises(ImageTooLarge):
            remote.search(b"x" * 5_000_000)
        assert len(remote) == 2  # over a connection that is not in the middle of something


def test_its_errors_are_the_library_s_own(server: Served) -> None:
    with lookalike.connect(server.url) as remote:
        with pytest.raises(UnknownId):
            remote.search_by_id("nobody")
        with pytest.raises(BadFilter):
            remote.search_by_id("photos/red0.png", where="nothing = 1")
        with pytest.raises(UnreadableImage):
            remote.search(b"no picture")
    with pytest.raises(CollectionError, match="is it running"):
        lookalike.connect("http://127.0.0.1:1")
    with pytest.raises(lookalike.LookalikeError, match="not the URL"):
        lookalike.connect("file:///x")


def test_it_needs_no_server_s_packages() -> None:
    heavy = "('fastapi', 'starlette', 'uvicorn', 'lance', 'cv2')"
    code = f"import sys, lookalike.client; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "url", ["http://h:abc", "http://h:99999", "http://[", "http://127.0.0.1/\ud800", "http://h\0/x", "ftp://h", ""]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadQuery, match="not the URL of a server"):
        lookalike.connect(url)


def test_a_token_that_no_header_can_contain_is_refused(server: Served) -> None:
    for token in ("a\nb", "\ud800", "é"):
        with pytest.raises(BadQuery, match="token"):
            lookalike.connect(server.url, token=token)


def test_text_that_is_not_unicode_is_refused_or_unknown(server: Served, red: bytes) -> None:
    with lookalike.connect(server.url) as photos:
        assert photos.get(["\ud800"]) == [None]
        assert "\ud800" not in photos
        with pytest.raises(UnknownId):
            photos.search_by_id("\ud800")
        with pytest.raises(BadQuery, match="Unicode"):
            photos.add([red], ids=["\ud800"])
        with pytest.raises(BadQuery, match="Unicode"):
            photos.add([red], metadata=[{"note": "\ud800"}])
