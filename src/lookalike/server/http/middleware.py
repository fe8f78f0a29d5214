"""Everything around a request: the gate, limits of size and time, security headers, one line of log, the metrics."""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from lookalike.server.http.access import Gate, Refusal, lowered
from lookalike.server.http.metrics import Metrics
from lookalike.server.process.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("lookalike.server")
SPARE_BYTES = 64 * 1024  # of a form around its pictures
MOST_PICTURES = 8
SEND_SECONDS = 60.0
QUICK_SECONDS = 2.0  # for which the announced size of a body is kept free
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class TooMuch(HTTPException):
    """The body is larger or slower than allowed. Where FastAPI reads JSON, it lets only an HTTPException through."""

    def __init__(self, status: int, kind: str, message: str, *, wait: int = 0) -> None:
        super().__init__(status, message)
        later = (("retry-after", str(wait)),) if wait else ()
        self.refusal = Refusal(status, kind, message, (("connection", "close"), *later))


class Budget:
    """The bytes of bodies that are held at a time; of one event loop, so without a lock."""

    def __init__(self, total: int) -> None:
        self._total, self.held = total, 0

    def take(self, size: int, *, small: bool) -> bool:
        """Hold some more, unless that is too much. Small bodies always fit: they are questions, not pictures."""
        if not small and self.held + size > self._total:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        self.held -= size


class Door:
    """The outermost ASGI layer."""

    def __init__(self, app: App, settings: Settings, gate: Gate, metrics: Metrics) -> None:
        self._app, self._settings, self._gate, self._metrics = app, settings, gate, metrics
        self._budget = Budget(max(settings.upload_bytes, settings_bytes(settings)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root = self._settings.root_path
        path = scope["path"]
        if root and (path == root or path.startswith(f"{root}/")):  # a proxy that hands the path on as it is
            scope["path"] = path[len(root) :] or "/"
            if raw := scope.get("raw_path"):
                scope["raw_path"] = raw[len(root.encode()) :] or b"/"
        await _Visit(self, scope, receive, send).go()


class _Visit:
    """One request on its way."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        self._settings, self._gate, self._metrics = door._settings, door._gate, door._metrics
        self._app, self._scope, self._receive, self._send = door._app, scope, receive, send
        self._budget, self._whole = door._budget, False
        self._slow: asyncio.TimerHandle | None = None
        self._begun, self._status, self._read, self._held = time.monotonic(), 0, 0, 0
        self._name = uuid.uuid4().hex[:12]
        self._most = settings_bytes(door._settings)

    async def go(self) -> None:
        scope = self._scope
        headers = lowered(scope["headers"])
        client = (scope.get("client") or ("", 0))[0]
        try:
            refusal = (
                self._gate.refuse(scope["method"], scope["path"], headers, client)
                or self._too_long(headers)
                or self._too_many(headers)
            )
            if refusal is not None:
                await self._refused(refusal)
            else:
                await self._app(scope, self._limited, self._sent)
        except TooMuch as error:
            await self._refused(error.refusal)
        except Exception:
            log.exception("unexpected", extra={"told": {"request": self._name}})
            await self._refused(Refusal(500, "unexpected", f"something failed; the log tells what, under {self._name}"))
        finally:
            if self._slow is not None:
                self._slow.cancel()
            self._budget.give_back(self._held)
            self._noted(client)

    def _too_long(self, headers: dict[str, str]) -> Refusal | None:
        told = headers.get("content-length", "0")
        if told.isdigit() and int(told) > self._most:
            return _too_large(self._most).refusal
        return None

    def _too_many(self, headers: dict[str, str]) -> Refusal | None:
        """Before a body is read: whether there is room for it beside those that are held."""
        told = headers.get("content-length", "")
        size = int(told) if told.isdigit() else self._most if "transfer-encoding" in headers else 0
        if not self._budget.take(size, small=size <= SPARE_BYTES):
            return _busy().refusal
        self._held = size
        self._slow = (
            asyncio.get_running_loop().call_later(QUICK_SECONDS, self._hold_no_more_than_came) if size else None
        )
        return None

    def _hold_no_more_than_came(self) -> None:
        """Who sends slowly does not keep others out by what was announced."""
        if not self._whole and self._held > self._read:
            self._budget.give_back(self._held - self._read)
            self._held = self._read

    async def _limited(self) -> Message:
        """The body, within its bytes and its seconds."""
        left = self._begun + self._settings.body_seconds - time.monotonic()
        if self._status or self._whole:  # nothing more comes: only the end of the connection is awaited
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.0))
        except TimeoutError:
            seconds = f"{self._settings.body_seconds:g}"
            raise TooMuch(408, "too_slow", f"the body did not arrive within {seconds} seconds") from None
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            raise _too_large(self._most)
        if (more := self._read - self._held) > 0:  # beyond what was announced, or by who is slow
            if not self._budget.take(more, small=self._read <= SPARE_BYTES):
                raise _busy()
            self._held += more
        self._whole = not message.get("more_body", False)
        return message

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            added = [*HEADERS.items(), ("x-request-id", self._name), ("cache-control", "no-store")]
            message["headers"] = [
                *message["headers"],
                *((k.encode(), v.encode()) for k, v in added if k.encode() not in given),
            ]
        # A client that does not read must not hold its answer for ever.
        await asyncio.wait_for(self._send(message), SEND_SECONDS)

    async def _refused(self, refusal: Refusal) -> None:
        if self._status:
            return
        self._metrics.add("lookalike_refused_total", reason=refusal.kind)
        body = json.dumps({"error": refusal.kind, "message": refusal.message}).encode()
        head = [("content-type", "application/json"), ("content-length", str(len(body))), *refusal.headers]
        pairs = [(name.encode(), value.encode()) for name, value in head]
        await self._sent({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self._sent({"type": "http.response.body", "body": body if self._scope["method"] != "HEAD" else b""})

    def _noted(self, client: str) -> None:
        route = getattr(self._scope.get("route"), "path", "other")
        seconds = time.monotonic() - self._begun
        method = self._scope["method"] if self._scope["method"] in KNOWN else "other"
        self._metrics.add("lookalike_requests_total", route=route, method=method, status=str(self._status))
        if route != "/v1/jobs/{job}/events":
            self._metrics.observe(route, seconds)
        if log.isEnabledFor(logging.INFO):
            told = {
                "request": self._name,
                "client": client,
                "method": method,
                "route": route,
                "status": self._status,
                "ms": round(seconds * 1000, 1),
                "bytes_in": self._read,
            }
            log.info("request", extra={"told": told})


KNOWN = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def settings_bytes(settings: Settings) -> int:
    """The largest body: a form with several pictures, of which each has its own limit."""
    return settings.max_bytes * 2 + SPARE_BYTES


def _busy() -> TooMuch:
    return TooMuch(503, "busy", "too many pictures are being looked at; try again in a moment", wait=2)


def _too_large(most: int) -> TooMuch:
    return TooMuch(413, "too_large", f"the request has more than {most:,} bytes; send a smaller picture")
