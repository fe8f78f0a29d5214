"""Search by URL: the public network only, looked at after names are resolved and after every redirect."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from starlette.requests import ClientDisconnect

from lookalike.errors import BadQuery
from lookalike.server.service.batcher import Busy
from lookalike.server.uploads.url_fetch import MAX_WAITING, Fetcher, ForbiddenUrl, is_public
from tests.server.conftest import Served


class Handler(BaseHTTPRequestHandler):
    def slowly(self, how: str) -> None:
        """Never finish, a byte at a time: a head, the size of a chunk, or a body that was promised."""
        begins = {
            "head": b"",
            "chunk": b"Transfer-Encoding: chunked\r\n\r\n5;x=",
            "body": b"Content-Length: 100000\r\n\r\n",
            "continue": b"",
        }
        trickle = b"HTTP/1.1 100 Continue\r\n\r\n" if how == "continue" else b"x"
        if how != "continue":
            self.flush_headers()
        self.wfile.write(begins[how])
        try:
            for _ in range(200):
                self.wfile.write(trickle)
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            return

    def do_GET(self) -> None:
        if self.path == "/slow/continue":
            self.slowly("continue")
            return
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(200)
        if self.path.startswith("/slow/"):
            self.slowly(self.path.removeprefix("/slow/"))
            return
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
    with pytest.raises(ForbiddenUrl):
        fetcher(site).get(f"http://good.public:{site}/to/http://10.0.0.1:{site}/x")
    with pytest.raises(ForbiddenUrl):
        fetcher(site).get(f"http://good.public:{site}/to/file:///etc/passwd")


def test_a_name_with_one_private_address_is_not_asked(site: int) -> None:
    with pytest.raises(ForbiddenUrl):
        fetcher(site).get(f"http://mixed.public:{site}/x")


@pytest.mark.parametrize("path", ["/endless", "/to/http://10.0.0.1/x", "/to/y", "/x"])
def test_no_response_is_left_to_the_collector(site: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response of HTTP/1.0 owns its socket: closing the connection does not close it."""
    opened: list[http.client.HTTPResponse] = []

    class Recorded(http.client.HTTPResponse):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            opened.append(self)

    monkeypatch.setattr(http.client.HTTPConnection, "response_class", Recorded)
    with suppress(BadQuery):
        fetcher(site).get(f"http://good.public:{site}{path}")
    assert opened
    assert all(response.isclosed() for response in opened)


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


@pytest.mark.parametrize("how", ["head", "chunk", "body", "continue"])
def test_one_deadline_holds_for_the_whole_exchange(site: int, how: str) -> None:
    started = time.monotonic()
    with pytest.raises(BadQuery, match="too long"):
        fetcher(site, seconds=0.6).get(f"http://good.public:{site}/slow/{how}")
    assert time.monotonic() - started < 3


def test_the_deadline_holds_while_tls_is_agreed_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(BadQuery, match="too long"):
            fetcher(port, seconds=0.6).get(f"https://good.public:{port}/x")
        assert time.monotonic() - started < 3


class NoTimer(threading.Timer):
    """A timer that is late: under load the socket's own timeout comes first."""

    def run(self) -> None:
        return


SILENCES = {  # what a server sends before it falls silent
    "status": b"",
    "headers": b"HTTP/1.1 200 OK\r\nX: y",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y",
    "end": b"HTTP/1.1 200 OK\r\n\r\nx",
}


@pytest.mark.parametrize("part", ["tls", *SILENCES])
def test_every_timeout_is_the_deadline(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    scheme, sent = "https" if part == "tls" else "http", SILENCES.get(part, b"")
    monkeypatch.setattr("lookalike.image.sources.url_reader.threading.Timer", NoTimer)
    connections = []

    def answer(server: socket.socket) -> None:
        connections.append(server.accept()[0])
        connections[0].sendall(sent)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        with pytest.raises(BadQuery, match="takes too long"):
            fetcher(port, seconds=0.5).get(f"{scheme}://good.public:{port}/x")
        thread.join()
        connections[0].close()


def test_a_timeout_of_the_connection_is_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> socket.socket:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr("lookalike.image.sources.url_reader.socket.create_connection", connect)
    with pytest.raises(BadQuery, match="takes too long"):
        fetcher(80).get("http://good.public/x")


def test_slow_sites_hold_up_nobody_else(site: int) -> None:
    async def story() -> float:
        slow = fetcher(site, seconds=2.0)
        waiting = [asyncio.create_task(slow.fetch(f"http://good.public:{site}/slow/head")) for _ in range(8)]
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(4)))
        quick = time.monotonic() - started
        await asyncio.gather(*waiting, return_exceptions=True)
        return quick

    assert asyncio.run(story()) < 1


def test_no_more_wait_than_will_be_asked(site: int) -> None:
    async def story() -> list[object]:
        slow = fetcher(site, seconds=0.5)
        fetches = [slow.fetch(f"http://good.public:{site}/slow/head") for _ in range(MAX_WAITING + 5)]
        return list(await asyncio.gather(*fetches, return_exceptions=True))

    errors = asyncio.run(story())
    assert sum(isinstance(error, Busy) for error in errors) == 5
    assert all(isinstance(error, Busy | BadQuery) for error in errors)


def test_who_hangs_up_is_no_longer_fetched_for(site: int) -> None:
    async def story() -> float:
        async def gone() -> bool:
            return True

        started = time.monotonic()
        with pytest.raises(ClientDisconnect):
            await fetcher(site, seconds=20).fetch(f"http://good.public:{site}/slow/head", gone)
        return time.monotonic() - started

    assert asyncio.run(story()) < 5


def test_a_slow_name_is_given_up_at_the_deadline_and_leaves_no_queue() -> None:
    """Names are looked up by the system, which cannot be told to hurry: who asked does not wait for it."""
    begun_lookups: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        begun_lookups.append(host)
        time.sleep(1.5)
        return ["127.0.0.1"]

    async def story() -> tuple[float, int]:
        slow = Fetcher(1000, seconds=0.3, resolve=resolve, public=lambda _: True, ports=(80,))
        started = time.monotonic()
        errors = await asyncio.gather(*(slow.fetch("http://x/") for _ in range(24)), return_exceptions=True)
        took = time.monotonic() - started
        assert all(isinstance(error, BadQuery) for error in errors)
        await asyncio.sleep(2)
        return took, slow._waiting

    took, waiting = asyncio.run(story())
    assert took < 1.4
    assert waiting == 0
    assert len(begun_lookups) == 8
