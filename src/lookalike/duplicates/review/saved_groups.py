"""The groups of the last search for duplicates, saved in the collection."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from lookalike.duplicates.search.find import Duplicates
from lookalike.search import Collection
from lookalike.search.saved_results import packed_result, save_result
from lookalike.text import now
from lookalike.types import DuplicateGroup, Extra, Hit

DUPLICATES = "duplicates"
_AT_ONCE = 2000  # rows asked for together
MAX_GROUPS = 20_000  # the largest: 20 MB of JSON, which an answer reads whole; 2 MB as they are saved


def keep_duplicates(photos: Collection, found: Duplicates) -> str:
    """Keep the groups, the largest if there are too many. Returns the moment, by which they are known."""
    largest = sorted(found, key=lambda group: -len(group.extras))[:MAX_GROUPS]
    told = {"when": now(), "pictures": found.pictures, "groups": [asdict(group) for group in largest]}
    save_result(photos, DUPLICATES, told)
    return str(told["when"])


def stored_duplicates(photos: Collection) -> tuple[str, Duplicates] | None:
    """When duplicates were looked for last, and what was found; None before the first search. It is shared."""
    packed = packed_result(photos, DUPLICATES)
    return None if packed is None else _groups_of(packed)


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
