"""What comes with an upload, its ids and metadata: refused here where the collection could not keep or tell it."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lookalike.errors import BadQuery, CollectionError
from lookalike.indexing.plan import BUILTIN_COLUMNS
from lookalike.store.columns import ID, VECTOR, fit, widened
from lookalike.types import Scalar

LONGEST_ID = 1000
LONGEST_LABEL = 200
LONGEST_NAME = 200
MAX_COLUMNS, MAX_ALL_COLUMNS = 100, 500  # of one picture; of the collection: each is a file to read for every search
STEPS = (".", "..")  # a URL cannot name them: programs take such steps out of its path before they ask
RESERVED = {ID, VECTOR, *BUILTIN_COLUMNS} - {"label"}


def check_lists(pictures: int, ids: Sequence[str], metadata: int) -> None:
    """One id and one metadata for each picture, or none; ids that a URL can name. Raises BadQuery."""
    if not pictures:
        raise BadQuery("send pictures in the field `image`")
    for name, count in (("ids", len(ids)), ("metadata", metadata)):
        if count not in (0, pictures):
            raise BadQuery(f"{pictures} pictures and {count} {name} were sent; send one for each picture, or none")
    if any(not 0 < len(i) <= LONGEST_ID or not i.isprintable() for i in ids):
        raise BadQuery(f"an id must have 1 to {LONGEST_ID} printable characters")
    if steps := [i for i in ids if i in STEPS]:
        raise BadQuery(f"an id may not be {steps[0]!r}, which a URL cannot name; choose another")


def metadata_of(text: str, known: Mapping[str, type]) -> dict[str, Scalar]:
    """One picture's metadata from JSON, fit for the columns `known`. Raises BadQuery."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not all(isinstance(v, str | int | float | bool | None) for v in told.values()):
        raise BadQuery("`metadata` must be a JSON object of texts, numbers, true, false and null")
    if ours := [name for name in told if name.lower() in RESERVED]:
        raise BadQuery(f"`metadata` names {', '.join(ours)}, which the collection keeps itself; use other names")
    if len(told) > MAX_COLUMNS:
        raise BadQuery(f"`metadata` has {len(told):,} columns; at most {MAX_COLUMNS} can be sent")
    if len(new := told.keys() - known.keys()) and len(new) + len(known) > MAX_ALL_COLUMNS:
        raise BadQuery(f"the collection has {len(known)} columns; at most {MAX_ALL_COLUMNS} are kept: use those it has")
    if long := [name for name in told if len(name) > LONGEST_NAME]:
        raise BadQuery(f"`metadata` has a column with a name of more than {LONGEST_NAME} characters: {long[0][:40]}")
    if odd := [name for name, value in told.items() if isinstance(value, float) and not math.isfinite(value)]:
        raise BadQuery(f"the number in {odd[0]!r} is not finite; leave it out, or send null")
    if told.get("label") is not None:
        told["label"] = _label(str(told["label"]))
    return _fitted(told, known)


def _label(label: str) -> str:
    if len(label) > LONGEST_LABEL or "\0" in label:
        raise BadQuery(f"a label must have at most {LONGEST_LABEL} characters, none of them NUL")
    return label


def _fitted(told: dict[str, Any], known: Mapping[str, type]) -> dict[str, Scalar]:
    """Looked at before it is written: those who are written together with it must not fail with it."""
    try:
        types = widened(known, [told])
        return {name: None if value is None else fit(value, types[name], name) for name, value in told.items()}
    except CollectionError as error:
        raise BadQuery(f"`metadata` cannot be kept: {error}") from None
