"""A user's decisions about pairs of images, stored in the collection by content hash.

A decision survives re-indexing, renaming and moving, and its pair is not presented again. Decisions are also labels for
the calibration: "not-a-copy" is a wrong pair, "copy" and "keep-both" are correct ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, get_args

from lookalike.errors import BadQuery, UnknownId, nearest
from lookalike.schema import DECISIONS
from lookalike.search import Collection
from lookalike.store.where import quote_text
from lookalike.types import Metadata, Row

DecisionVerdict: TypeAlias = Literal["not-a-copy", "keep-both", "copy"]
_COLUMNS = ("sha256", "path")
VERDICTS: tuple[str, ...] = get_args(DecisionVerdict)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `first`, `second`: SHA-256 of the two files, sorted. The names are their paths or ids then."""

    first: str
    second: str
    verdict: str
    first_name: str = ""
    second_name: str = ""
    when: str = ""

    @property
    def key(self) -> str:
        """The key of the pair, the same for (a, b) and (b, a)."""
        return pair_key(self.first, self.second)


class Decisions:
    """The decisions of a collection."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._table = photos.store.table(DECISIONS.name, key=DECISIONS.key)

    def all(self) -> list[Decision]:
        """Return all decisions, ordered by the pair's hashes."""
        return [_from_row(row) for row in self._table.all()]

    def by_pair(self) -> dict[str, str]:
        """Return the verdicts by `pair_key`."""
        return {decision.key: decision.verdict for decision in self.all()}

    def add(self, decisions: Iterable[Decision]) -> int:
        """Store decisions; a later one about the same pair replaces the earlier one. Returns the number of pairs."""
        rows = [_to_row(decision) for decision in decisions]
        if rows:
            self._table.put(rows)
        return len({row["pair"] for row in rows})

    def decide(self, first: str, second: str, verdict: str) -> Decision:
        """Store a decision about two images, named by path, id or SHA-256. Raises UnknownId, BadQuery."""
        (a, a_name), (b, b_name) = (resolve_file(self._photos, name) for name in (first, second))
        if a > b:
            a, b, a_name, b_name = b, a, b_name, a_name
        decision = _validated(Decision(a, b, verdict, a_name, b_name))
        self.add([decision])
        return decision

    def forget(self, first: str, second: str) -> int:
        """Remove a decision. Returns the number of decisions removed, 1 or 0. Raises UnknownId."""
        return self._table.remove([pair_key(*(resolve_file(self._photos, name)[0] for name in (first, second)))])

    def labeled_pairs(self) -> list[tuple[str, str, bool]]:
        """Return (id, id, is a copy) of each decision about two files in the collection: labels for `calibrate`."""
        decisions = self.all()
        if not decisions:
            return []
        by_hash: dict[str, str] = {}
        for part in self._photos.store.scan(["id", "sha256"]):
            by_hash.update(zip(map(str, part["sha256"]), map(str, part["id"]), strict=True))
        return [
            (by_hash[decision.first], by_hash[decision.second], decision.verdict != "not-a-copy")
            for decision in decisions
            if decision.first != decision.second and {decision.first, decision.second} <= by_hash.keys()
        ]

    def decide_ids(self, pairs: Sequence[tuple[str, str, str | None]]) -> int:
        """Store decisions about pairs of ids, in at most two writes; the verdict None removes a decision.

        Returns the number of pairs. Raises UnknownId, BadQuery; then nothing is stored.
        """
        ids = list(dict.fromkeys(name for first, second, _ in pairs for name in (first, second)))
        rows = dict(zip(ids, self._photos.get(ids, _COLUMNS), strict=True))
        decisions, removed = [], []
        for first, second, verdict in pairs:
            (a, a_name), (b, b_name) = sorted(_file_of_row(rows[name], name) for name in (first, second))
            if verdict is None:
                removed.append(pair_key(a, b))
            else:
                decisions.append(_validated(Decision(a, b, verdict, a_name, b_name)))
        if removed:
            self._table.remove(removed)
        self.add(decisions)
        return len(pairs)


def resolve_file(photos: Collection, name: str) -> tuple[str, str]:
    """Return the SHA-256 and the path (or id) of an image, named by path, id or SHA-256. Raises UnknownId."""
    from lookalike.image import absolute_text

    if is_sha256(name):
        return name, name
    ids = [name, name.removeprefix("id:")] if name else []
    for row in photos.get(ids, _COLUMNS):
        if row is not None and row.metadata.get("sha256"):
            return str(row.metadata["sha256"]), str(row.metadata.get("path") or row.id)
    path = absolute_text(name) if name else ""
    for part in photos.store.scan(_COLUMNS, where=f"path = {quote_text(path)} and sha256 <> ''"):
        if len(part["sha256"]):
            return str(part["sha256"][0]), path
    raise UnknownId(
        f"{name or 'an empty name'} is not an image of the collection",
        subject=photos.uri,
        location=photos.uri,
        hint="name one by its path or its id, or add it first",
        command=f"index {name or 'FOLDER'} -c {photos.uri}",
    )


def _file_of_row(row: Row | None, name: str) -> tuple[str, str]:
    if row is None or not row.metadata.get("sha256"):
        raise UnknownId(f"{name} is not an image with a file in the collection; nothing was saved")
    return str(row.metadata["sha256"]), str(row.metadata.get("path") or row.id)


def pair_key(first: str, second: str) -> str:
    """Return the key of a pair of hashes, the same for (a, b) and (b, a)."""
    return "|".join(sorted((first, second)))


def as_decision(values: Mapping[str, Any]) -> Decision:
    """Parse a decision from a JSON object: first, second (SHA-256), verdict, and optional names. Raises BadQuery."""
    first, second = (values.get(side) for side in ("first", "second"))
    if not (isinstance(first, str) and isinstance(second, str) and is_sha256(first) and is_sha256(second)):
        raise BadQuery(
            f"a decision needs first and second, the SHA-256 of two files, but has {first!r} and {second!r}; "
            'write {"first": "…", "second": "…", "verdict": "not-a-copy"}'
        )
    name, other_name = (str(values.get(side) or "") for side in ("first_name", "second_name"))
    if first > second:
        first, second, name, other_name = second, first, other_name, name
    when = str(values.get("when") or "")
    return _validated(Decision(first, second, str(values.get("verdict")), name, other_name, when))


def _validated(decision: Decision) -> Decision:
    if decision.verdict not in VERDICTS:
        raise BadQuery(f"{decision.verdict!r} is not a verdict; {nearest(decision.verdict, VERDICTS)}")
    if decision.first == decision.second and decision.verdict == "not-a-copy":
        raise BadQuery("the two files have the same bytes, so they are copies; to keep both, use keep-both")
    return decision


def _from_row(row: Metadata) -> Decision:
    first, _, second = str(row["pair"]).partition("|")
    verdict, name, other_name, when = (str(row.get(column) or "") for column in ("verdict", "a", "b", "decided"))
    return Decision(first, second, verdict, name, other_name, when)


def _to_row(decision: Decision) -> dict[str, str]:
    return {
        "pair": decision.key,
        "verdict": decision.verdict,
        "a": decision.first_name,
        "b": decision.second_name,
        "decided": decision.when or datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_sha256(text: str) -> bool:
    """Return whether a text is a SHA-256 in lower-case hexadecimal digits."""
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
