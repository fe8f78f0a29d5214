"""Uploaded query images, saved for a limited time so that links to a search and regions of its image work."""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import UnknownId

MAX_BYTES = 512 * 2**20
PREFIX = "query:"
_TOKEN = re.compile(r"[0-9a-f]{32}")
SWEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query image: the token that names it, its vector (dim,) and the facts from its header."""

    token: str
    vector: NDArray[np.float32]
    facts: Mapping[str, Any]


class SavedQueries:
    """A private folder of uploads, shared by all workers. Uploads expire after `seconds`, or earlier if it is full.

    A token is a keyed hash of the bytes, so it cannot be guessed without the image.
    """

    def __init__(self, folder: str, seconds: float, key: bytes) -> None:
        self._folder, self._seconds, self._key = Path(folder), seconds, key
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._last_sweep = 0.0

    def save(self, data: bytes, vector: NDArray[np.float32], facts: Mapping[str, Any]) -> SavedQuery:
        """Save an upload. If the disk is full it is not saved, and links to it do not work."""
        token = hashlib.blake2b(data, key=self._key, digest_size=16).hexdigest()
        with suppress(OSError):
            self._sweep()
            path = self._folder / token
            if not path.with_suffix(".json").exists():
                path.with_suffix(".bin").write_bytes(data)
                record = {"facts": dict(facts), "vector": vector.tolist()}
                path.with_suffix(".new").write_text(json.dumps(record))
                path.with_suffix(".new").replace(path.with_suffix(".json"))
        return SavedQuery(PREFIX + token, vector, facts)

    def get(self, token: str) -> SavedQuery:
        """Return a saved query. Raises UnknownId if it has expired."""
        path = self._path(token)
        try:
            record = json.loads(path.with_suffix(".json").read_text())
        except (OSError, ValueError):
            raise _expired() from None
        return SavedQuery(token, np.array(record["vector"], np.float32), record["facts"])

    def data(self, token: str) -> bytes:
        """Return the uploaded bytes. Raises UnknownId if they have expired."""
        try:
            return self._path(token).with_suffix(".bin").read_bytes()
        except OSError:
            raise _expired() from None

    def _path(self, token: str) -> Path:
        name = token.removeprefix(PREFIX)
        if not _TOKEN.fullmatch(name):
            raise _expired()
        return self._folder / name

    def _sweep(self) -> None:
        now = time.time()
        if now - self._last_sweep < SWEEP_SECONDS:
            return
        self._last_sweep = now
        total = 0
        for mtime, size, path in sorted(self._files(), reverse=True):
            total += size
            if now - mtime > self._seconds or total > MAX_BYTES:
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another worker removed or renamed it
                status = path.stat()
                yield status.st_mtime, status.st_size, path


def _expired() -> UnknownId:
    return UnknownId("this query image has expired; upload it again")
