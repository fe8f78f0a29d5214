"""Images that a user chose to keep, before any rule. Stored in the collection by content hash.

A choice is about one image, not about a pair, so choices cannot contradict each other: if a group has two chosen
images, the one chosen last is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lookalike.duplicates.review.decisions import is_sha256, resolve_file
from lookalike.duplicates.search.collection_arrays import is_link, may_replace
from lookalike.errors import BadQuery, UnknownId
from lookalike.schema import KEEP_CHOICES
from lookalike.search import Collection
from lookalike.types import DuplicateGroup, Extra, Hit


@dataclass(frozen=True, slots=True)
class KeepChoice:
    """One choice. `keep`: the SHA-256 of the file. `name`: its path or id then. `when`: UTC, in microseconds."""

    keep: str
    name: str = ""
    when: str = ""


class KeepChoices:
    """The choices of a collection."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._table = photos.store.table(KEEP_CHOICES.name, key=KEEP_CHOICES.key)

    def all(self) -> list[KeepChoice]:
        """Return all choices, oldest first."""
        rows = [
            KeepChoice(*(str(row.get(name) or "") for name in ("keep", "name", "when"))) for row in self._table.all()
        ]
        return sorted(rows, key=lambda choice: (choice.when, choice.keep))

    def by_content(self) -> dict[str, tuple[int, str]]:
        """Return (rank, name) by SHA-256; ranks count from 1, oldest choice first."""
        return {choice.keep: (n, choice.name) for n, choice in enumerate(self.all(), 1)}

    def add(self, choices: Iterable[KeepChoice]) -> int:
        """Store choices; of two about one image the later one wins. Returns the number of images."""
        stored = {choice.keep: choice for choice in self.all()}
        latest: dict[str, KeepChoice] = {}
        for choice in choices:
            dated = replace(choice, when=choice.when or self._now())
            latest[choice.keep] = max(dated, latest.get(choice.keep, dated), key=lambda each: each.when)
        newer = [each for keep, each in latest.items() if keep not in stored or each.when > stored[keep].when]
        if newer:
            self._table.put([asdict(choice) for choice in newer])
        return len(latest)

    def choose(self, name: str) -> KeepChoice:
        """Choose an image, named by path, id or SHA-256. Raises UnknownId, BadQuery."""
        keep, path = resolve_file(self._photos, name)
        if path != keep and is_link(path):
            raise BadQuery(f"{path} is a link, and files are always kept before links; choose the file")
        choice = KeepChoice(keep, path, self._now())
        self.add([choice])
        return choice

    def forget(self, name: str) -> int:
        """Remove the choice of an image. Returns the number of choices removed, 1 or 0. Raises UnknownId."""
        try:
            return self._table.remove([resolve_file(self._photos, name)[0]])
        except UnknownId:
            from lookalike.image import absolute_text

            # The image may no longer be in the collection while its choice, with its name, still is.
            matches = [choice.keep for choice in self.all() if name and choice.name in (name, absolute_text(name))]
            if not matches:
                raise
            return self._table.remove(matches)

    def _now(self) -> str:
        """Return the current time, or one just after the latest choice if that is in the future (a wrong clock)."""
        latest = max((choice.when for choice in self.all()), default="")
        after = (
            datetime.fromisoformat(latest) + timedelta(microseconds=1) if latest else datetime.min.replace(tzinfo=UTC)
        )
        return _to_text(max(datetime.now(UTC), after))


def precedence(chosen: Mapping[str, tuple[int, str]], sha256: str, path: str) -> tuple[int, bool]:
    """Return a sort key, larger for later choices and, among files with the same bytes, for the one that was named.

    `chosen`: `KeepChoices.by_content`. `sha256`: of the file. (0, False) if it was not chosen.
    """
    rank, name = chosen.get(sha256, (0, None))
    return rank, path == name


def chosen_extra(group: DuplicateGroup, chosen: Mapping[str, tuple[int, str]]) -> str | None:
    """Return the id of the extra that the next search keeps because it was chosen last; None if `keep` stays.

    `chosen`: `KeepChoices.by_content`.
    """
    if group.keep.metadata.get("reference"):
        return None
    keep_rank, _ = _precedence(chosen, group.keep)
    ranked = [
        (_precedence(chosen, extra), extra.id) for extra in group.extras if may_replace(_path(extra), _path(group.keep))
    ]
    later = [(order, name) for order, name in ranked if order[0] > keep_rank]
    return max(later)[1] if later else None


def _precedence(chosen: Mapping[str, tuple[int, str]], image: Hit | Extra) -> tuple[int, bool]:
    return precedence(chosen, str(image.metadata.get("sha256") or ""), _path(image))


def _path(image: Hit | Extra) -> str:
    return str(image.metadata.get("path") or "")


def as_keep_choice(values: Mapping[str, Any]) -> KeepChoice:
    """Parse a choice from a JSON object: keep (SHA-256), and optionally name and when. Raises BadQuery."""
    keep, name, when = values.get("keep"), values.get("name") or "", values.get("when") or ""
    if not (isinstance(keep, str) and is_sha256(keep)):
        raise BadQuery(f'a choice needs keep, the SHA-256 of a file, but has {keep!r}; write {{"keep": "…"}}')
    if not isinstance(name, str):
        raise BadQuery(f"the name of a choice is {name!r}; give a string, or leave it out")
    if extra_keys := {"first", "second", "verdict"} & set(values):
        raise BadQuery(f"a choice is about one image, but this has {min(extra_keys)} too; write two lines")
    try:
        moment = datetime.fromisoformat(when) if when else None
    except (TypeError, ValueError):
        raise BadQuery(f"when is {when!r}; give a time such as 2026-01-31T12:00:00+00:00, or leave it out") from None
    return KeepChoice(keep, name, _to_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) if moment else "")


def _to_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
