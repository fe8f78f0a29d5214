"""The last result of a scan over a whole collection, saved in the collection: one row for each kind of scan.

The command line and the web page share it. A reader sees the previous result or the new one, never a part of one.
"""

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lookalike.schema import RESULTS
from lookalike.search.collection import Collection
from lookalike.types import Table


def save_result(photos: Collection, kind: str, result: dict[str, Any]) -> None:
    """Replace the last result of its kind, in one commit."""
    packed = zlib.compress(json.dumps(result, default=str).encode())
    _table(photos).put([{"kind": kind, "told": packed}])


def saved_result(photos: Collection, kind: str) -> Mapping[str, Any] | None:
    """The last result of a kind, None before the first. It is shared and cached: do not modify it."""
    packed = packed_result(photos, kind)
    return None if packed is None else _unpack(packed)


def packed_result(photos: Collection, kind: str) -> bytes | None:
    """The last result of a kind as zlib-compressed JSON, which also serves as a cache key."""
    for row in _table(photos).all():
        if row["kind"] == kind and isinstance(row["told"], bytes):
            return row["told"]
    return None


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> Mapping[str, Any]:
    """Parse the JSON, with a cache: pages are requested in a row, and 20 MB of JSON take 0.2 s each time."""
    result: dict[str, Any] = json.loads(zlib.decompress(packed))
    return result


def _table(photos: Collection) -> Table:
    return photos.store.table(RESULTS.name, RESULTS.key)
