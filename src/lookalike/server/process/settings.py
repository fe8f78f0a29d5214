"""The settings of a server, their JSON form for its workers, and the token file."""

import json
import os
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_address
from typing import Any, Self

from lookalike.errors import LookalikeError
from lookalike.text import expanded

VARIABLE = "LOOKALIKE_SERVER"  # environment variable with the settings as JSON
KEY = "key"  # file in `folder`
LIFESPAN_KEY = "lookalike"  # name of the settings in the ASGI lifespan state


class ServerError(LookalikeError):
    """The server cannot start with these settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a server.

    uri: the collection; the path of a folder is made absolute.
    tokens: the token file, required on any address but loopback. hosts: additional host names of the server.
    show_paths: include file paths in responses. fetch_urls: allow search by URL.
    allow_apply: the page may move accepted duplicates to the trash and restore them.
    root_path: the prefix under which a proxy serves the application, such as "/photos".
    trust_proxy: addresses of proxies whose X-Forwarded headers are trusted.
    max_bytes, max_pixels: limits of one upload. upload_bytes: limit of all request bodies held at a time.
    rate: requests per second from one address, 0 for no limit.
    header_seconds, body_seconds: how long the headers and the body of a request may take to arrive.
    keep_queries: seconds for which an uploaded query image is saved, so that links to its search work.
    resident_bytes: larger collections are searched on disk instead of in memory.
    ray: the cluster that holds the index; shards, replicas: how many parts it has there, and copies of each.
    folder: shared by the workers of one server; created and removed by `serve`.
    """

    uri: str
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    tokens: str | None = None
    hosts: tuple[str, ...] = ()
    read_only: bool = False
    show_paths: bool = False
    fetch_urls: bool = False
    allow_apply: bool = False
    root_path: str = ""
    trust_proxy: tuple[str, ...] = ()
    max_bytes: int = 32 * 2**20
    upload_bytes: int = 256 * 2**20
    max_pixels: int = 60_000_000
    rate: float = 0.0
    decoders: int = 2
    decode_seconds: float = 10.0
    decode_memory: int = 2 * 2**30
    body_seconds: float = 30.0
    header_seconds: float = 10.0
    keep_queries: float = 3600.0
    resident_bytes: int = 2 * 2**30
    ray: str = ""
    shards: int = 1
    replicas: int = 1
    folder: str = ""

    def __post_init__(self) -> None:
        # Messages are redacted by path: a relative one could match an ordinary word, an absolute one cannot.
        object.__setattr__(self, "root_path", _normalize_root(self.root_path))
        if "://" not in self.uri and self.uri != "memory:":
            object.__setattr__(self, "uri", os.path.abspath(os.path.expanduser(self.uri)))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings that `serve` wrote to the environment of its workers."""
        values: dict[str, Any] = json.loads(os.environ[VARIABLE])
        known = {field.name for field in fields(cls)}
        options: dict[str, Any] = {
            k: tuple(v) if k in ("hosts", "trust_proxy") else v for k, v in values.items() if k in known
        }
        return cls(**options)


def _normalize_root(path: str) -> str:
    """Return "/photos" for "photos/", and "" for "/"."""
    stripped = path.strip("/")
    return f"/{stripped}" if stripped else ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets for reading and for writing; without any, access is open."""

    read: str = ""
    write: str = ""

    @property
    def needed(self) -> bool:
        return bool(self.read or self.write)


def load_tokens(path: str | None) -> Tokens:
    """Secrets from a file of lines `read SECRET` and `write SECRET`. Raises ServerError."""
    if path is None:
        return Tokens()
    file = expanded(path)
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ServerError(f"the token file {path} is readable by other users; restrict it with: chmod 600 {path}")
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(
            f"the token file {path} cannot be read ({error}); check the path or create the file"
        ) from None
    entries = [line for line in lines if line and not line[0].startswith("#")]
    secrets = {line[0].rstrip(":="): line[-1] for line in entries if len(line) == 2}
    weak = [name for name, secret in secrets.items() if len(secret) < 16]
    if len(secrets) != len(entries) or not set(secrets) <= {"read", "write"} or not secrets or weak:
        raise ServerError(
            f"the token file {path} must hold lines `read SECRET` and `write SECRET`, each secret of at least 16 "
            "characters; create one with: python3 -c 'import secrets; print(\"read\", secrets.token_urlsafe())'"
        )
    return Tokens(secrets.get("read", ""), secrets.get("write", ""))


def is_loopback(host: str) -> bool:
    """Return whether the address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check(settings: Settings) -> None:
    """Raise ServerError if other machines could reach the server without a token."""
    if not is_loopback(settings.host) and settings.tokens is None:
        raise ServerError(
            f"{settings.host} is reachable from other machines: add --token-file FILE, "
            "or omit --host to serve this machine only"
        )
    load_tokens(settings.tokens)
