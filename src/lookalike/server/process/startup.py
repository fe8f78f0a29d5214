"""Whether an address can be listened on, asked before anything is loaded, and the moment from which it answers."""

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from lookalike.server.process.settings import ServerError, Settings

LOOK_SECONDS = 0.1
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where one asks who listens everywhere


def check_address(settings: Settings) -> None:
    """Raise ServerError where the server could not listen."""
    try:
        asked = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _refused(settings, error) from None
    failed = [why for family, _, _, _, address in asked if (why := _try(family, address))]
    # A machine without IPv6 has a localhost all the same; a port that is taken is taken.
    if taken := [why for why in failed if why.errno == errno.EADDRINUSE or len(failed) == len(asked)]:
        raise _refused(settings, taken[0])


def _refused(settings: Settings, error: OSError) -> ServerError:
    return ServerError(
        f"the server cannot listen on {settings.host}:{settings.port} ({error.strerror or type(error).__name__}); "
        "is another server there already? choose another --port, or another --host"
    )


def _try(family: socket.AddressFamily, address: tuple[object, ...]) -> OSError | None:
    """What listening there would fail with."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will; elsewhere it is more
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
    except OSError as error:
        return error
    return None


@contextmanager
def told_when_open(settings: Settings, opened: Callable[[], None] | None) -> Iterator[None]:
    """Call `opened` as soon as somebody listens; never where the block ends before."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if _listens(settings):
                if opened is not None and not over.is_set():
                    opened()
                return

    threading.Thread(target=look, name="opening", daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def on_signal(call: Callable[[], None]) -> Iterator[None]:
    """While this lasts, SIGTERM and SIGINT also make the call, before what they do anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def both(number: int, frame: FrameType | None) -> None:
        call()
        usual = before[signal.Signals(number)]
        if callable(usual):
            usual(number, frame)

    for number in before:
        signal.signal(number, both)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


def _listens(settings: Settings) -> bool:
    address = (ANY.get(settings.host, settings.host), settings.port)
    with suppress(OSError), socket.create_connection(address, timeout=1) as sock:
        # Where nobody listens the system may give this end the very port that it asks for, and join it to itself.
        return bool(sock.getsockname() != sock.getpeername())
    return False
