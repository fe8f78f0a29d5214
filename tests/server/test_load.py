"""More than the server holds at a time: 503 with Retry-After, its memory bounded, good pictures still served."""

import asyncio
import http.client
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from lookalike.errors import UnreadableImage
from lookalike.search import Collection
from lookalike.server.http.middleware import FORM_OVERHEAD, RESERVE_SECONDS, Budget
from lookalike.server.process.header_timeout import MAX_CONNECTIONS, HeaderTimeoutProtocol
from lookalike.server.process.settings import LIFESPAN_KEY, Settings
from lookalike.server.service.batcher import Busy
from lookalike.server.uploads.decoder_pool import MAX_WAITING, DecoderPool
from lookalike.types import Preprocessing
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import Served, served

RED = encode(picture(COLOURS["red"]))
PREPROCESSING = Preprocessing(size=(32, 32))
MEGABYTE = 2**20


def test_a_budget_of_bytes() -> None:
    budget = Budget(10 * MEGABYTE)
    assert budget.reserve(9 * MEGABYTE, small=False)
    assert not budget.reserve(2 * MEGABYTE, small=False)
    assert budget.reserve(FORM_OVERHEAD, small=True)  # a question, however busy
    budget.release(9 * MEGABYTE + FORM_OVERHEAD)
    assert budget.used == 0
    assert budget.reserve(10 * MEGABYTE, small=False)


