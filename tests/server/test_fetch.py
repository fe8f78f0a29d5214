"""Search by URL: the public network only, looked at after names are resolved and after every redirect."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lookalike.errors import BadQuery
from lookalike.server.fetch import Fetcher, Forbidden, is_public
from tests.server.conftest import Served


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/endless":
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"picture")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def fetcher(site: int, **options: object) -> Fetcher:
    """Names ending in .public lead to the test's own site, which counts as public; all others as they are."""
    public = {"good.public": ["127.0.0.1"], "mixed.public": ["127.0.0.1", "10.0.0.1"]}
    known = lambda host, _port: public.get(host) or [host]  # noqa: E731
    # Only the first connection's address is taken for public: the name decides, as in the world outside.
    allowed = {"127.0.0.1"}
    settings = {"resolve": known, "public": lambda a: a in allowed, "ports": (80, 443, site), **options}
    return Fetcher(1_000_000, **settings)  # type: ignore[arg-type]


def test_a_public_picture_is_got_also_after_a_redirect(site: int) -> None:
    assert fetcher(site).get(f"http://good.public:{site}/x") == b"picture"
    assert fetcher(site).get(f"http://good.public:{site}/to/http://good.public:{site}/y") == b"picture"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "fe80::1%eth0", "fec0::1", "no address",
    ],
)  # fmt: skip
def test_an_address_inside_is_never_public(address: str) -> None:
    assert not is_public(address)


def test_an_address_outside_is_public() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost/x", "http://2130706433/x", "http://0x7f.1/x", "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x", "file:///etc/passwd", "ftp://good.public/x", "gopher://x/", "//x", "",
        "http://user:word@127.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:22/",
        "http://[fe80::1%25lo]/", "http://a b/", "javascript:alert(1)", "http://x:99999/",
    ],
)  # fmt: skip
def test_urls_inside_are_not_asked(url: str) -> None:
    with pytest.raises(BadQuery):
        Fetcher(1000).get(url)


def test_a_redirect_inside_is_not_followed(site: int) -> None:
    with pytest.raises(Forbidden):
        fetcher(site).get(f"http://good.public:{site}/to/http://10.0.0.1:{site}/x")
    with pytest.raises(Forbidden):
        fetcher(site).get(f"http://good.public:{site}/to/file:///etc/passwd")


def test_a_name_with_one_private_address_is_not_asked(site: int) -> None:
    with pytest.raises(Forbidden):
        fetcher(site).get(f"http://mixed.public:{site}/x")


def test_too_many_redirects_too_many_bytes_too_slow(site: int) -> None:
    loop = f"http://good.public:{site}" + f"/to/http://good.public:{site}" * 5
    with pytest.raises(BadQuery, match="redirects"):
        fetcher(site).get(loop + "/x")
    with pytest.raises(BadQuery, match="bytes"):
        fetcher(site).get(f"http://good.public:{site}/endless")
    with pytest.raises(BadQuery, match="too long"):
        fetcher(site, seconds=0.0).get(f"http://good.public:{site}/x")


def test_urls_are_off_unless_asked_for(server: Served) -> None:
    answer = server.http.post("/v1/search", files={"nothing": b""}, data={"url": "http://93.184.216.34/x.png"})
    assert answer.status_code == 400
    assert "--fetch-urls" in answer.json()["message"]
