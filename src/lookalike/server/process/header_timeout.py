"""A uvicorn protocol that limits the time and size of request headers and the connections per client."""

import asyncio
import json
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lookalike.server.http.problem import PROBLEM_TYPE, problem_content
from lookalike.server.process.settings import LIFESPAN_KEY, Settings, is_loopback

MAX_HEADER_BYTES = 64 * 1024  # of the request line and headers
MAX_CONNECTIONS = 100  # per address; proxies are exempt


def _error_response(status: str, kind: str, message: str) -> bytes:
    """Return a response in the form of all errors, for requests that do not reach the application."""
    body = json.dumps(problem_content(kind, message, int(status.split(maxsplit=1)[0])))
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {PROBLEM_TYPE}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode("ascii")


_TOO_LARGE = _error_response(
    "431 Request Header Fields Too Large",
    "headers_too_large",
    f"the request line and headers exceed {MAX_HEADER_BYTES // 1024} KiB; send shorter ones",
)
_INVALID = _error_response(
    "400 Bad Request",
    "bad_request",
    "this is not a valid HTTP request; check its first line, its headers and its length",
)


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """Closes connections with slow or large request headers.

    uvicorn's own time limit starts only after the first response, and it has no limit on size.
    """

    per_client: ClassVar[Counter[str]] = Counter()
    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_body = False  # while a body arrives, also after an early response
    _client = ""

    def connection_made(self, transport: Any) -> None:
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self.per_client[self._client] += 1
        super().connection_made(transport)
        if self.per_client[self._client] > MAX_CONNECTIONS and not self._is_proxy():
            transport.close()
            return
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if self._timer is None and answered and not self._in_body:
            self._start_timer()  # the next request on this connection begins
        if self._timer is not None:
            # A chunk may extend into the body; that part is counted too, but a chunk is small.
            self._header_bytes += len(data)
            exceeded = self._header_bytes - MAX_HEADER_BYTES
            if exceeded > len(data) or (exceeded > 0 and b"\r\n\r\n" not in data):
                self._refuse()
                return
        super().data_received(data)
        if self._timer is not None and self._header_bytes > MAX_HEADER_BYTES:
            self._refuse()

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_INVALID)
        self.transport.close()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.per_client[self._client] -= 1
        if self.per_client[self._client] <= 0:
            del self.per_client[self._client]
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._header_bytes = 0
        self._timer = self.loop.call_later(self._settings.header_seconds, self._close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
        self._stop_timer()
        self._close()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _is_proxy(self) -> bool:
        return not self._client or is_loopback(self._client) or self._client in self._settings.trust_proxy

    @property
    def _settings(self) -> Settings:
        settings: Settings = self.app_state[LIFESPAN_KEY]
        return settings
