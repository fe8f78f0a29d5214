"""What a person decided about two pictures, kept in the collection by what the files hold, not by where they lie.

A decision outlives re-indexing, renaming and moving, is never asked for again, and tells the calibration what a copy
is: "not-a-copy" is a wrong pair, "copy" and "keep-both" are right ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, get_args

from lookalike.errors import BadQuery, UnknownId, nearest
from lookalike.search import Collection
from lookalike.types import Metadata, Row

TABLE = "decisions"
Verdict: TypeAlias = Literal["not-a-copy", "keep-both", "copy"]
_FACTS = ("sha256", "path")
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `first` and `second`: SHA-256 of the two files, in order; the names are what they were called."""

    first: str
    second: str
    verdict: str
    first_name: str = ""
    second_name: str = ""
    when: str = ""

    @property
    def key(self) -> str:
        return pair_key(self.first, self.second)


class Decisions:
    """The decisions of a collection."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._table = photos.store.table(TABLE, key="pair")

    def all(self) -> list[Decision]:
        """Every decision, ordered by the pair's hashes."""
        return [_decision(row) for row in self._table.all()]

    def by_pair(self) -> dict[str, str]:
        """Verdicts by `pair_key`."""
        return {decision.key: decision.verdict for decision in self.all()}

    def add(self, decisions: Iterable[Decision]) -> int:
        """Keep them; a later one about the same two pictures replaces the earlier. Returns how many."""
        rows = [_row(decision) for decision in decisions]
        if rows:
            self._table.put(rows)
        return len({row["pair"] for row in rows})

    def decide(self, first: str, second: str, verdict: str) -> Decision:
        """Decide about two pictures, named by path, id or SHA-256. Raises UnknownId, BadQuery."""
        (a, a_name), (b, b_name) = (content_of(self._photos, name) for name in (first, second))
        if a > b:
            a, b, a_name, b_name = b, a, b_name, a_name
        decision = _checked(Decision(a, b, verdict, a_name, b_name))
        self.add([decision])
        return decision

    def forget(self, first: str, second: str) -> int:
        """Take a decision back. Returns how many went: 1 or 0."""
        return self._table.remove([pair_key(*(content_of(self._photos, name)[0] for name in (first, second)))])

    def decide_ids(self, pairs: Sequence[tuple[str, str, str | None]]) -> int:
        """Decide about many pairs of ids in two writes at most; None takes a decision back. Returns how many pairs.

        Raises UnknownId, BadQuery; then none of them is decided.
        """
        ids = list(dict.fromkeys(name for first, second, _ in pairs for name in (first, second)))
        rows = dict(zip(ids, self._photos.get(ids, _FACTS), strict=True))
        decisions, forgotten = [], []
        for first, second, verdict in pairs:
            (a, a_name), (b, b_name) = sorted(_content_of_row(rows[name], name) for name in (first, second))
            if verdict is None:
                forgotten.append(pair_key(a, b))
            else:
                decisions.append(_checked(Decision(a, b, verdict, a_name, b_name)))
        if forgotten:
            self._table.remove(forgotten)
        self.add(decisions)
        return len(pairs)


def content_of(photos: Collection, name: str) -> tuple[str, str]:
    """The SHA-256 and the path of a picture, named by path, id or SHA-256. Raises UnknownId."""
    from lookalike.indexing.plan import absolute_text

    if is_hash(name):
        return name, name
    known = [name, name.removeprefix("id:")] if name else []
    for row in photos.get(known, _FACTS):
        if row is not None and row.metadata.get("sha256"):
            return str(row.metadata["sha256"]), str(row.metadata.get("path") or row.id)
    path = absolute_text(name) if name else ""
    quoted = path.replace("'", "''")
    for part in photos.store.scan(_FACTS, where=f"path = '{quoted}' and sha256 <> ''"):
        if len(part["sha256"]):
            return str(part["sha256"][0]), path
    raise UnknownId(
        f"{name or 'nothing'} is no picture in {photos.uri}; name one of it by its path or its id, "
        "or take it in with: lookalike index"
    )


def _content_of_row(row: Row | None, name: str) -> tuple[str, str]:
    if row is None or not row.metadata.get("sha256"):
        raise UnknownId(f"{name} is no picture of the collection with a file; nothing was decided")
    return str(row.metadata["sha256"]), str(row.metadata.get("path") or row.id)


def pair_key(first: str, second: str) -> str:
    """The two hashes in order: the same for (a, b) and (b, a)."""
    return "|".join(sorted((first, second)))


def as_decision(values: Mapping[str, Any]) -> Decision:
    """A decision of one JSON object: first, second (SHA-256) and verdict; names are welcome. Raises BadQuery."""
    first, second = (values.get(side) for side in ("first", "second"))
    if not (isinstance(first, str) and isinstance(second, str) and is_hash(first) and is_hash(second)):
        raise BadQuery(
            f"a decision needs first and second, the SHA-256 of two files, but has {first!r} and {second!r}; "
            'write {"first": "…", "second": "…", "verdict": "not-a-copy"}'
        )
    one, other = (str(values.get(side) or "") for side in ("first_name", "second_name"))
    if first > second:
        first, second, one, other = second, first, other, one
    return _checked(Decision(first, second, str(values.get("verdict")), one, other, str(values.get("when") or "")))


def _checked(decision: Decision) -> Decision:
    if decision.verdict not in VERDICTS:
        raise BadQuery(f"{decision.verdict!r} is no verdict; {nearest(decision.verdict, VERDICTS)}")
    if decision.first == decision.second and decision.verdict == "not-a-copy":
        raise BadQuery("the two files hold the very same bytes: they are copies; to leave both alone say keep-both")
    return decision


def _decision(row: Metadata) -> Decision:
    first, _, second = str(row["pair"]).partition("|")
    verdict, one, other, when = (str(row.get(column) or "") for column in ("verdict", "a", "b", "decided"))
    return Decision(first, second, verdict, one, other, when)


def _row(decision: Decision) -> dict[str, str]:
    return {
        "pair": decision.key,
        "verdict": decision.verdict,
        "a": decision.first_name,
        "b": decision.second_name,
        "decided": decision.when or datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_hash(text: str) -> bool:
    """Whether a text is a SHA-256 as we write it."""
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
