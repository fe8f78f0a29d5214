"""Keep the server's file system, and where photographs were taken, private: in responses, conditions and messages."""

import re
from collections.abc import Mapping

from lookalike.store.columns import ID
from lookalike.store.where import backticks, condition

PRIVATE_COLUMNS = ("path", "root", "latitude", "longitude")
# The end of a path: no further characters of a name follow; anything below it is matched too.
_END = r"(?!\w|[.-]\w)(?:/[^\s'\"),;:]*[^\s'\"),;:.])?"


def check_condition(where: str, columns: Mapping[str, type]) -> None:
    """Raise BadFilter if a condition uses a private column, as if the column did not exist.

    The number of matches would otherwise reveal a path letter by letter.
    """
    condition(
        where, {ID: str} | {name: kind for name, kind in columns.items() if name not in PRIVATE_COLUMNS}, backticks
    )


def redact_location(message: str, location: str) -> str:
    """Return a message without the location of the collection, an absolute path or a URI.

    Lookalike's own errors leave it out by themselves; the texts of storage engines and of the system do not.
    """
    name = rf"(?<![\w.~-]){re.escape(location.rstrip('/'))}"
    if (bare := location.strip("/")).count("/"):  # storage engines also report paths without the leading slash
        name = rf"(?:{name}|(?<![\w.~/-]){re.escape(bare)})"
    return re.sub(rf"(['\"]?){name}{_END}\1", "the collection", message)
