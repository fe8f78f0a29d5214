"""Groups as stable objects and rows: what --json and --csv hold."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookalike.duplicates.search.find import Duplicates
from lookalike.errors import LookalikeError
from lookalike.types import DuplicateGroup, Metadata

_FACTS = ("path", "width", "height", "size", "format", "mtime_ns", "sha256")
COLUMNS = (
    "group", "role", "id", "relation", "probability", "score", "words", "reason", "unsure", "left", *_FACTS,
    "reference", "companions",
)  # fmt: skip


def as_object(number: int, group: DuplicateGroup) -> dict[str, Any]:
    """One group for JSON."""
    extras = [
        {
            "id": extra.id,
            "relation": extra.relation,
            "probability": round(extra.probability, 6),
            "score": round(extra.score, 6),
            "words": extra.words,
            "reason": extra.reason,
            "unsure": extra.unsure,
            "left": extra.left,
            "companions": list(extra.companions),
            **_facts(extra.metadata),
        }
        for extra in group.extras
    ]
    keep = {"id": group.keep.id, "reference": bool(group.keep.metadata.get("reference")), **_facts(group.keep.metadata)}
    return {"group": number, "keep": keep, "extras": extras}


def write_csv(found: Duplicates, path: str | Path) -> None:
    """A row for each picture of each group, the kept one first. Raises LookalikeError when it cannot be written."""
    target = Path(path).expanduser()
    try:
        with open(target, "w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS, restval="")
            rows.writeheader()
            for number, group in enumerate(found.groups, 1):
                rows.writerows(_rows(number, group))
    except OSError as error:
        raise LookalikeError(f"{target} cannot be written ({error.strerror}); name another place") from error


def _rows(number: int, group: DuplicateGroup) -> Iterator[dict[str, Any]]:
    told = as_object(number, group)
    yield {"group": number, "role": "keep", **told["keep"]}
    for extra in told["extras"]:  # of several companions, each on a line of its own in the cell
        yield {"group": number, "role": "extra", **extra, "companions": "\n".join(extra["companions"])}


def _facts(metadata: Metadata) -> dict[str, Any]:
    return {name: metadata.get(name) or None for name in _FACTS}
