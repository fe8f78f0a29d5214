"""The outermost ASGI layer: access control, limits on size and time, security headers, logging and metrics."""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from lookalike.server.http.access import AccessControl, Refusal, header_dict
from lookalike.server.http.metrics import Metrics
from lookalike.server.http.problem import PROBLEM_TYPE, problem_content
from lookalike.server.process.settings import LIFESPAN_KEY, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("lookalike.server")
FORM_OVERHEAD = 64 * 1024  # bytes of a form beside its images
MAX_IMAGES = 8
SEND_SECONDS = 60.0
RESERVE_SECONDS = 2.0  # how long the announced size of a body stays reserved
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class RequestLimitExceeded(HTTPException):
    """The body exceeds a limit. An HTTPException, since FastAPI lets no other exception through while it reads JSON."""

    def __init__(self, status: int, kind: str, message: str, *, retry_after: int = 0) -> None:
        super().__init__(status, message)
        retry = (("retry-after", str(retry_after)),) if retry_after else ()
        self.refusal = Refusal(status, kind, message, (("connection", "close"), *retry))


class Budget:
    """The bytes of request bodies held in memory. It belongs to one event loop and needs no lock."""

    def __init__(self, total: int) -> None:
        self._total, self.used = total, 0

    def reserve(self, size: int, *, small: bool) -> bool:
        """Reserve `size` bytes and return whether they fit. Small bodies always fit: they hold no images."""
        if not small and self.used + size > self._total:
            return False
        self.used += size
        return True

    def release(self, size: int) -> None:
        self.used -= size