def test_more_than_fits_is_refused_before_it_is_read(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    with served(collection, max_bytes=4 * MEGABYTE, upload_bytes=10 * MEGABYTE, body_seconds=20.0) as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        head = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        for sock in held:
            sock.sendall(head % (4 * MEGABYTE) + bytes(4 * MEGABYTE - 10))
        time.sleep(0.5)
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(head % (4 * MEGABYTE))  # and not a byte of it
            answer = sock.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 503")
        assert "retry-after: 2" in answer.lower()
        assert server.http.post("/v1/search", files={"image": RED}).status_code == 200  # small enough
        for sock in held:
            sock.close()
        time.sleep(0.5)
        padded = RED + bytes(3 * MEGABYTE)
        assert server.http.post("/v1/search", files={"image": padded}).status_code == 200


def test_a_slow_upload_holds_no_more_than_it_sent(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    with served(collection, max_bytes=4 * MEGABYTE, upload_bytes=9 * MEGABYTE, body_seconds=20.0) as server:
        head = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for sock in slow:
            sock.sendall(head % (4 * MEGABYTE) + b"\x89PNG")
        time.sleep(RESERVE_SECONDS + 0.5)  # until then they are believed
        padded = RED + bytes(3 * MEGABYTE)
        assert server.http.post("/v1/search", files={"image": padded}).status_code == 200
        for sock in slow:
            sock.close()


def test_who_was_slow_first_may_not_send_beyond_the_budget_then(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    with served(collection, max_bytes=4 * MEGABYTE, upload_bytes=9 * MEGABYTE, body_seconds=20.0) as server:
        head = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(8)]
        for n, sock in enumerate(slow):
            sock.sendall(head % (4 * MEGABYTE))
            if n < 2:
                time.sleep(RESERVE_SECONDS + 0.3)
        time.sleep(RESERVE_SECONDS + 0.5)
        answers = []
        for sock in slow:
            try:
                for _ in range(60):
                    sock.sendall(bytes(60_000))
                sock.settimeout(0.2)
                answers.append(sock.recv(100)[9:12])
            except TimeoutError:
                answers.append(b"")
            except OSError:
                answers.append(b"503")
        assert answers.count(b"503") >= 4
        for sock in slow:
            sock.close()


def test_an_early_answer_to_an_upload_arrives(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    with served(collection, max_bytes=16 * MEGABYTE, body_seconds=20.0) as server:
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            headers = {"Origin": "https://evil.example", "Content-Type": "image/png"}
            connection.request("POST", "/v1/search", body=bytes(8 * MEGABYTE), headers=headers)
            with closing(connection.getresponse()) as response:
                assert response.status == 403
            connection.close()


def test_many_uploads_at_once_are_served_or_told_to_come_back(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    statuses: Counter[int] = Counter()
    padded = RED + bytes(3 * MEGABYTE)
    with served(collection, max_bytes=4 * MEGABYTE, upload_bytes=12 * MEGABYTE, body_seconds=20.0) as server:

        def some() -> None:
            with httpx.Client(base_url=server.url, timeout=60) as http:
                for _ in range(3):
                    statuses[http.post("/v1/search", files={"image": padded}).status_code] += 1

        threads = [threading.Thread(target=some) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 503}
        assert statuses[200] > 0
        assert server.http.post("/v1/search", files={"image": padded}).status_code == 200


def test_no_more_wait_for_a_decoder_than_will_be_served() -> None:
    async def story() -> list[object]:
        pool = DecoderPool(1, seconds=30, memory=900 * MEGABYTE, max_pixels=10**7)
        await pool.start()
        try:
            uploads = [pool.upload(RED, PREPROCESSING) for _ in range(MAX_WAITING + 8)]
            return list(await asyncio.gather(*uploads, return_exceptions=True))
        finally:
            await pool.stop()

    results = asyncio.run(story())
    assert 5 <= sum(isinstance(one, Busy) for one in results) <= 8
    assert not any(isinstance(one, UnreadableImage) for one in results)


@pytest.mark.parametrize("how", ["hangs", "left"])
def test_nobody_pays_for_anothers_picture(how: str) -> None:
    """A decoder that was killed for one upload is gone before it is given the next."""

    async def story() -> list[int]:
        pool = DecoderPool(1, seconds=30, memory=900 * MEGABYTE, max_pixels=10**7)
        await pool.start()
        widths = []
        try:
            for _ in range(3):
                await pool.upload(RED, PREPROCESSING)
                process = pool._children[0]._process
                assert process is not None
                os.kill(process.pid, signal.SIGSTOP)
                if how == "hangs":
                    pool._seconds = 0.2
                    with pytest.raises(UnreadableImage, match="seconds to decode"):
                        await pool.upload(RED, PREPROCESSING)
                    pool._seconds = 30
                else:
                    task = asyncio.create_task(pool.upload(RED, PREPROCESSING))
                    await asyncio.sleep(0.1)
                    task.cancel()
                widths.append((await pool.upload(RED, PREPROCESSING)).facts["width"])
        finally:
            await pool.stop()
        return widths

    assert asyncio.run(story()) == [48] * 3


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: abc\r\n\r\n", b"400"),
        (b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"OPTIONS /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"405"),
        (b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"40"),
        (b"GET /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", b"4"),
        (b"GET /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: x\r\n" * 50_000 + b"\r\n", b"4"),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"4"),
    ],
)
def test_odd_heads(server: Served, data: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        try:
            sock.sendall(data)
            answer = sock.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""  # hung up on in the middle: as good as an answer
    assert not answer or answer.split()[1].startswith(status), answer
    assert server.http.get("/v1/images").status_code == 200


def test_a_large_but_honest_head_is_read(server: Served) -> None:
    assert server.http.get("/v1/images", headers={"cookie": "x=" + "y" * 30_000}).status_code == 200
    many = [("like", f"photos/red{n % 3}.png") for n in range(60)]
    assert server.http.get("/v1/search", params=many).status_code == 200


class Transport(asyncio.Transport):
    """A connection from somewhere else."""

    def __init__(self, client: str) -> None:
        super().__init__({"peername": (client, 1), "sockname": ("10.0.0.1", 80)})
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_one_client_may_not_take_all_connections() -> None:
    state = {LIFESPAN_KEY: Settings(uri="x", trust_proxy=("10.2.2.2",))}

    async def story() -> list[int]:
        config = uvicorn.Config(app=lambda: None, log_config=None)
        config.load()
        closed = []
        for client in ("10.1.1.1", "10.2.2.2", "127.0.0.1"):
            created = [Transport(client) for _ in range(MAX_CONNECTIONS + 20)]
            protocols = [HeaderTimeoutProtocol(config, ServerState(), state) for _ in created]
            for protocol, transport in zip(protocols, created, strict=True):
                protocol.connection_made(transport)
            closed.append(sum(transport.closed for transport in created))
            for protocol in protocols:
                protocol.connection_lost(None)
        assert not HeaderTimeoutProtocol.per_client["10.1.1.1"]
        return closed

    assert asyncio.run(story()) == [20, 0, 0]
