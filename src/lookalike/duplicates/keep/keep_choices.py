"""Pictures that a person chose to keep, whatever the rules say: kept in the collection by what the file holds.

A choice is about one picture, not about a pair, so choices cannot contradict each other: of two chosen pictures of one
group the one chosen last is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lookalike.duplicates.review.decisions import content_of, is_hash
from lookalike.duplicates.search.collection_arrays import is_link, may_be_chosen
from lookalike.errors import BadQuery, UnknownId
from lookalike.search import Collection
from lookalike.types import DuplicateGroup, Extra, Hit

TABLE = "chosen"


@dataclass(frozen=True, slots=True)
class KeepChoice:
    """`keep`: the SHA-256 of the file. `name`: what it was called. `when`: UTC, to a millionth of a second."""

    keep: str
    name: str = ""
    when: str = ""


class Chosen:
    """The choices of a collection."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._table = photos.store.table(TABLE, key="keep")

    def all(self) -> list[KeepChoice]:
        """Every choice, in the order in which they were made."""
        rows = [
            KeepChoice(*(str(row.get(name) or "") for name in ("keep", "name", "when"))) for row in self._table.all()
        ]
        return sorted(rows, key=lambda choice: (choice.when, choice.keep))

    def by_content(self) -> dict[str, tuple[int, str]]:
        """From SHA-256 to 1, 2, 3 ... (what was chosen later has the larger number) and the file that was named."""
        return {choice.keep: (n, choice.name) for n, choice in enumerate(self.all(), 1)}

    def add(self, choices: Iterable[KeepChoice]) -> int:
        """Keep them; of two about one picture the later stays. Returns how many pictures they are about."""
        known = {choice.keep: choice for choice in self.all()}
        latest: dict[str, KeepChoice] = {}
        for choice in choices:
            dated = replace(choice, when=choice.when or self._now())
            latest[choice.keep] = max(dated, latest.get(choice.keep, dated), key=lambda one: one.when)
        newer = [one for keep, one in latest.items() if keep not in known or one.when > known[keep].when]
        if newer:
            self._table.put([asdict(choice) for choice in newer])
        return len(latest)

    def choose(self, name: str) -> KeepChoice:
        """Keep a picture, named by path, id or SHA-256. Raises UnknownId, BadQuery."""
        keep, path = content_of(self._photos, name)
        if path != keep and is_link(path):
            raise BadQuery(f"{path} is a link, and a file is kept before a link to it; choose the file")
        choice = KeepChoice(keep, path, self._now())
        self.add([choice])
        return choice

    def forget(self, name: str) -> int:
        """Leave it to the rules again. Returns how many choices went: 1 or 0. Raises UnknownId."""
        try:
            return self._table.remove([content_of(self._photos, name)[0]])
        except UnknownId:
            from lookalike.indexing.plan import absolute_text

            # The file may be gone, and the choice with its name still here.
            gone = [choice.keep for choice in self.all() if name and choice.name in (name, absolute_text(name))]
            if not gone:
                raise
            return self._table.remove(gone)

    def _now(self) -> str:
        """Now, or right after the last choice where a clock was wrong: what is chosen now is chosen last."""
        last = max((choice.when for choice in self.all()), default="")
        after = datetime.fromisoformat(last) + timedelta(microseconds=1) if last else datetime.min.replace(tzinfo=UTC)
        return _text(max(datetime.now(UTC), after))


def precedence(chosen: Mapping[str, tuple[int, str]], content: str, path: str) -> tuple[int, bool]:
    """Larger for what is kept first: what was chosen later, and of files with the same bytes the one that was named.

    `chosen`: `Chosen.by_content`. `content`: a SHA-256. (0, False) where it was not chosen.
    """
    rank, name = chosen.get(content, (0, None))
    return rank, path == name


def chosen_instead(group: DuplicateGroup, chosen: Mapping[str, tuple[int, str]]) -> str | None:
    """The id of the extra that was chosen last and is kept from the next search on; None where the kept one stays.

    `chosen`: `Chosen.by_content`.
    """
    if group.keep.metadata.get("reference"):
        return None
    kept, _ = _precedence(chosen, group.keep)
    ranked = [
        (_precedence(chosen, extra), extra.id)
        for extra in group.extras
        if may_be_chosen(_path(extra), _path(group.keep))
    ]
    later = [(order, name) for order, name in ranked if order[0] > kept]
    return max(later)[1] if later else None


def _precedence(chosen: Mapping[str, tuple[int, str]], image: Hit | Extra) -> tuple[int, bool]:
    return precedence(chosen, str(image.metadata.get("sha256") or ""), _path(image))


def _path(image: Hit | Extra) -> str:
    return str(image.metadata.get("path") or "")


def as_keep_choice(values: Mapping[str, Any]) -> KeepChoice:
    """A choice of one JSON object: keep (SHA-256); a name, and when it was made, are welcome. Raises BadQuery."""
    keep, name, when = values.get("keep"), values.get("name") or "", values.get("when") or ""
    if not (isinstance(keep, str) and is_hash(keep)):
        raise BadQuery(f'a choice needs keep, the SHA-256 of a file, but has {keep!r}; write {{"keep": "…"}}')
    if not isinstance(name, str):
        raise BadQuery(f"the name of a choice is {name!r}; give a text, or leave it out")
    if more := {"first", "second", "verdict"} & set(values):
        raise BadQuery(f"a choice is about one picture, but this has {min(more)} too; write two lines")
    try:
        moment = datetime.fromisoformat(when) if when else None
    except (TypeError, ValueError):
        raise BadQuery(f"when is {when!r}; give a moment such as 2026-01-31T12:00:00+00:00, or leave it out") from None
    return KeepChoice(keep, name, _text(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) if moment else "")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
