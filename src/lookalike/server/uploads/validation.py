"""Validation of the ids and metadata of uploads."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lookalike.errors import BadQuery, CollectionError, ImageTooLarge
from lookalike.indexing.plan import BUILTIN_COLUMNS
from lookalike.store.columns import ID, VECTOR, coerce, widened
from lookalike.types import Scalar

MAX_ID_LENGTH = 1000
MAX_LABEL_LENGTH = 200
MAX_NAME_LENGTH = 200
MAX_COLUMNS = 100  # per image
MAX_TOTAL_COLUMNS = 500  # of the collection: every search reads one file per column
DOT_SEGMENTS = (".", "..")  # clients remove them from the path of a URL
RESERVED = {ID, VECTOR, *BUILTIN_COLUMNS} - {"label"}


def check_size(data: bytes, max_bytes: int) -> None:
    """Raise ImageTooLarge if an upload exceeds the limit."""
    if len(data) > max_bytes:
        raise ImageTooLarge(f"the image exceeds {max_bytes:,} bytes; send a smaller one")


def check_lists(images: int, ids: Sequence[str], metadata: int) -> None:
    """Raise BadQuery unless there are as many ids and metadata as images, or none, and a URL can contain each id."""
    if not images:
        raise BadQuery("send images in the field `image`")
    for name, count in (("ids", len(ids)), ("metadata", metadata)):
        if count not in (0, images):
            raise BadQuery(f"{images} images and {count} {name} were sent; send one for each image, or none")
    if any(not 0 < len(i) <= MAX_ID_LENGTH or not i.isprintable() for i in ids):
        raise BadQuery(f"an id must have 1 to {MAX_ID_LENGTH} printable characters")
    if dots := [i for i in ids if i in DOT_SEGMENTS]:
        raise BadQuery(f"the id {dots[0]!r} cannot be part of a URL; choose another")


def parse_metadata(text: str, known: Mapping[str, type]) -> dict[str, Scalar]:
    """Return the metadata of one image from JSON, converted to the types of the columns `known`. Raises BadQuery."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(v, str | int | float | bool | None) for v in values.values()):
        raise BadQuery("`metadata` must be a JSON object of texts, numbers, true, false and null")
    if reserved := [name for name in values if name.lower() in RESERVED]:
        raise BadQuery(f"`metadata` names {', '.join(reserved)}, which the collection fills itself; use other names")
    if len(values) > MAX_COLUMNS:
        raise BadQuery(f"`metadata` has {len(values):,} columns; at most {MAX_COLUMNS} can be sent")
    if len(new := values.keys() - known.keys()) and len(new) + len(known) > MAX_TOTAL_COLUMNS:
        raise BadQuery(
            f"the collection has {len(known)} columns, and at most {MAX_TOTAL_COLUMNS} are allowed; use existing ones"
        )
    if long := [name for name in values if len(name) > MAX_NAME_LENGTH]:
        raise BadQuery(f"`metadata` has a column name of more than {MAX_NAME_LENGTH} characters: {long[0][:40]}")
    if infinite := [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]:
        raise BadQuery(f"the number in {infinite[0]!r} is not finite; leave it out, or send null")
    if values.get("label") is not None:
        values["label"] = _label(str(values["label"]))
    return _convert(values, known)


def _label(label: str) -> str:
    if len(label) > MAX_LABEL_LENGTH or "\0" in label:
        raise BadQuery(f"a label must have at most {MAX_LABEL_LENGTH} characters, none of them NUL")
    return label


def _convert(values: dict[str, Any], known: Mapping[str, type]) -> dict[str, Scalar]:
    """Convert before writing: images written in the same batch must not fail with this one."""
    try:
        types = widened(known, [values])
        return {name: None if value is None else coerce(value, types[name], name) for name, value in values.items()}
    except CollectionError as error:
        raise BadQuery(f"`metadata` cannot be stored: {error}") from None
