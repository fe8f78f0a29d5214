"""Pictures that were asked with, kept for a while so that a link to a search works and a box can be drawn later."""

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

MOST_BYTES = 512 * 2**20
PREFIX = "query:"
_TOKEN = re.compile(r"[0-9a-f]{32}")
SWEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Kept:
    """One asked picture: the token by which it is asked again, its vector (dim,) and what its header told."""

    token: str
    vector: NDArray[np.float32]
    facts: Mapping[str, Any]


class Queries:
    """A private folder of uploads, the same for all workers; the oldest go when it is full or `seconds` have passed.

    A token is a keyed hash of the bytes: who does not have the picture cannot guess it.
    """

    def __init__(self, folder: str, seconds: float, key: bytes) -> None:
        self._folder, self._seconds, self._key = Path(folder), seconds, key
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._swept = 0.0

    def keep(self, data: bytes, vector: NDArray[np.float32], facts: Mapping[str, Any]) -> Kept:
        """Keep an upload; where the disk is full it is not kept, and its link will not work."""
        token = hashlib.blake2b(data, key=self._key, digest_size=16).hexdigest()
        with suppress(OSError):
            self._sweep()
            place = self._folder / token
            if not place.with_suffix(".json").exists():
                place.with_suffix(".bin").write_bytes(data)
                told = {"facts": dict(facts), "vector": vector.tolist()}
                place.with_suffix(".new").write_text(json.dumps(told))
                place.with_suffix(".new").replace(place.with_suffix(".json"))
        return Kept(PREFIX + token, vector, facts)

    def get(self, token: str) -> Kept:
        """Raises UnknownId when it is gone."""
        place = self._place(token)
        try:
            told = json.loads(place.with_suffix(".json").read_text())
        except (OSError, ValueError):
            raise _gone() from None
        return Kept(token, np.array(told["vector"], np.float32), told["facts"])

    def data(self, token: str) -> bytes:
        """The bytes that were uploaded. Raises UnknownId when they are gone."""
        try:
            return self._place(token).with_suffix(".bin").read_bytes()
        except OSError:
            raise _gone() from None

    def _place(self, token: str) -> Path:
        name = token.removeprefix(PREFIX)
        if not _TOKEN.fullmatch(name):
            raise _gone()
        return self._folder / name

    def _sweep(self) -> None:
        now = time.time()
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        total = 0
        for when, size, place in sorted(self._files(), reverse=True):
            total += size
            if now - when > self._seconds or total > MOST_BYTES:
                place.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for place in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another worker took it away, or gave it its name
                told = place.stat()
                yield told.st_mtime, told.st_size, place


def _gone() -> UnknownId:
    return UnknownId("that picture is no longer kept; choose it once more")
