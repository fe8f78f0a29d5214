"""Startup: check that the address is free before loading anything, and report when the server listens."""

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from lookalike.server.process.settings import ServerError, Settings

POLL_SECONDS = 0.1
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address to connect to


def check_address(settings: Settings) -> None:
    """Raise ServerError if the server cannot listen on its address."""
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _cannot_listen(settings, error) from None
    results = [_bind_error(family, address) for family, _, _, _, address in addresses]
    failures = [failure for failure in results if failure is not None]
    # Without IPv6 one address of localhost fails, which is fine; a port in use is an error on any address.
    if fatal := [f for f in failures if f.errno == errno.EADDRINUSE or len(failures) == len(addresses)]:
        raise _cannot_listen(settings, fatal[0])


def _cannot_listen(settings: Settings, error: OSError) -> ServerError:
    return ServerError(
        f"the server cannot listen on {settings.host}:{settings.port} ({error.strerror or type(error).__name__}); "
        "if the address is in use, choose another --port or --host"
    )


def _bind_error(family: socket.AddressFamily, address: tuple[object, ...]) -> OSError | None:
    """Return the error of binding to the address, or None."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            if os.name == "posix":
                # As the server does; on Windows the option would allow two servers to share the port.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
    except OSError as error:
        return error
    return None


@contextmanager
def notify_when_listening(settings: Settings, opened: Callable[[], None] | None) -> Iterator[None]:
    """Call `opened` once the address accepts connections, unless the block ends first."""
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLL_SECONDS):
            if _is_listening(settings):
                if opened is not None and not ended.is_set():
                    opened()
                return

    threading.Thread(target=poll, name="startup", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


@contextmanager
def on_signal(*callbacks: Callable[[], None]) -> Iterator[None]:
    """Call the callbacks on SIGTERM and SIGINT before the existing handlers, until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        for callback in callbacks:
            callback()
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_listening(settings: Settings) -> bool:
    address = (WILDCARDS.get(settings.host, settings.host), settings.port)
    with suppress(OSError), socket.create_connection(address, timeout=1) as sock:
        # If nobody listens, the system may assign the target port to this socket and connect it to itself.
        return bool(sock.getsockname() != sock.getpeername())
    return False
