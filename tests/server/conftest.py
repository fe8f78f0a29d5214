"""A real server on loopback, in a thread of the test's process, over a small collection by the colour embedder."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lookalike.search import Collection
from lookalike.server import Settings, create_app
from lookalike.server.process.run import proxy_options
from tests.conftest import COLOURS, ColourEmbedder, encode, picture

PROBLEM = {"type", "title", "status", "detail", "error", "message"}
"""The members of every error."""


@dataclass
class Served:
    """`http`: a client of the server. `app`: its parts are in app.state.lookalike."""

    url: str
    http: httpx.Client
    app: Any
    photos: Collection
    port: int


@contextmanager
def served(
    collection: Collection | None, uri: str = "given", *, port: int | None = None, **options: Any
) -> Iterator[Served]:
    """Serve until the block ends; `options` are of Settings."""
    import uvicorn

    port = port or free_port()
    settings = Settings(uri=uri, port=port, **{"decoders": 1, "body_seconds": 3.0, **options})
    app = create_app(settings, collection)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        loop="asyncio",  # uvloop, where it lies about, starts processes by a fork, of which Lance warns
        http="lookalike.server.process.header_timeout:HeaderTimeoutProtocol",
        **proxy_options(settings),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)  # one that does not end must not hold the tests up
    thread.start()
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=30) as client:
        wait_for(lambda: _ready(client))
        try:
            yield Served(url, client, app, collection, port)  # type: ignore[arg-type]
        finally:
            server.should_exit = True
            thread.join(timeout=60)
            assert not thread.is_alive(), "the server did not stop"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def fill(folder: Path, *, per_colour: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        for n in range(per_colour):
            (folder / f"{name}{n}.png").write_bytes(encode(picture(colour, seed=n, size=(96, 72))))
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that leave it as it was: fifteen pictures, three of each colour."""
    location = tmp_path_factory.mktemp("served")
    folder = fill(location / "photos")
    with Collection.open(location / "collection", model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder)
        with served(photos, str(location / "collection"), show_paths=False) as running:
            yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own, which it may write to."""
    folder = fill(tmp_path / "photos", per_colour=1)
    with Collection.open(tmp_path / "collection", model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder)
        with served(photos, str(tmp_path / "collection")) as running:
            yield running


@pytest.fixture(scope="session")
def red() -> bytes:
    return encode(picture(COLOURS["red"], seed=99, size=(96, 72)))
