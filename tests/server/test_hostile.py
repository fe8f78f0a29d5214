"""Uploads and requests that mean harm: each gets a clear answer, and the server lives on."""

import asyncio
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lookalike.errors import ImageError, ImageTooLarge, UnreadableImage
from lookalike.search import Collection
from lookalike.server.uploads.decoder_pool import DecoderPool
from lookalike.types import Preprocessing
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.server.conftest import PROBLEM, Served, served

HEAD = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
PREPROCESSING = Preprocessing(size=(32, 32))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif_of_10_000_frames() -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "GIF")
    one = buffer.getvalue()
    frame = one[one.index(b"\x2c") : -1]
    return one[: one.index(b"\x2c")] + frame * 10_000 + b";"


RED = encode(picture(COLOURS["red"], size=(640, 480)), "JPEG")
HARMFUL = {
    "a bomb by its header": (png(60_000, 60_000), 413),
    "a bomb of zeros": (png(7_000, 7_000, zlib.compress(bytes(7_000 * 21_001), 9)), None),
    "half a png": (encode(picture(COLOURS["red"]))[:120], 422),
    "a jpeg's first bytes": (RED[:300], 422),
    "a script in an svg": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 422),
    "a web page": (b"<html><script>alert(1)</script></html>", 422),
    "nothing": (b"", 422),
    "noise": (bytes(range(256)) * 40, 422),
    "a text that begins like xbm": (b"#define x_width 99999999\n#define x_height 99999999\n", None),
    "ten thousand frames": (gif_of_10_000_frames(), None),
    "a jpeg with a web page behind": (RED + b"<script>alert(1)</script>", 200),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_upload_is_answered(server: Served, name: str) -> None:
    data, status = HARMFUL[name]
    answer = server.http.post("/v1/search?k=1", files={"image": ("x.png", data, "image/png")})
    assert answer.status_code == (status or answer.status_code)
    assert answer.status_code in (200, 413, 422), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"] in ("unreadable_image", "image_too_large")
        assert "/" not in answer.json()["message"].replace("16-bit/", "")
    assert server.http.get("/v1/search?like=id:photos/red0.png").status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"image": 1}'),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--x--',
        ),
        ("text/html", b"<html>"),
        ("", b"abc"),
    ],
)
def test_a_wrong_body_is_refused(server: Served, kind: str, body: bytes) -> None:
    answer = server.http.post("/v1/search", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_query")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'{"kind": "rm -rf"}', b'{"kind": "index", "x": 1}', b"\xff\xfe"]
)
def test_malformed_json_is_refused(server: Served, body: bytes) -> None:
    answer = server.http.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == PROBLEM


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/..%2F..%2F..%2Fetc%2Fpasswd/original",
        "/v1/images/%2Fetc%2Fpasswd/original",
        "/v1/images/%00/original",
        "/v1/images/%ff%fe/thumbnail",
        "/static/..%2F..%2Fapp.py",
        "/static/%2e%2e/app.py",
        "/static/app.py",
        "/v1/queries/..%2F..%2Fkey/thumbnail",
        "/v1/jobs/..%2F..%2Fkey",
        "/../../etc/passwd",
    ],
)
def test_path_tricks_lead_nowhere(server: Served, path: str) -> None:
    answer = server.http.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_a_body_that_is_too_long_is_refused_by_its_head(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert b" 413 " in sock.recv(4096).splitlines()[0]


def test_a_body_that_never_ends_is_hung_up_on(server: Served) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(0.2)
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = b""
        while not answer and time.monotonic() - started < 30:
            sock.sendall(b"1\r\nx\r\n")
            try:
                answer = sock.recv(4096)
            except TimeoutError:
                continue
        assert b" 408 " in answer.splitlines()[0]
    assert server.http.get("/healthz").status_code == 200


JSON = b"POST /v1/labels HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def test_a_json_body_that_never_ends_is_hung_up_on(server: Served) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(30)
        sock.sendall(JSON + b"Content-Length: 100\r\n\r\n{")
        answer = b"".join(iter(lambda: sock.recv(4096), b""))  # until it hangs up
    assert b" 408 " in answer.splitlines()[0]
    assert b"too_slow" in answer
    assert time.monotonic() - started < 30  # the fixture's body_seconds are 3; the rest is for a busy machine


def test_a_json_body_that_is_too_long_is_refused_as_any(tmp_path: Path) -> None:
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        served(photos, str(tmp_path / "c"), max_bytes=10_000) as running,
    ):
        blocks = (b'{"label": "' if n == 0 else b"x" * 10_000 for n in range(20))
        answer = running.http.post("/v1/labels", content=blocks, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"hello, I am not a picture", "the image is not a supported image format (starts with 'hello, I')"),
        (b"<html>", "the image is a web page, not an image: the download probably failed"),
        (b"\xff\xd8\xff\xe0 and no more", "the image begins like JPEG"),
    ],
)
def test_a_refusal_is_a_sentence(server: Served, data: bytes, expected: str) -> None:
    answer = server.http.post("/v1/search", files={"image": ("x.png", data)})
    assert answer.json()["message"].startswith(expected)


def test_a_head_that_never_ends_is_hung_up_on(collection: Collection) -> None:
    with (
        served(collection, header_seconds=0.3) as running,
        socket.create_connection(("127.0.0.1", running.port)) as sock,
    ):
        sock.settimeout(8)  # the setting's default is 10
        sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0")
        assert sock.recv(100) == b""


def test_a_client_that_leaves_is_no_error(server: Served) -> None:
    before = server.http.get("/metrics").text
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(HEAD + b"Content-Length: 5000\r\n\r\nabc")
    time.sleep(0.2)
    assert 'status="500"' not in server.http.get("/metrics").text
    assert before


def run(work):  # type: ignore[no-untyped-def]
    return asyncio.run(work)


def test_a_decoder_that_dies_hangs_or_eats_memory_is_replaced() -> None:
    async def story() -> list[str]:
        pool = DecoderPool(1, seconds=30, memory=900 * 2**20, max_pixels=10**9)
        await pool.start()
        errors = []
        try:
            child = pool._children[0]
            os.kill(child._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
            while child.alive:
                await asyncio.sleep(0.05)
            assert (await pool.upload(RED, PREPROCESSING)).facts["width"] == 640
            os.kill(child._process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
            pool._seconds = 0.3
            try:
                await pool.upload(RED, PREPROCESSING)
            except UnreadableImage as error:
                errors.append(str(error))
            pool._seconds = 30
            big = png(18_000, 18_000, zlib.compress(bytes(18_000 * 54_001), 1))
            try:
                await pool.upload(big, PREPROCESSING)
            except ImageError as error:
                errors.append(type(error).__name__)
            assert (await pool.upload(RED, PREPROCESSING)).fitted.shape == (32, 32, 3)
        finally:
            await pool.stop()
        return errors

    errors = run(story())
    assert "seconds to decode" in errors[0]
    assert errors[1] == ImageTooLarge.__name__


def test_the_decoder_may_not_write_files(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from lookalike.image.decoding.child import _confine\n"
        "_confine(2**31)\n"
        "file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
        "try:\n    os.write(file, b'x')\nexcept OSError:\n    print('refused')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "refused\n"


def test_errors_have_one_shape(server: Served) -> None:
    for method, path in (("GET", "/v1/nothing"), ("PUT", "/v1/search"), ("GET", "/v1/images?k=x")):
        answer = server.http.request(method, path)
        assert answer.status_code in (404, 405, 422)
        assert set(json.loads(answer.text)) == PROBLEM
