"""The client against the collection itself: the same verbs, the same answers."""

import subprocess
import sys
from pathlib import Path

import pytest

import lookalike
from lookalike.errors import BadFilter, CollectionError, UnknownId, UnreadableImage
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served


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
        assert remote.get(["a/1"])[0]["x"] == 1  # type: ignore[index]
        assert remote.remove(["a/1", "a/2"]) == 1
        assert remote.add([b"no"]).failed[0].reason


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
