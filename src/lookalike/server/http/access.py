"""Access control: Host and Origin checks, tokens, session cookies and rate limits."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from lookalike.server.process.settings import Settings, Tokens, is_loopback

COOKIE = "lookalike"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Reachable without a token: the static files hold no data, and monitoring has no token.
PUBLIC_PATHS = ("/healthz", "/readyz", "/v1/login", "/openapi.json", "/docs", "/static/", "/favicon.ico")
PAGE_PATHS = ("/", "/duplicates", "/clusters", "/labels", "/map", "/collection")
# Not counted against the rate: monitoring, and the static files that the page needs to show a refusal.
RATE_EXEMPT = ("/healthz", "/readyz", "/static/", "/favicon.ico")
HOST_EXEMPT = ("/healthz",)  # monitoring uses the bare address; the response holds no data
THUMBNAIL_COST = 0.05  # of a request: the page loads up to sixty at once, and each is read as stored
READ_ONLY_POSTS = ("/v1/search", "/v1/search/batch", "/v1/queries", "/v1/compare")  # allowed with the read token
MAX_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """The response to a request that is not admitted."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class AccessControl:
    """Checks the method, path, headers and client address of each request."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings, self._tokens = settings, tokens
        self._any_host = not is_loopback(settings.host) and not settings.hosts
        self._hosts = {"127.0.0.1", "localhost", "::1", settings.host.lower(), *map(str.lower, settings.hosts)}
        self._public_hosts = {name.lower() for name in settings.hosts}
        self._limiter = RateLimiter(settings.rate)

    def refuse(self, method: str, path: str, headers: Mapping[str, str], client: str) -> Refusal | None:
        """Return the first reason to refuse the request, or None to admit it."""
        return (
            self._check_rate(client, path)
            or (None if path in HOST_EXEMPT else self._check_host(headers.get("host", "")))
            or self._check_origin(method, headers)
            or self._check_token(method, path, headers)
        )

    def session(self, token: str) -> str | None:
        """Return the cookie value for a valid token. It holds no secret and expires when the token is changed."""
        role = self._role_of(token)
        return f"{role}.{_session_digest(self._secret(role), role)}" if role else None

    def may_write(self, headers: Mapping[str, str]) -> bool:
        """Return whether the sender of these headers may change the collection."""
        return not self._settings.read_only and (not self._tokens.needed or self._role(headers) == "write")

    def _check_rate(self, client: str, path: str) -> Refusal | None:
        if path in PAGE_PATHS or path.startswith(RATE_EXEMPT):
            return None
        wait = self._limiter.wait(client, THUMBNAIL_COST if path.endswith("/thumbnail") else 1.0)
        if wait <= 0:
            return None
        message = f"your address exceeds {self._settings.rate:g} requests per second; try again in a moment"
        return Refusal(429, "too_many_requests", message, (("retry-after", str(int(wait) + 1)),))

    def _check_host(self, host: str) -> Refusal | None:
        """Refuse unknown host names: under DNS rebinding, a foreign page reaches this server by its own name."""
        name = _host_name(host)
        if (self._any_host and name) or name in self._hosts:
            return None
        return Refusal(
            421, "wrong_host", "this server does not answer to that host name; start it with --allow-host NAME"
        )

    def _check_origin(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """Refuse requests from pages of other sites."""
        origin = headers.get("origin")
        fetch_site = headers.get("sec-fetch-site")
        if fetch_site == "same-origin":
            return None  # set by the browser; a page cannot forge it. A proxy may have changed the host.
        foreign = origin is not None and not self._is_own_origin(origin, headers.get("host", ""))
        unsafe = method not in SAFE_METHODS
        if (unsafe and (foreign or fetch_site in ("cross-site", "same-site"))) or (foreign and origin != "null"):
            return Refusal(403, "other_site", "requests from pages of other sites are refused")
        return None

    def _is_own_origin(self, origin: str, host: str) -> bool:
        """Return whether an origin is this server under `host` or one of its allowed names."""
        parts = urlsplit(origin) if _is_valid_url(origin) else None
        if parts is None or not parts.netloc:
            return False
        try:
            default_port = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
        except ValueError:
            return False
        return parts.netloc == host or (default_port and (parts.hostname or "") in self._public_hosts)

    def _check_token(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        if not self._tokens.needed or path in PAGE_PATHS or path.startswith(PUBLIC_PATHS):
            return None
        role = self._role(headers)
        writes = method not in SAFE_METHODS and not (method == "POST" and path in READ_ONLY_POSTS)
        if role == "write" or (role == "read" and not writes):
            return None
        if role is None:
            challenge = (("www-authenticate", "Bearer"),)
            return Refusal(401, "token_needed", "send the header `Authorization: Bearer TOKEN`", challenge)
        return Refusal(403, "may_not_write", "this token is read-only; use the write token")

    def _role(self, headers: Mapping[str, str]) -> str | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._role_of(token.strip())
        role, _, session = _cookie(headers.get("cookie", "")).partition(".")
        secret = self._secret(role)
        valid = bool(secret) and hmac.compare_digest(_session_digest(secret, role).encode(), session.encode())
        return role if valid else None

    def _role_of(self, token: str) -> str | None:
        """Return "read" or "write". Both secrets are always compared, so that the duration reveals nothing."""
        writes = hmac.compare_digest(self._tokens.write.encode(), token.encode("utf-8", "replace"))
        reads = hmac.compare_digest(self._tokens.read.encode(), token.encode("utf-8", "replace"))
        if writes and self._tokens.write:
            return "write"
        return "read" if reads and self._tokens.read else None

    def _secret(self, role: str | None) -> str:
        return {"read": self._tokens.read, "write": self._tokens.write}.get(role or "", "")


class RateLimiter:
    """A token bucket per client: `rate` requests per second, in bursts of up to two seconds' worth.

    Each worker keeps its own buckets: a client on one connection uses one bucket, a client on many connections uses one
    per worker. Dividing the rate among workers would halve the rate of clients on a single connection.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._capacity = rate, max(2 * rate, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """Return 0 and charge `cost` if the client may proceed, else the seconds until it may."""
        if self._rate <= 0:
            return 0.0
        now = time.monotonic()
        level, then = self._buckets.pop(client, (self._capacity, now))
        level = min(self._capacity, level + (now - then) * self._rate)
        allowed = level >= cost
        self._buckets[client] = (level - cost if allowed else level, now)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (cost - level) / self._rate


def _session_digest(secret: str, role: str) -> str:
    return hmac.new(secret.encode(), f"lookalike session {role}".encode(), hashlib.sha256).hexdigest()


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _host_name(host: str) -> str:
    """Return the host name in a Host header, or "" if there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_valid_url(address: str) -> bool:
    """Return whether `urlsplit` accepts the address."""
    try:
        return urlsplit(address if "//" in address else f"//{address}") is not None
    except ValueError:
        return False


def header_dict(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of an ASGI scope by lower-case name; the last of repeated headers wins."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
