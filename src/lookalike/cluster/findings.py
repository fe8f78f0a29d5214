"""What the last look at a whole collection found, kept in it: a row for each kind, so that a reader sees the old one or
the new one. It goes with the collection, and is the same whoever looked, on the command line or from a page.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from lookalike.cluster.duplicates import Duplicates
from lookalike.cluster.spread import Suspect
from lookalike.search import Collection
from lookalike.search.sync import now
from lookalike.types import DuplicateGroup, Extra, Hit, Table

DUPLICATES, SUSPECTS = "duplicates", "suspects"
_AT_ONCE = 2000  # rows asked for together
MOST_GROUPS = 20_000  # of duplicates, the largest: 20 MB of JSON, which an answer reads whole; 2 MB as they are kept


def keep_finding(photos: Collection, kind: str, told: dict[str, Any]) -> None:
    """Keep it, in one commit, in place of the last of its kind."""
    packed = zlib.compress(json.dumps(told, default=str).encode())
    _table(photos).put([{"kind": kind, "told": packed}])


def finding(photos: Collection, kind: str) -> Mapping[str, Any] | None:
    """What was found last of that kind, whoever looked; None before the first. It is shared: not to be altered."""
    for row in _table(photos).all():
        if row["kind"] == kind and isinstance(row["told"], bytes):
            return _unpacked(row["told"])
    return None


@lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> Mapping[str, Any]:
    """Kept, for one page is asked for after the other, and 20 MB of JSON take a fifth of a second each time."""
    told: dict[str, Any] = json.loads(zlib.decompress(packed))
    return told


def keep_duplicates(photos: Collection, found: Duplicates) -> str:
    """Keep the groups, the largest if there are too many. Returns the moment, by which they are known."""
    largest = sorted(found, key=lambda group: -len(group.extras))[:MOST_GROUPS]
    told = {"when": now(), "pictures": found.pictures, "groups": [asdict(group) for group in largest]}
    keep_finding(photos, DUPLICATES, told)
    return str(told["when"])


def stored_duplicates(photos: Collection) -> tuple[str, Duplicates] | None:
    """When duplicates were looked for last, and what was found; None before the first search. It is shared."""
    for row in _table(photos).all():
        if row["kind"] == DUPLICATES and isinstance(row["told"], bytes):
            return _groups_of(row["told"])
    return None


def still_present(photos: Collection, groups: Iterable[DuplicateGroup]) -> tuple[DuplicateGroup, ...]:
    """The groups without images that left the collection since; those that lost their kept image are left out."""
    groups = tuple(groups)
    ids = list(dict.fromkeys(name for group in groups for name in (group.keep.id, *(e.id for e in group.extras))))
    known = {row.id for at in range(0, len(ids), _AT_ONCE) for row in photos.get(ids[at : at + _AT_ONCE], []) if row}
    present = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if extra.id in known)
        if extras and group.keep.id in known:
            present.append(replace(group, extras=extras))
    return tuple(present)


@lru_cache(maxsize=2)
def _groups_of(packed: bytes) -> tuple[str, Duplicates]:
    told = json.loads(zlib.decompress(packed))
    groups = tuple(
        DuplicateGroup(Hit(**{"score": 1.0} | one["keep"]), tuple(_extra(extra) for extra in one["extras"]))
        for one in told["groups"]
    )
    return str(told["when"]), Duplicates(groups=groups, pictures=int(told["pictures"]))


def _extra(values: dict[str, Any]) -> Extra:
    transform = values.get("transform")  # older versions kept none
    along = tuple(values.get("companions") or ())  # nor of these
    return Extra(**values | {"transform": tuple(map(tuple, transform)) if transform else None, "companions": along})


def keep_suspects(photos: Collection, ids: Sequence[str], suspects: Sequence[Suspect]) -> None:
    """Keep the labels that their neighbours contradict. `ids`: of the rows that were looked at."""
    keep_finding(photos, SUSPECTS, {"when": now(), "suspects": [_suspect(one, ids) for one in suspects]})


def _suspect(found: Suspect, ids: Sequence[str]) -> dict[str, Any]:
    return {
        "id": ids[found.row],
        "label": str(found.given),
        "instead": str(found.instead),
        "confidence": round(found.confidence, 4),
        "neighbours": [ids[row] for row in found.neighbours],
    }


def _table(photos: Collection) -> Table:
    return photos.store.table("findings", "kind")