class RequestGuard:
    """ASGI middleware that admits, limits, logs and counts every request."""

    def __init__(self, app: App, settings: Settings, access: AccessControl, metrics: Metrics) -> None:
        self.app, self.settings, self.access, self.metrics = app, settings, access, metrics
        self.budget = Budget(max(settings.upload_bytes, max_body_bytes(settings)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and "state" in scope:
            scope["state"][LIFESPAN_KEY] = self.settings  # for the protocol, which knows the application's state alone
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root = self.settings.root_path
        path = scope["path"]
        if root and (path == root or path.startswith(f"{root}/")):  # the proxy does not strip the prefix
            scope["path"] = path[len(root) :] or "/"
            if raw := scope.get("raw_path"):
                scope["raw_path"] = raw[len(root.encode()) :] or b"/"
        await _RequestContext(self, scope, receive, send).run()


class _RequestContext:
    """One request: its limits, what has been read and sent, and its log record."""

    def __init__(self, guard: RequestGuard, scope: Scope, receive: Receive, send: Send) -> None:
        self._settings, self._access, self._metrics = guard.settings, guard.access, guard.metrics
        self._app, self._scope, self._receive, self._send = guard.app, scope, receive, send
        self._budget, self._complete = guard.budget, False
        self._timer: asyncio.TimerHandle | None = None
        self._started, self._status, self._read, self._reserved = time.monotonic(), 0, 0, 0
        self._request_id = uuid.uuid4().hex[:12]
        self._max_bytes = max_body_bytes(guard.settings)

    async def run(self) -> None:
        scope = self._scope
        headers = header_dict(scope["headers"])
        client = (scope.get("client") or ("", 0))[0]
        try:
            refusal = (
                self._access.refuse(scope["method"], scope["path"], headers, client)
                or self._check_length(headers)
                or self._reserve_body(headers)
            )
            if refusal is not None:
                await self._refuse(refusal)
            else:
                await self._app(scope, self._receive_limited, self._send_guarded)
        except RequestLimitExceeded as error:
            await self._refuse(error.refusal)
        except Exception:
            log.exception("unexpected", extra={"fields": {"request": self._request_id}})
            await self._refuse(Refusal(500, "unexpected", f"internal error; see the log entry {self._request_id}"))
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._budget.release(self._reserved)
            self._record(client)

    def _check_length(self, headers: dict[str, str]) -> Refusal | None:
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_bytes:
            return _too_large(self._max_bytes).refusal
        return None

    def _reserve_body(self, headers: dict[str, str]) -> Refusal | None:
        """Reserve the announced size of the body before it is read."""
        length = headers.get("content-length", "")
        size = int(length) if length.isdigit() else self._max_bytes if "transfer-encoding" in headers else 0
        if not self._budget.reserve(size, small=size <= FORM_OVERHEAD):
            return _busy().refusal
        self._reserved = size
        self._timer = asyncio.get_running_loop().call_later(RESERVE_SECONDS, self._release_unread) if size else None
        return None

    def _release_unread(self) -> None:
        """Release the bytes that have not arrived, so that slow senders do not block others."""
        if not self._complete and self._reserved > self._read:
            self._budget.release(self._reserved - self._read)
            self._reserved = self._read

    async def _receive_limited(self) -> Message:
        """Receive the next part of the body within the limits on size and time."""
        remaining = self._started + self._settings.body_seconds - time.monotonic()
        if self._status or self._complete:  # the body is complete: only a disconnect can follow
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(remaining, 0.0))
        except TimeoutError:
            seconds = f"{self._settings.body_seconds:g}"
            raise RequestLimitExceeded(408, "too_slow", f"the body did not arrive within {seconds} seconds") from None
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            raise _too_large(self._max_bytes)
        if (more := self._read - self._reserved) > 0:  # more than announced, or released by the timer
            if not self._budget.reserve(more, small=self._read <= FORM_OVERHEAD):
                raise _busy()
            self._reserved += more
        self._complete = not message.get("more_body", False)
        return message

    async def _send_guarded(self, message: Message) -> None:
        """Send with the security headers and a time limit."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            present = {name.lower() for name, _ in message["headers"]}
            added = [*SECURITY_HEADERS.items(), ("x-request-id", self._request_id), ("cache-control", "no-store")]
            message["headers"] = [
                *message["headers"],
                *((k.encode(), v.encode()) for k, v in added if k.encode() not in present),
            ]
        # A client that does not read must not hold the response forever.
        await asyncio.wait_for(self._send(message), SEND_SECONDS)

    async def _refuse(self, refusal: Refusal) -> None:
        if self._status:
            return
        self._metrics.add("lookalike_refused_total", reason=refusal.kind)
        body = json.dumps(problem_content(refusal.kind, refusal.message, refusal.status)).encode()
        headers = [("content-type", PROBLEM_TYPE), ("content-length", str(len(body))), *refusal.headers]
        pairs = [(name.encode(), value.encode()) for name, value in headers]
        await self._send_guarded({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self._send_guarded(
            {"type": "http.response.body", "body": body if self._scope["method"] != "HEAD" else b""}
        )

    def _record(self, client: str) -> None:
        route = getattr(self._scope.get("route"), "path", "other")
        seconds = time.monotonic() - self._started
        method = self._scope["method"] if self._scope["method"] in KNOWN_METHODS else "other"
        self._metrics.add("lookalike_requests_total", route=route, method=method, status=str(self._status))
        if route != "/v1/jobs/{job}/events":
            self._metrics.observe(route, seconds)
        if log.isEnabledFor(logging.INFO):
            fields = {
                "request": self._request_id,
                "client": client,
                "method": method,
                "route": route,
                "status": self._status,
                "ms": round(seconds * 1000, 1),
                "bytes_in": self._read,
            }
            log.info("request", extra={"fields": fields})


def max_body_bytes(settings: Settings) -> int:
    """Return the size limit of a body: a form can hold several images, each with its own limit."""
    return settings.max_bytes * 2 + FORM_OVERHEAD


def _busy() -> RequestLimitExceeded:
    return RequestLimitExceeded(
        503, "busy", "too many images are being processed; try again in a moment", retry_after=2
    )


def _too_large(max_bytes: int) -> RequestLimitExceeded:
    return RequestLimitExceeded(413, "too_large", f"the request exceeds {max_bytes:,} bytes; send a smaller image")
