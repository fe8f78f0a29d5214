"""Fetch an image by URL from public addresses only, protected against server-side request forgery.

The host name is resolved here and the connection goes to the address that was checked, so a name that resolves
differently later gains nothing; each redirect is checked again. One deadline covers the whole exchange: a timer closes
the connection.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from urllib.parse import urljoin, urlsplit

from lookalike.errors import BadQuery

SECONDS = 10.0
MAX_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
BLOCK_BYTES = 65536
REDIRECT_STATUSES = (301, 302, 303, 307, 308)

Resolve = Callable[[str, int], Sequence[str]]


class TooManyRedirects(BadQuery):
    """A URL leads from one to another without an end."""


class ForbiddenUrl(BadQuery):
    """A URL that is not read, whatever is there."""


class TooManyBytes(BadQuery):
    """What is at a URL is larger than it may be."""


class PrivateUrl(ForbiddenUrl):
    """A URL that leads to a host that is not public, or to another port."""


class FailedStatus(BadQuery):
    """The server of a URL answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the URL returned status {status}", hint="check it")
        self.status = status


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host name. Raises BadQuery if there is none."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BadQuery(f"the name {host[:100]!r} has no address", hint="check the URL") from None
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def is_public(address: str) -> bool:
    """Return whether an address is public, including IPv4 addresses embedded in IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(str(embedded))
        if ip.is_site_local:  # fec0::/10, deprecated in 2004 but still routed in some networks
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class UrlReader:
    """Reads URLs. Tests replace `resolve`, `public` and `ports` to reach a local server. Thread-safe."""

    def __init__(
        self,
        max_bytes: int,
        *,
        seconds: float = SECONDS,
        resolve: Resolve = resolve,
        public: Callable[[str], bool] = is_public,
        ports: Collection[int] = (80, 443),
    ) -> None:
        self._max_bytes, self._seconds = max_bytes, seconds
        self._resolve, self._public, self._ports = resolve, public, ports

    def get(self, url: str, exchange: "Exchange | None" = None) -> bytes:
        """Return the bytes at a URL. Raises ForbiddenUrl, or BadQuery with the reason."""
        exchange = exchange or Exchange()
        if exchange.ended:
            remaining(0)
        deadline = time.monotonic() + self._seconds
        timer = threading.Timer(self._seconds, exchange.end)
        timer.daemon = True
        timer.start()
        try:
            return self._follow(url, deadline, exchange)
        finally:
            timer.cancel()

    def _follow(self, url: str, deadline: float, exchange: "Exchange") -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            try:
                status, body, location = self._request(url, deadline, exchange)
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                # Closing a connection under its reader raises any of these; under load the socket's own timeout, which
                # is the rest of the same deadline, comes before the timer.
                if exchange.ended or isinstance(error, TimeoutError):
                    remaining(0)
                if isinstance(error, AttributeError):
                    raise
                raise BadQuery(
                    f"the URL cannot be read ({type(error).__name__})", hint="try again, or upload it"
                ) from None
            if exchange.ended:  # a body cut off by the timer looks complete
                remaining(0)
            if location is None:
                if status != 200:
                    raise FailedStatus(status)
                return body
            url = urljoin(url, location)
        raise TooManyRedirects(f"the URL redirects more than {MAX_REDIRECTS} times", hint="send the final URL")

    def _request(self, url: str, deadline: float, exchange: "Exchange") -> tuple[int, bytes, str | None]:
        scheme, host, port, target = self._parse(url)
        address = self._public_address(host, port)
        connection = _connect(scheme, host, address, port, remaining(deadline), exchange)
        try:
            connection.request("GET", target, headers={"Host": _host_header(url), "Accept": "image/*"})
            # A response with "Connection: close" owns the socket: closing the connection would not close it.
            with closing(connection.getresponse()) as response:
                if response.status in REDIRECT_STATUSES:
                    return response.status, b"", response.getheader("Location") or ""
                return response.status, self._read_body(response, connection, deadline, exchange), None
        finally:
            connection.close()

    def _parse(self, url: str) -> tuple[str, str, int, str]:
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            raise ForbiddenUrl("this is not a URL", hint="send one that begins with https://") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise ForbiddenUrl("only http and https URLs are fetched", hint="send one that begins with https://")
        if parts.username is not None or parts.password is not None:
            raise ForbiddenUrl("URLs with a user name or password are not fetched", hint="leave them out")
        if port not in self._ports:
            raise PrivateUrl(f"port {port} is not allowed, only 80 and 443")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if any(c <= " " or c > "~" for c in target):
            raise ForbiddenUrl("the URL contains characters that must be percent-encoded")
        return parts.scheme, parts.hostname, port, target

    def _public_address(self, host: str, port: int) -> str:
        """Return the first address of a host, provided that all of its addresses are public."""
        addresses = self._resolve(host, port)
        if not addresses or not all(map(self._public, addresses)):
            raise PrivateUrl(f"{host[:100]} is not a public host, and no other hosts are fetched")
        return addresses[0]

    def _read_body(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        deadline: float,
        exchange: "Exchange",
    ) -> bytes:
        length = (response.getheader("Content-Length") or "").strip()
        if length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(remaining(deadline))
            block = response.read1(BLOCK_BYTES)
            if not block:
                if exchange.ended:  # a body cut off by the timer has an end as well
                    remaining(0)
                if length.isdigit() and size != int(length):
                    raise BadQuery(f"the URL sent {size:,} of {int(length):,} bytes", hint="try again")
                return b"".join(parts)
            parts.append(block)
            size += len(block)
            if size > self._max_bytes:
                raise self._too_large()

    def _too_large(self) -> TooManyBytes:
        return TooManyBytes(f"the image at the URL exceeds {self._max_bytes:,} bytes", hint="upload a smaller one")


def remaining(deadline: float) -> float:
    """Return the seconds until the deadline. Raises BadQuery if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise BadQuery("the URL takes too long to respond", hint="upload the image instead")
    return seconds


class Exchange:
    """One request and its response, which another thread can end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.ended = False

    def attach(self, sock: socket.socket) -> None:
        """Set the socket to close when the exchange ends."""
        with self._lock:
            self._socket = sock
            if self.ended:
                self._close()

    def end(self) -> None:
        """Close the connection, also while another thread reads from it."""
        with self._lock:
            self.ended = True
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # Shut down the plain socket below TLS; the TLS layer belongs to the reading thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _connect(
    scheme: str, host: str, address: str, port: int, seconds: float, exchange: Exchange
) -> http.client.HTTPConnection:
    """Connect to the checked address; for https the certificate must match the host name."""
    deadline = time.monotonic() + seconds
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    sock = socket.create_connection((address, port), timeout=seconds)
    exchange.attach(sock)
    if scheme == "https":
        context = ssl.create_default_context()
        secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        exchange.attach(secure)
        try:
            secure.settimeout(remaining(deadline))
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        sock = secure
    connection.sock = sock
    return connection


def _host_header(url: str) -> str:
    return urlsplit(url).netloc
