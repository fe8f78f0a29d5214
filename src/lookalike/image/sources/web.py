"""Read images from the web: few requests at a time to each host, and again after a while where that may help."""

import re
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from lookalike.errors import BadQuery, UnreadableImage
from lookalike.image.decoding.limits import Limits
from lookalike.image.sources.url_reader import FailedStatus, ForbiddenUrl, UrlReader

REQUESTS_PER_HOST = 8
PAUSES = (1.0, 4.0)  # seconds before the second and the third try
MAX_FAILURES = 10  # of a host in a row; then it is not asked for HOST_SECONDS
HOST_SECONDS = 60.0
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
ANY_PORT = range(1, 65536)
_WEB = re.compile(r"https?://", re.I)


class RefusedByWeb(UnreadableImage):
    """There is no such image, or it may not be read: another try would be answered in the same way."""


@dataclass(slots=True)
class _Host:
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(REQUESTS_PER_HOST))
    failures: int = 0
    asked_again_at: float = 0.0


_hosts: dict[str, _Host] = {}
_hosts_lock = threading.Lock()


def is_web(path: str) -> bool:
    """Return whether a path is an address in the web."""
    return _WEB.match(path) is not None


def read_url(url: str, limits: Limits) -> bytes:
    """Read the bytes at a URL within limits; private addresses only with `limits.allow_private`.

    Raises RefusedByWeb, or UnreadableImage where a later try may succeed.
    """
    host = _host(url)
    if host.failures >= MAX_FAILURES and time.monotonic() < host.asked_again_at:
        raise UnreadableImage("its host does not answer; it is asked again by the next run")
    for pause in (*PAUSES, None):
        try:
            with host.slots:
                data = _reader(limits.max_bytes, limits.allow_private).get(url)
        except (ForbiddenUrl, FailedStatus) as error:
            host.failures = 0
            if isinstance(error, ForbiddenUrl) or error.status not in TRANSIENT:
                raise RefusedByWeb(_reason(error)) from error
            failure: BadQuery = error
        except BadQuery as error:
            if "exceeds" in str(error):
                raise RefusedByWeb(_reason(error)) from error
            host.failures += 1
            host.asked_again_at = time.monotonic() + HOST_SECONDS
            failure = error
        else:
            host.failures = 0
            if not data:
                raise RefusedByWeb("is empty (0 bytes)")
            return data
        if pause is None or host.failures >= MAX_FAILURES:
            break
        time.sleep(pause)
    raise UnreadableImage(_reason(failure)) from failure


def _host(url: str) -> _Host:
    try:
        name = urlsplit(url).netloc.lower()
    except ValueError:
        name = ""
    with _hosts_lock:
        return _hosts.setdefault(name, _Host())


@lru_cache(maxsize=4)
def _reader(max_bytes: int, allow_private: bool) -> UrlReader:  # noqa: FBT001 - the key of the cache
    if allow_private:
        return UrlReader(max_bytes, public=lambda _: True, ports=ANY_PORT)
    return UrlReader(max_bytes)


def _reason(error: BadQuery) -> str:
    """Return what went wrong, without the advice for a person who has typed the URL."""
    return str(error).partition(";")[0].removeprefix("the URL ")
