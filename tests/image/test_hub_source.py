"""Data sets of a model hub as sources: listed, read by parts, followed; against a hub on the loopback address."""

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.conftest import COLOURS, ColourEmbedder, encode, picture

from lookalike.errors import ImageTooLarge, SourceError, UnreadableImage
from lookalike.image import Limits
from lookalike.image.sources.object_store import object_state, object_uri, open_object, read_object
from lookalike.search import Collection

constants = pytest.importorskip("huggingface_hub.constants", reason="comes with the hub extra")
DATA_SET = "hf://datasets/some/photos"


class Hub(dict[str, bytes]):
    """The files of the data set some/photos, by path."""

    address = ""

    def facts(self, path: str) -> dict[str, Any]:
        return {"type": "file", "path": path, "size": len(self[path]), "oid": hashlib.sha1(self[path]).hexdigest()}

    def tree(self, folder: str) -> list[dict[str, Any]]:
        below = [path for path in sorted(self) if not folder or path.startswith(f"{folder}/")]
        folders = sorted({path.rpartition("/")[0] for path in below} - {"", folder})
        return [{"type": "directory", "path": name, "oid": "0"} for name in folders] + [self.facts(p) for p in below]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = Hub()

    class Handler(_Handler):
        state = files

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    files.address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", files.address)
    template = f"{files.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for n, colour in enumerate(COLOURS):
        files[f"train/{colour}.png"] = encode(picture(COLOURS[colour], seed=n))
    files["README.md"] = b"# Photos"
    yield files
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        tree = re.fullmatch(r"/api/datasets/some/photos/tree/main(?:/(.*))?", path)
        file = re.fullmatch(r"/datasets/some/photos/resolve/main/(.+)", path)
        if tree and (listed := self.state.tree(tree[1] or "")):
            self._send(json.dumps(listed).encode())
        elif tree or (file and file[1] not in self.state):
            self._send(b"{}", status=404, headers={"X-Error-Code": "EntryNotFound"})
        elif file:
            self._range(self.state[file[1]])
        else:
            code = "RevisionNotFound" if path.startswith("/api/datasets/some/photos") else "RepoNotFound"
            self._send(b"{}", status=404, headers={"X-Error-Code": code})

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        paths = [path for path in form["paths"] if path in self.state]
        self._send(json.dumps([self.state.facts(path) for path in paths]).encode())

    def log_message(self, *args: Any) -> None: ...

    def _range(self, data: bytes) -> None:
        first, last = map(int, re.findall(r"\d+", self.headers["Range"]))
        if first >= len(data):
            self._send(b"", status=416)
            return
        part = data[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self._send(part, status=206, headers={"Content-Range": span})

    def _send(self, data: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def collection() -> Iterator[Collection]:
    with Collection.open("memory:", model=ColourEmbedder(), create=True) as opened:
        yield opened


def test_a_data_set_is_followed_like_a_folder(hub: Hub, collection: Collection) -> None:
    assert collection.sync(DATA_SET).added == len(COLOURS)
    assert "photos/train/red.png" in collection.ids()
    assert collection.sync().unchanged == len(COLOURS)
    hub["train/red.png"] = encode(picture(COLOURS["blue"], seed=9))
    hub["train/moved.png"] = hub.pop("train/green.png")
    del hub["train/violet.png"]
    hub["train/broken.png"] = b"no image"
    report = collection.sync()
    assert (report.changed, report.moved, report.removed) == (1, 1, 1)
    assert [failure.path for failure in report.failed] == [f"{DATA_SET}/train/broken.png"]
    (hit,) = collection.search(read_object(f"{DATA_SET}/train/red.png", Limits()), 1)
    assert hit.metadata["path"] == f"{DATA_SET}/train/red.png"


def test_a_folder_an_image_and_an_archive_of_it(hub: Hub, collection: Collection) -> None:
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as tar:  # as WebDataset writes them: a name, and files of each kind
        for n in range(3):
            for kind, data in (("png", encode(picture(COLOURS["red"], seed=n))), ("json", b'{"caption": "red"}')):
                entry = tarfile.TarInfo(f"{n:06}.{kind}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    hub["shards/train-000.tar"] = shard.getvalue()
    assert collection.sync(f"{DATA_SET}@main/train").added == len(COLOURS)
    assert collection.sync(f"{DATA_SET}/shards/train-000.tar").added == 3
    assert collection.sync(f"{DATA_SET}/train/red.png").added == 1


def test_files_are_read_by_parts_and_within_limits(hub: Hub) -> None:
    data = hub["train/red.png"]
    with open_object(f"{DATA_SET}/train/red.png") as file:
        file.seek(5)
        assert file.read(10) == data[5:15]
    assert read_object(f"{DATA_SET}/train/red.png", Limits(max_bytes=len(data))) == data
    with pytest.raises(ImageTooLarge):
        read_object(f"{DATA_SET}/train/red.png", Limits(max_bytes=len(data) - 1))
    hub["empty.png"] = b""
    with pytest.raises(UnreadableImage, match="empty"):
        read_object(f"{DATA_SET}/empty.png", Limits())
    assert object_state(f"{DATA_SET}/no-such.png") is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("hf://datasets/some/other", "no such data set"),
        ("hf://datasets/some/photos@v9", "no such data set or revision"),
        ("hf://some/photos", "names no data set"),
        ("hf://datasets/some", "names no data set"),
    ],
)
def test_a_data_set_that_is_not_there_is_one_sentence(
    hub: Hub, collection: Collection, source: str, reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        collection.sync(source)


def test_a_path_with_one_slash_is_the_same() -> None:
    assert object_uri(str(Path("hf://datasets/some/photos/"))) == DATA_SET
