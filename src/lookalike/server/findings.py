"""What jobs found, kept in the collection: a row for each kind, so that a reader sees the old finding or the new one.

It outlives the server, goes with the collection, and is the same for all who serve it.
"""

import json
import zlib
from typing import Any

from lookalike.search import Collection
from lookalike.types import Table

DUPLICATES, SUSPECTS = "duplicates", "suspects"
MOST_GROUPS = 20_000  # of duplicates, the largest: 20 MB of JSON, which an answer reads whole; 2 MB as they are kept


def keep_finding(photos: Collection, kind: str, told: dict[str, Any]) -> None:
    """Keep it, in one commit, in place of the last of its kind."""
    packed = zlib.compress(json.dumps(told, default=str).encode())
    _table(photos).put([{"kind": kind, "told": packed}])


def finding(photos: Collection, kind: str) -> dict[str, Any] | None:
    """What the last job of that kind found, whoever ran it; None before the first."""
    for row in _table(photos).all():
        if row["kind"] == kind and isinstance(row["told"], bytes):
            told: dict[str, Any] = json.loads(zlib.decompress(row["told"]))
            return told
    return None


def _table(photos: Collection) -> Table:
    return photos.store.table("findings", "kind")
