"""Who may come in: the name by which the server is called, other sites, tokens, and how often."""

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
SAFE = ("GET", "HEAD", "OPTIONS")
# What is open without a token: the page's own files hold nothing, and health is for whoever watches the process.
OPEN = ("/healthz", "/readyz", "/v1/login", "/openapi.json", "/static/", "/favicon.ico")
PAGES = ("/", "/duplicates", "/clusters", "/labels", "/map", "/collection")
# What does not count: the page's own files, without which nobody sees why something is refused, and who watches us.
FREE = ("/healthz", "/readyz", "/static/", "/favicon.ico")
ANY_HOST = ("/healthz",)  # whoever watches the process calls it by its address; nothing is told
THUMBNAIL = 0.05  # of a request: the page shows up to sixty at once, and each is read as it lies there
CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not come in."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Gate:
    """Looks at a request's head. `None` lets it in."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings, self._tokens = settings, tokens
        self._any_host = not is_loopback(settings.host) and not settings.hosts
        self._hosts = {"127.0.0.1", "localhost", "::1", settings.host.lower(), *map(str.lower, settings.hosts)}
        self._names = {name.lower() for name in settings.hosts}
        self._rate = Rate(settings.rate)

    def refuse(self, method: str, path: str, headers: Mapping[str, str], client: str) -> Refusal | None:
        """The first reason against it."""
        return (
            self._rated(client, path)
            or (None if path in ANY_HOST else self._host(headers.get("host", "")))
            or self._site(method, headers)
            or self._token(method, path, headers)
        )

    def session(self, token: str) -> str | None:
        """The cookie's value for a good token. It holds no secret, and dies when the token is changed."""
        role = self._role_of(token)
        return f"{role}.{_session(self._secret(role), role)}" if role else None

    def may_write(self, headers: Mapping[str, str]) -> bool:
        """Whether who sends these may change the collection."""
        return not self._settings.read_only and (not self._tokens.needed or self._role(headers) == "write")

    def _rated(self, client: str, path: str) -> Refusal | None:
        if path in PAGES or path.startswith(FREE):
            return None
        wait = self._rate.wait(client, THUMBNAIL if path.endswith("/thumbnail") else 1.0)
        if wait <= 0:
            return None
        message = f"more than {self._settings.rate:g} requests a second came from your address; wait a moment"
        return Refusal(429, "too_many_requests", message, (("retry-after", str(int(wait) + 1)),))

    def _host(self, told: str) -> Refusal | None:
        """A page elsewhere whose name suddenly leads here (DNS rebinding) calls us by a name that is not ours."""
        name = _name_of(told)
        if (self._any_host and name) or name in self._hosts:
            return None
        return Refusal(421, "wrong_host", "this server is not called by that name; start it with --allow-host NAME")

    def _site(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """What another site's page sends in a visitor's name is turned away; nothing here is for other sites."""
        origin = headers.get("origin")
        fetched = headers.get("sec-fetch-site")
        if fetched == "same-origin":
            return None  # said by the browser, and no page can make it say so; a proxy may have changed the host
        strange = origin is not None and not self._is_ours(origin, headers.get("host", ""))
        unsafe = method not in SAFE
        if (unsafe and (strange or fetched in ("cross-site", "same-site"))) or (strange and origin != "null"):
            return Refusal(403, "other_site", "requests from pages of other sites are not answered")
        return None

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page's origin is this server, as it is called or may be called."""
        parts = urlsplit(origin) if _sound(origin) else None
        if parts is None or not parts.netloc:
            return False
        try:
            usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
        except ValueError:
            return False
        return parts.netloc == host or (usual and (parts.hostname or "") in self._names)

    def _token(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        if not self._tokens.needed or path in PAGES or path.startswith(OPEN):
            return None
        role = self._role(headers)
        writes = method not in SAFE and not (method == "POST" and path in READING_POSTS)
        if role == "write" or (role == "read" and not writes):
            return None
        if role is None:
            asked = (("www-authenticate", "Bearer"),)
            return Refusal(401, "token_needed", "send the header `Authorization: Bearer TOKEN`", asked)
        return Refusal(403, "may_not_write", "this token may read, not write; use the other one")

    def _role(self, headers: Mapping[str, str]) -> str | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._role_of(token.strip())
        role, _, session = _cookie(headers.get("cookie", "")).partition(".")
        secret = self._secret(role)
        good = bool(secret) and hmac.compare_digest(_session(secret, role).encode(), session.encode())
        return role if good else None

    def _role_of(self, token: str) -> str | None:
        """Both are compared, whole, whatever the first says: the time tells nothing."""
        writes = hmac.compare_digest(self._tokens.write.encode(), token.encode("utf-8", "replace"))
        reads = hmac.compare_digest(self._tokens.read.encode(), token.encode("utf-8", "replace"))
        if writes and self._tokens.write:
            return "write"
        return "read" if reads and self._tokens.read else None

    def _secret(self, role: str | None) -> str:
        return {"read": self._tokens.read, "write": self._tokens.write}.get(role or "", "")


READING_POSTS = ("/v1/search", "/v1/queries", "/v1/compare")


class Rate:
    """A bucket of tokens for each client: `rate` a second, with two seconds' worth at once.

    Each worker has its own: a client that comes back on one connection meets one bucket, one with many connections as
    many as there are workers. Shares of the rate would lock the first out for what the second does.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(2 * rate, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """Seconds until this client may ask again; 0 for now, and then it has asked."""
        if self._rate <= 0:
            return 0.0
        now = time.monotonic()
        level, then = self._buckets.pop(client, (self._most, now))
        level = min(self._most, level + (now - then) * self._rate)
        allowed = level >= cost
        self._buckets[client] = (level - cost if allowed else level, now)
        while len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (cost - level) / self._rate


def _session(secret: str, role: str) -> str:
    return hmac.new(secret.encode(), f"lookalike session {role}".encode(), hashlib.sha256).hexdigest()


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _name_of(host: str) -> str:
    """The name in a Host header; nothing where it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _sound(address: str) -> bool:
    """Whether urlsplit will take it."""
    try:
        return urlsplit(address if "//" in address else f"//{address}") is not None
    except ValueError:
        return False


def lowered(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """An ASGI request's headers by name, the last of each."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
