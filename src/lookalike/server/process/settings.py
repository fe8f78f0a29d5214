"""What a server is told when it starts, and the text form in which its workers get it."""

import json
import os
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from lookalike.errors import LookalikeError

VARIABLE = "LOOKALIKE_SERVER"
KEY = "key"  # a file in `folder`


class ServerError(LookalikeError):
    """The server may not start as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`uri`: a folder becomes absolute.

    `max_bytes`, `max_pixels`: of one upload. `rate`: requests a second from one address, 0 for no limit.

    `tokens`: the file with the secrets, needed on any address but this machine's own. `hosts`: names by which the
    server may be called, besides its own. `show_paths`: tell where files lie. `fetch_urls`: search by URL.
    `allow_apply`: the page may move accepted duplicates to the trash, and back.
    `root_path`: the path below which a proxy shows the server, such as "/photos". `trust_proxy`: addresses of proxies
    whose X-Forwarded headers are believed. `upload_bytes`: of all bodies that are held at a time.
    `keep_queries`: seconds that an uploaded picture stays, so that a link to its search works. `folder`: where the
    workers of one server meet; made and removed by `serve`.
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
    folder: str = ""

    def __post_init__(self) -> None:
        # A relative name may be a word of any message; an absolute one is told from the text around it.
        object.__setattr__(self, "root_path", _rooted(self.root_path))
        if "://" not in self.uri and self.uri != "memory:":
            object.__setattr__(self, "uri", os.path.abspath(os.path.expanduser(self.uri)))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> Self:
        """What `serve` left for its workers."""
        told: dict[str, Any] = json.loads(os.environ[VARIABLE])
        known = {field.name for field in fields(cls)}
        kept: dict[str, Any] = {
            k: tuple(v) if k in ("hosts", "trust_proxy") else v for k, v in told.items() if k in known
        }
        return cls(**kept)


def _rooted(path: str) -> str:
    """ "/photos" of "photos/"; "" of "/"."""
    stripped = path.strip("/")
    return f"/{stripped}" if stripped else ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets for reading and for writing; empty ones let everybody in."""

    read: str = ""
    write: str = ""

    @property
    def needed(self) -> bool:
        return bool(self.read or self.write)


def load_tokens(path: str | None) -> Tokens:
    """Secrets from a file of lines `read SECRET` and `write SECRET`. Raises ServerError."""
    if path is None:
        return Tokens()
    place = Path(path).expanduser()
    try:
        if os.name == "posix" and place.stat().st_mode & 0o077:
            raise ServerError(f"others on this machine can read the token file {path}; close it with: chmod 600 {path}")
        lines = [line.split() for line in place.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"the token file {path} cannot be read ({error}); write it anew") from None
    told = [line for line in lines if line and not line[0].startswith("#")]
    found = {line[0].rstrip(":="): line[-1] for line in told if len(line) == 2}
    weak = [name for name, secret in found.items() if len(secret) < 16]
    if len(found) != len(told) or not set(found) <= {"read", "write"} or not found or weak:
        raise ServerError(
            f"the token file {path} must hold lines `read SECRET` and `write SECRET`, each secret of 16 characters or "
            "more; make one with: python3 -c 'import secrets; print(\"read\", secrets.token_urlsafe())'"
        )
    return Tokens(found.get("read", ""), found.get("write", ""))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check(settings: Settings) -> None:
    """Raise ServerError where the server would be open to others without a token."""
    if not is_loopback(settings.host) and settings.tokens is None:
        raise ServerError(
            f"{settings.host} is an address that others can reach: add --token-file FILE, "
            "or leave --host out to serve this machine alone"
        )
    load_tokens(settings.tokens)
