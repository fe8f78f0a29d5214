"""Where things lie on the server's disk, which is nobody's business: not told, not to be asked for, not in messages."""

import re
from collections.abc import Mapping

from lookalike.store.columns import ID
from lookalike.store.where import backticks, condition

PLACES = ("path", "root")
# Of a path: its end, where what follows is not more of a name. What lies beneath it goes with it.
_END = r"(?!\w|[.-]\w)(?:/[^\s'\"),;:]*[^\s'\"),;:.])?"


def check_condition(where: str, columns: Mapping[str, type]) -> None:
    """Raise BadFilter for a condition that asks for places, as for any column that is not there.

    The count of what matches would tell a path letter by letter.
    """
    condition(where, {ID: str} | {name: kind for name, kind in columns.items() if name not in PLACES}, backticks)


def masked(message: str, place: str) -> str:
    """A message without the place of the collection, an absolute path or a URI."""
    name = rf"(?<![\w.~-]){re.escape(place.rstrip('/'))}"
    if (bare := place.strip("/")).count("/"):  # engines tell a path also without its first slash
        name = rf"(?:{name}|(?<![\w.~/-]){re.escape(bare)})"
    message = re.sub(rf"-c (['\"]?){name}(-2)?\1{_END}", r"-c COLLECTION\2", message)
    message = re.sub(rf"\bcollection at (['\"]?){name}{_END}\1", "collection", message)
    return re.sub(rf"(['\"]?){name}{_END}\1", "the collection", message)
