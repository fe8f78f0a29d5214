"""Getting a picture by URL without being made to ask our own network: public addresses only, looked at every time.

The name is resolved here and the connection goes to the very address that was checked, so a name that changes its
answer in between gains nothing; each redirect starts again from the beginning. One deadline holds for all of it,
however slowly the other side goes: a timer closes the connection.
"""

import asyncio
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

from starlette.requests import ClientDisconnect

from lookalike.errors import BadQuery
from lookalike.server.service.batcher import Busy

SECONDS = 10.0
REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
BLOCK = 65536
MOVED = (301, 302, 303, 307, 308)

THREADS, MAX_WAITING = 8, 32  # of our own: however slow other servers are, nothing else waits for them
LOOK_SECONDS = 0.5  # between looks at whether who asked is still there

Resolve = Callable[[str, int], Sequence[str]]
Gone = Callable[[], Awaitable[bool]]


class Forbidden(BadQuery):
    """A URL that this server will not ask."""


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name. Raises BadQuery when there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BadQuery(f"the name {host[:100]!r} has no address; check the URL") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def is_public(address: str) -> bool:
    """Whether an address belongs to the public network, also where one address is dressed as another."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:  # fec0::/10, given up in 2004 and routed in some houses still
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class Fetcher:
    """`resolve`, `public` and `ports` are what tests replace to reach a server of their own."""

    def __init__(
        self,
        max_bytes: int,
        *,
        seconds: float = SECONDS,
        resolve: Resolve = resolve,
        public: Callable[[str], bool] = is_public,
        ports: Sequence[int] = (80, 443),
    ) -> None:
        self._max_bytes, self._seconds = max_bytes, seconds
        self._resolve, self._public, self._ports = resolve, public, ports
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        self._waiting = 0

    async def fetch(self, url: str, gone: Gone | None = None) -> bytes:
        """`get` in a thread of our own few. `gone`: whether who asked has left; then it ends. Raises Busy, as `get`."""
        if self._waiting >= MAX_WAITING:
            raise Busy("too many URLs are being asked; try again in a moment")
        self._waiting += 1
        exchange = Exchange()
        deadline = time.monotonic() + self._seconds + LOOK_SECONDS  # for looking a name up has no limit of its own
        task = asyncio.get_running_loop().run_in_executor(self._pool, self.get, url, exchange)
        task.add_done_callback(self._done)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=LOOK_SECONDS)
                if done:
                    return task.result()
                _left(deadline)
                if gone is not None and await gone():
                    raise ClientDisconnect
        finally:
            exchange.end()
            task.cancel()  # what has not begun never will

    def _done(self, ended: "asyncio.Future[bytes]") -> None:
        """Only now there is room for another: what a client left behind may still be looking a name up."""
        self._waiting -= 1
        if not ended.cancelled():
            ended.exception()  # somebody has looked at it

    def get(self, url: str, exchange: "Exchange | None" = None) -> bytes:
        """The bytes at a URL. Raises Forbidden, or BadQuery with the reason."""
        exchange = exchange or Exchange()
        if exchange.ended:
            _left(0)
        deadline = time.monotonic() + self._seconds
        timer = threading.Timer(self._seconds, exchange.end)
        timer.daemon = True
        timer.start()
        try:
            return self._followed(url, deadline, exchange)
        finally:
            timer.cancel()

    def _followed(self, url: str, deadline: float, exchange: "Exchange") -> bytes:
        for _ in range(REDIRECTS + 1):
            try:
                status, body, moved = self._once(url, deadline, exchange)
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                if exchange.ended:  # a connection that is closed under its reader fails in any of these ways
                    _left(0)
                if isinstance(error, AttributeError):
                    raise
                raise BadQuery(f"the URL cannot be read ({type(error).__name__}); try again, or upload it") from None
            if exchange.ended:  # what was there by then looks whole to the reader
                _left(0)
            if moved is None:
                if status != 200:
                    raise BadQuery(f"the URL answers with status {status}; check it")
                return body
            url = urljoin(url, moved)
        raise BadQuery(f"the URL redirects more than {REDIRECTS} times; give the last one")

    def _once(self, url: str, deadline: float, exchange: "Exchange") -> tuple[int, bytes, str | None]:
        scheme, host, port, target = self._checked(url)
        address = self._address(host, port)
        connection = _connected(scheme, host, address, port, _left(deadline), exchange)
        try:
            connection.request("GET", target, headers={"Host": _host_header(url), "Accept": "image/*"})
            answer = connection.getresponse()
            if answer.status in MOVED:
                return answer.status, b"", answer.getheader("Location") or ""
            return answer.status, self._body(answer, connection, deadline), None
        finally:
            connection.close()

    def _checked(self, url: str) -> tuple[str, str, int, str]:
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            raise Forbidden("that is not a URL; give one that begins with https://") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise Forbidden("only http and https URLs are asked; give one that begins with https://")
        if parts.username is not None or parts.password is not None:
            raise Forbidden("a URL with a name or password in it is not asked; leave them out")
        if port not in self._ports:
            raise Forbidden(f"port {port} is not asked, only 80 and 443")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if any(c <= " " or c > "~" for c in target):
            raise Forbidden("the URL holds characters that must be written as %XX")
        return parts.scheme, parts.hostname, port, target

    def _address(self, host: str, port: int) -> str:
        """The first address, if every one of them is public: a name with one private address is not trusted at all."""
        addresses = self._resolve(host, port)
        if not addresses or not all(map(self._public, addresses)):
            raise Forbidden(f"{host[:100]} is not on the public network, and nothing else is asked")
        return addresses[0]

    def _body(self, answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float) -> bytes:
        told = (answer.getheader("Content-Length") or "").strip()
        if told.isdigit() and int(told) > self._max_bytes:
            raise BadQuery(f"the picture at the URL has more than {self._max_bytes:,} bytes; upload a smaller one")
        parts: list[bytes] = []
        size = 0
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(_left(deadline))
            block = answer.read1(BLOCK)
            if not block:
                return b"".join(parts)
            parts.append(block)
            size += len(block)
            if size > self._max_bytes:
                raise BadQuery(f"the picture at the URL has more than {self._max_bytes:,} bytes; upload a smaller one")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise BadQuery("the URL takes too long to answer; upload the picture instead")
    return left


class Exchange:
    """One request and its answer, which another thread may end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.ended = False

    def uses(self, sock: socket.socket) -> None:
        """The connection from now on."""
        with self._lock:
            self._socket = sock
            if self.ended:
                self._close()

    def end(self) -> None:
        """Close the connection under whoever reads from it."""
        with self._lock:
            self.ended = True
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # Of the plain socket also below TLS, whose own layer belongs to the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _connected(
    scheme: str, host: str, address: str, port: int, seconds: float, exchange: Exchange
) -> http.client.HTTPConnection:
    """A connection to the address that was checked; for https the certificate must still be the name's."""
    deadline = time.monotonic() + seconds
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    sock = socket.create_connection((address, port), timeout=seconds)
    exchange.uses(sock)
    if scheme == "https":
        context = ssl.create_default_context()
        secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        exchange.uses(secure)
        try:
            secure.settimeout(_left(deadline))
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        sock = secure
    connection.sock = sock
    return connection


def _host_header(url: str) -> str:
    return urlsplit(url).netloc
