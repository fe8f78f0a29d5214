"""Images that a table names by their addresses on the web."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.conftest import COLOURS, ColourEmbedder, encode, picture

from lookalike.errors import BadQuery, UnreadableImage
from lookalike.image import Limits, NotListed, SourceFile, find, read
from lookalike.image.sources import web
from lookalike.image.sources.files import absolute_text, is_present, is_remote
from lookalike.image.sources.read import containing_file
from lookalike.image.sources.web import RefusedByWeb, is_web
from lookalike.search import Collection

PRIVATE = Limits(allow_private=True)
IMAGES = {f"/{name}.png": encode(picture(colour, seed=n)) for n, (name, colour) in enumerate(COLOURS.items())}


class Site(ThreadingHTTPServer):
    """Serves the images; /busy.png answers 503 twice, /down.png always, /private.png 403."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        site, path = self.server, self.path.partition("?")[0]
        with site.lock:
            site.asked[path] += 1
            site.at_once += 1
            site.most_at_once = max(site.most_at_once, site.at_once)
            asked = site.asked[path]
        try:
            if path.startswith("/slow"):
                threading.Event().wait(0.05)
            data = IMAGES.get("/red.png" if path.startswith(("/busy", "/slow")) else path, b"")
            status = 200 if data or path in ("/empty", "/half.png") else 404
            status = {"/down.png": 503, "/private.png": 403}.get(path, status)
            if path == "/busy.png" and asked < 3:
                status = 503
            if path == "/text.png":
                status, data = 200, b"<html>not an image</html>"
            self.send_response(status)
            if path == "/half.png":
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(bytes(400))
                self.close_connection = True
                return
            self.send_header("Content-Length", str(len(data) if status == 200 else 0))
            self.end_headers()
            if status == 200:
                self.wfile.write(data)
        finally:
            with site.lock:
                site.at_once -= 1

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(web, "PAUSES", (0.01, 0.02))
    web._known_host.cache_clear()
    server = Site()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_an_address() -> None:
    assert is_web("https://example.org/a.png")
    assert is_web("HTTP://example.org/a.png")
    assert not any(map(is_web, ("ftp://x/a.png", "s3://b/a.png", "http:", "/http://x", "a.png")))
    url = "https://example.org/a b.png!/c?x=1#y"
    assert absolute_text(url) == containing_file(url) == url
    assert is_present(url)
    assert is_remote(url)


def test_a_table_names_addresses_beside_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(IMAGES["/red.png"])
    (tmp_path / "t.csv").write_text(
        "url,label,price\nhttps://example.org/p/a.png?size=2,x,3\na.png,y,4\nftp://example.org/a.png,z,5\n"
    )
    with (tmp_path / "t.csv").open("a") as table:
        table.write("http://[x/2.png,x,6\ns3://,x,7\n /space.png,x,8\n")
    one, two, three, four, five, six = find([tmp_path / "t.csv"])
    assert four == NotListed("http://[x/2.png", "row 5 is no address in the web")
    assert five == NotListed("s3://", "row 6: names no bucket; write s3://BUCKET/FOLDER")
    assert isinstance(six, NotListed)
    assert six.reason == "row 7: no such file"
    assert isinstance(one, SourceFile)
    assert (one.path, one.name) == ("https://example.org/p/a.png?size=2", "example.org/p/a.png?size=2")
    assert (one.label, one.metadata) == ("x", {"price": 3})
    assert isinstance(two, SourceFile)
    assert two.path == str(tmp_path / "a.png")
    assert three == NotListed("ftp://example.org/a.png", "row 4: only http, https and object stores are read")


def test_hosts_inside_are_read_on_request_only(site: Site) -> None:
    with pytest.raises(UnreadableImage, match="is not allowed, only 80 and 443"):
        read(f"{site.address}/red.png")
    with pytest.raises(UnreadableImage, match=r"127\.0\.0\.1 is not a public host.*add --allow-private"):
        read("http://127.0.0.1/red.png")
    assert not site.asked
    assert read(f"{site.address}/red.png", PRIVATE) == IMAGES["/red.png"]


@pytest.mark.parametrize(
    ("path", "reason", "tries", "is_final"),
    [
        ("/missing.png", "returned status 404", 1, True),
        ("/private.png", "returned status 403", 1, True),
        ("/empty", r"is empty \(0 bytes\)", 1, True),
        ("/down.png", "returned status 503", 3, False),
    ],
)
def test_another_try_is_made_where_it_may_help(site: Site, path: str, reason: str, tries: int, is_final: bool) -> None:
    with pytest.raises(UnreadableImage, match=reason) as raised:
        read(site.address + path, PRIVATE)
    assert site.asked[path] == tries
    assert isinstance(raised.value, RefusedByWeb) is is_final


def test_a_busy_host_is_asked_again(site: Site) -> None:
    assert read(f"{site.address}/busy.png", PRIVATE) == IMAGES["/red.png"]
    assert site.asked["/busy.png"] == 3


