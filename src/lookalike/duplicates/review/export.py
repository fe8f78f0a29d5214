"""Export groups as JSON objects and CSV rows, with stable keys."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookalike.duplicates.search.find import Duplicates
from lookalike.errors import LookalikeError
from lookalike.relate.facts import change_facts
from lookalike.text import expanded
from lookalike.types import DuplicateGroup, Metadata

_FACTS = ("path", "width", "height", "size", "format", "mtime_ns", "sha256")
COLUMNS = (
    "group", "role", "id", "relation", "probability", "score", "words", "reason", "unsure", "left", *_FACTS,
    "reference", "companions",
)  # fmt: skip


def as_object(number: int, group: DuplicateGroup) -> dict[str, Any]:
    """Return one group as a JSON object."""
    extras = [
        {
            "id": extra.id,
            "relation": extra.relation,
            "probability": round(extra.probability, 6),
            "score": round(extra.score, 6),
            "words": extra.words,
            "changes": None if extra.changes is None else change_facts(extra.changes),
            "reason": extra.reason,
            "unsure": extra.unsure,
            "left": extra.blocked_reason,
            "companions": list(extra.companions),
            **_facts(extra.metadata),
        }
        for extra in group.extras
    ]
    keep = {"id": group.keep.id, "reference": bool(group.keep.metadata.get("reference")), **_facts(group.keep.metadata)}
    return {"group": number, "keep": keep, "extras": extras}


def write_csv(duplicates: Duplicates, path: str | Path) -> None:
    """Write a row for each image of each group, the kept one first. Raises LookalikeError if it cannot be written."""
    target = expanded(path)
    try:
        with open(target, "w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS, restval="")
            rows.writeheader()
            for number, group in enumerate(duplicates.groups, 1):
                rows.writerows(_rows(number, group))
    except OSError as error:
        raise LookalikeError(f"{target} cannot be written ({error.strerror}); name another file") from error


def _rows(number: int, group: DuplicateGroup) -> Iterator[dict[str, Any]]:
    record = as_object(number, group)
    yield {"group": number, "role": "keep", **record["keep"]}
    for extra in record["extras"]:
        del extra["changes"]  # a list of objects, which the column `words` describes
        companions = "\n".join(extra["companions"])  # one line a companion within the cell
        yield {"group": number, "role": "extra", **extra, "companions": companions}


def _facts(metadata: Metadata) -> dict[str, Any]:
    return {name: metadata.get(name) or None for name in _FACTS}
