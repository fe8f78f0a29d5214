"""Read images from the web: few requests at a time to each host, and again after a while where that may help."""

import re
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from lookalike.errors import BadQuery, UnreadableImage
from lookalike.image.decoding.limits import Limits
from lookalike.image.sources.url_reader import (
    FailedStatus,
    ForbiddenUrl,
    PrivateUrl,
    TooManyBytes,
    TooManyRedirects,
    UrlReader,
)

REQUESTS_PER_HOST = 8
PAUSES = (1.0, 4.0)  # seconds before the second and the third try
MAX_FAILURES = 10  # of a host in a row; then one request at a time finds out whether it answers again
PROBE_PAUSES = (2.0, 4.0, 8.0, 16.0)  # seconds before each of these; after the last, the host is given up
GIVEN_UP_SECONDS = 300.0
MAX_HOSTS = 10_000  # known at a time: a kilobyte each, and tables may name millions
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
ANY_PORT = range(1, 65536)
_WEB = re.compile(r"https?://", re.I)


class RefusedByWeb(UnreadableImage):
    """There is no such image, or nobody may read it: another run would get the same answer."""


@dataclass(slots=True)
class _Host:
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(REQUESTS_PER_HOST))
    probing: threading.Lock = field(default_factory=threading.Lock)
    failures: int = 0
    probes: int = 0
    given_up_until: float = 0.0

    def note_answer(self) -> None:
        self.failures = self.probes = 0


def is_web(path: str) -> bool:
    """Return whether a path is an address in the web."""
    return _WEB.match(path) is not None


def read_url(url: str, limits: Limits) -> bytes:
    """Read the bytes at a URL within limits; private addresses only with `limits.allow_private`.

    Raises RefusedByWeb, or UnreadableImage where a later run or other limits may succeed.
    """
    host = _host(url)
    for pause in (*PAUSES, None):
        try:
            return _read(url, limits, host)
        except FailedStatus as error:
            host.note_answer()
            if error.status not in TRANSIENT:
                raise RefusedByWeb(_reason(error)) from error
            failure: BadQuery = error
        except PrivateUrl as error:
            raise UnreadableImage(f"{_reason(error)}; if you trust its table, add --allow-private") from error
        except (ForbiddenUrl, TooManyBytes, TooManyRedirects) as error:
            raise UnreadableImage(_reason(error)) from error
        except BadQuery as error:
            host.failures += 1
            failure = error
        if pause is None:
            break
        time.sleep(pause)
    raise UnreadableImage(_reason(failure)) from failure


def _read(url: str, limits: Limits, host: _Host) -> bytes:
    """Make one request. While a host does not answer, one caller after the other waits, and asks."""
    reader = _reader(limits.max_bytes, limits.allow_private)
    if host.failures < MAX_FAILURES:
        with host.slots:
            data = reader.get(url)
    else:
        with host.probing:
            if host.failures >= MAX_FAILURES:
                _wait(host)
            data = reader.get(url)
    host.note_answer()
    if not data:
        raise RefusedByWeb("is empty (0 bytes)")
    return data


def _wait(host: _Host) -> None:
    """Wait until a host may be asked again. Raises UnreadableImage if it was given up."""
    if host.probes >= len(PROBE_PAUSES):
        if time.monotonic() < host.given_up_until:
            raise UnreadableImage("its host does not answer; it is asked again by the next run")
        host.probes = 0
    time.sleep(PROBE_PAUSES[host.probes])
    host.probes += 1
    host.given_up_until = time.monotonic() + GIVEN_UP_SECONDS


def _host(url: str) -> _Host:
    try:
        return _known_host(urlsplit(url).netloc.lower())
    except ValueError:
        return _known_host("")


@lru_cache(maxsize=MAX_HOSTS)
def _known_host(_name: str) -> _Host:
    return _Host()


@lru_cache(maxsize=4)
def _reader(max_bytes: int, allow_private: bool) -> UrlReader:  # noqa: FBT001 - the key of the cache
    if allow_private:
        return UrlReader(max_bytes, public=lambda _: True, ports=ANY_PORT)
    return UrlReader(max_bytes)


def _reason(error: BadQuery) -> str:
    """Return what went wrong, without the advice for a person who has typed the URL."""
    return error.reason.removeprefix("the URL ")
