"""The groups of the last search for duplicates, saved in the collection."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from lookalike.duplicates.search.find import Duplicates
from lookalike.relate.facts import changes_from_record
from lookalike.search import Collection
from lookalike.search.saved_results import packed_result, save_result
from lookalike.text import now
from lookalike.types import DuplicateGroup, Extra, Hit

DUPLICATES = "duplicates"
_READ_BATCH = 2000  # ids
MAX_GROUPS = 20_000  # the largest ones: 20 MB of JSON, which each request reads, and 2 MB compressed


def save_duplicates(photos: Collection, duplicates: Duplicates) -> str:
    """Save the groups, the MAX_GROUPS largest if there are more. Returns the time, which identifies the search."""
    largest = sorted(duplicates, key=lambda group: -len(group.extras))[:MAX_GROUPS]
    record = {"when": now(), "pictures": duplicates.pictures, "groups": [_from_group(group) for group in largest]}
    save_result(photos, DUPLICATES, record)
    return str(record["when"])


def load_duplicates(photos: Collection) -> tuple[str, Duplicates] | None:
    """Return the time and the result of the last search, which is cached and shared; None before the first search."""
    packed = packed_result(photos, DUPLICATES)
    return None if packed is None else _unpack(packed)


def still_present(photos: Collection, groups: Iterable[DuplicateGroup]) -> tuple[DuplicateGroup, ...]:
    """Return the groups without images that are no longer in the collection; groups without `keep` are omitted."""
    groups = tuple(groups)
    ids = list(dict.fromkeys(name for group in groups for name in (group.keep.id, *(e.id for e in group.extras))))
    batches = [ids[start : start + _READ_BATCH] for start in range(0, len(ids), _READ_BATCH)]
    known = {row.id for batch in batches for row in photos.get(batch, []) if row}
    present = []
    for group in groups:
        extras = tuple(extra for extra in group.extras if extra.id in known)
        if extras and group.keep.id in known:
            present.append(replace(group, extras=extras))
    return tuple(present)


@lru_cache(maxsize=2)
def _unpack(packed: bytes) -> tuple[str, Duplicates]:
    record = json.loads(zlib.decompress(packed))
    groups = tuple(
        DuplicateGroup(Hit(**{"score": 1.0} | group["keep"]), tuple(_to_extra(extra) for extra in group["extras"]))
        for group in record["groups"]
    )
    return str(record["when"]), Duplicates(groups=groups, pictures=int(record["pictures"]))


def _from_group(group: DuplicateGroup) -> dict[str, Any]:
    """Return the saved form of a group, in which `blocked_reason` is called "left"."""
    record = asdict(group)
    for extra in record["extras"]:
        extra["left"] = extra.pop("blocked_reason")
    return record


def _to_extra(values: dict[str, Any]) -> Extra:
    values = {"blocked_reason" if name == "left" else name: value for name, value in values.items()}
    transform = values.get("transform")  # older versions saved neither transforms
    companions = tuple(values.get("companions") or ())  # nor companions
    converted = {
        "transform": tuple(map(tuple, transform)) if transform else None,
        "companions": companions,
        "changes": changes_from_record(values.get("changes")),  # nor changes
    }
    return Extra(**values | converted)