def test_too_many_bytes_are_not_read(site: Site) -> None:
    with pytest.raises(UnreadableImage, match="exceeds 10 bytes") as raised:
        read(f"{site.address}/red.png", Limits(max_bytes=10, allow_private=True))
    assert not isinstance(raised.value, RefusedByWeb)  # another limit may be set
    assert site.asked["/red.png"] == 1


def test_half_an_image_is_none(site: Site) -> None:
    with pytest.raises(UnreadableImage, match=r"sent 400 of 1,000 bytes") as raised:
        read(f"{site.address}/half.png", PRIVATE)
    assert not isinstance(raised.value, RefusedByWeb)
    assert site.asked["/half.png"] == 3


def test_a_host_that_does_not_answer_is_left_alone(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    site.shutdown()
    site.server_close()
    tries = []
    connect = web.UrlReader.get
    monkeypatch.setattr(web.UrlReader, "get", lambda self, url: (tries.append(url), connect(self, url))[1])
    reasons = []
    for n in range(20):
        with pytest.raises(UnreadableImage) as raised:
            read(f"{site.address}/{n}.png", PRIVATE)
        reasons.append(str(raised.value))
    assert len(tries) == web.MAX_FAILURES + len(web.PROBE_PAUSES)
    assert reasons[-1] == "its host does not answer; it is asked again by the next run"


def test_a_host_that_is_away_for_a_while_costs_few_images(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(web, "PROBE_PAUSES", (0.2, 0.4, 0.8, 1.6))
    begun, get = time.monotonic(), web.UrlReader.get

    def away(self: web.UrlReader, url: str) -> bytes:
        if time.monotonic() < begun + 1:
            raise BadQuery("the URL cannot be read (ConnectionRefusedError); try again")
        return get(self, url)

    monkeypatch.setattr(web.UrlReader, "get", away)

    def works(_: int) -> bool:
        try:
            return bool(read(f"{site.address}/red.png", PRIVATE))
        except UnreadableImage:
            return False

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(works, range(300))).count(False) <= 40


def table(folder: Path, site: Site, *names: str) -> Path:
    path = folder / "urls.csv"
    path.write_text("url,label\n" + "".join(f"{site.address}/{name},l\n" for name in names))
    return path


def test_a_table_of_addresses_is_followed(site: Site, tmp_path: Path, embedder: ColourEmbedder) -> None:
    names = [f"{name}.png" for name in COLOURS]
    source = table(tmp_path, site, *names, "missing.png", "text.png", "down.png")
    with Collection.open(tmp_path / "c", model=embedder, create=True, limits=PRIVATE) as photos:
        report = photos.sync(source)
        assert report.added == 5
        assert {f.path.rpartition("/")[2]: f.reason for f in report.failed if "text" not in f.path} == {
            "missing.png": "returned status 404",
            "down.png": "returned status 503",
        }
        hit = photos.search(f"id:{tmp_path.name}/{site.address.removeprefix('http://')}/red.png", 1)
        assert len(hit) == 1
        sizes = {
            path.rpartition("/")[2]: size
            for part in photos.store.scan(["path", "size"])
            for path, size in zip(part["path"].tolist(), part["size"].tolist(), strict=True)
        }
        assert sizes == {name: len(IMAGES[f"/{name}"]) for name in names}
        asked = dict(site.asked)
        report = photos.sync()
        assert (report.unchanged, len(report.failed)) == (5, 3)
        assert {path for path, count in site.asked.items() if count > asked[path]} == {"/down.png"}
        table(tmp_path, site, *names[:3])
        assert photos.sync().removed == 2
        assert photos.failures() == []


def test_a_host_gets_few_requests_at_a_time(site: Site, tmp_path: Path, embedder: ColourEmbedder) -> None:
    source = table(tmp_path, site, *(f"slow{n}.png" for n in range(60)))
    with Collection.open("memory:", model=embedder, limits=PRIVATE) as photos:
        assert photos.sync(source).added == 60
    assert 2 <= site.most_at_once <= web.REQUESTS_PER_HOST


def test_what_was_refused_for_the_settings_is_tried_with_others(
    site: Site, tmp_path: Path, embedder: ColourEmbedder
) -> None:
    source = table(tmp_path, site, "red.png")
    with Collection.open(tmp_path / "c", model=embedder, create=True) as photos:
        assert "only 80 and 443" in photos.sync(source).failed[0].reason
    with Collection.open(tmp_path / "c", model=embedder, limits=PRIVATE) as photos:
        assert photos.sync(source).added == 1


def test_a_look_at_a_hit_sends_no_request(site: Site, tmp_path: Path, embedder: ColourEmbedder) -> None:
    from lookalike.relate.geometry.feature_cache import loader_of

    with Collection.open("memory:", model=embedder, limits=PRIVATE) as photos:
        photos.sync(table(tmp_path, site, "red.png", "blue.png"))
        asked = dict(site.asked)
        (row,) = photos.get([photos.search(encode(picture(COLOURS["red"])), 1)[0].id], ["path", "frame"])
        assert loader_of(photos, row) is None
        assert dict(site.asked) == asked
