"""uvicorn's HTTP protocol, less patient: slow or endless heads and too many connections of one client are cut off."""

import asyncio
import json
import os
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lookalike.server.process.settings import VARIABLE, is_loopback

SECONDS = 10.0
MAX_HEAD = 64 * 1024  # bytes of a request's line and headers
MAX_CONNECTIONS = 100  # of one address; a proxy has as many as it likes
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Patient(HttpToolsProtocol):
    """uvicorn's own time limit begins only after the first answer, and it has none of size."""

    per_client: ClassVar[Counter[str]] = Counter()
    _late: asyncio.TimerHandle | None = None
    _head = 0
    _in_body = False  # of a request that may be answered already: what comes is no head
    _client = ""

    def connection_made(self, transport: Any) -> None:
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self.per_client[self._client] += 1
        super().connection_made(transport)
        if self.per_client[self._client] > MAX_CONNECTIONS and not _is_proxy(self._client):
            transport.close()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if self._late is None and answered and not self._in_body:
            self._wait()  # the head of the next request on this connection begins
        if self._late is not None:
            # What follows the head in the same piece of data counts too, but a piece is never so large.
            self._head += len(data)
            if self._head > MAX_HEAD + len(data) or (self._head > MAX_HEAD and b"\r\n\r\n" not in data):
                self._refuse()
                return
        super().data_received(data)
        if self._late is not None and self._head > MAX_HEAD:
            self._refuse()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.per_client[self._client] -= 1
        if self.per_client[self._client] <= 0:
            del self.per_client[self._client]
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._head = 0
        seconds = float(os.environ.get("LOOKALIKE_HEADER_SECONDS", SECONDS))
        self._late = self.loop.call_later(seconds, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
        self._stop_waiting()
        self._hang_up()

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _is_proxy(client: str) -> bool:
    if not client or is_loopback(client):
        return True
    try:
        return client in json.loads(os.environ.get(VARIABLE, "{}")).get("trust_proxy", ())
    except ValueError:
        return False
