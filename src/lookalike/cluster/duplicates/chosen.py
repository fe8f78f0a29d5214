"""Pictures that a person chose to keep, whatever the rules say: kept in the collection by what the file holds.

A choice is about one picture, not about a pair, so choices cannot contradict each other: of two chosen pictures of one
group the one chosen last is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lookalike.cluster.duplicates.decisions import content_of, is_hash
from lookalike.errors import BadQuery
from lookalike.search import Collection

TABLE = "chosen"


@dataclass(frozen=True, slots=True)
class Choice:
    """`keep`: the SHA-256 of the file. `name`: what it was called. `when`: UTC, to a millionth of a second."""

    keep: str
    name: str = ""
    when: str = ""


class Chosen:
    """The choices of a collection."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._table = photos.store.table(TABLE, key="keep")

    def all(self) -> list[Choice]:
        """Every choice, in the order in which they were made."""
        rows = [Choice(*(str(row.get(name) or "") for name in ("keep", "name", "when"))) for row in self._table.all()]
        return sorted(rows, key=lambda choice: (choice.when, choice.keep))

    def ranks(self) -> dict[str, int]:
        """From SHA-256 to 1, 2, 3 ...: what was chosen later has the larger number."""
        return {choice.keep: n for n, choice in enumerate(self.all(), 1)}

    def add(self, choices: Iterable[Choice]) -> int:
        """Keep them; choosing again makes a choice the latest. Returns how many."""
        rows = [asdict(choice) | {"when": choice.when or _now()} for choice in choices]
        if rows:
            self._table.put(rows)
        return len(rows)

    def choose(self, name: str) -> Choice:
        """Keep a picture, named by path, id or SHA-256. Raises UnknownId."""
        choice = Choice(*content_of(self._photos, name), _now())
        self.add([choice])
        return choice

    def forget(self, name: str) -> int:
        """Leave it to the rules again. Returns how many choices went: 1 or 0. Raises UnknownId."""
        return self._table.remove([content_of(self._photos, name)[0]])


def as_choice(values: Mapping[str, Any]) -> Choice:
    """A choice of one JSON object: keep (SHA-256); a name is welcome. Raises BadQuery."""
    keep = values.get("keep")
    if not (isinstance(keep, str) and is_hash(keep)):
        raise BadQuery(f'a choice needs keep, the SHA-256 of a file, but has {keep!r}; write {{"keep": "…"}}')
    return Choice(keep, str(values.get("name") or ""), str(values.get("when") or ""))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
