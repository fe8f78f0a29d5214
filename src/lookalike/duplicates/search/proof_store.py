"""What pairs of contents were found to be, kept in the collection: a search that was stopped goes on where it was.

A pair is known by the hashes of its two files, and what was found holds for one calibration only. Pairs that are no
copies are kept too: they are most of the work. What a whole search did not ask for again is forgotten.
"""

import hashlib
import json
import time
import zlib
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from lookalike.duplicates.search.proof import Proof
from lookalike.errors import ReadOnly
from lookalike.relate import Calibration, Evidence, Match, Verdict
from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region
from lookalike.relate.geometry.overlay import Agreement
from lookalike.search import Collection
from lookalike.types import Relation, Scalar

TABLE = "proofs"
VERSION = 2  # of how pairs are judged: another one makes all that was kept void
_EVERY = 5.0  # seconds between commits
_KEEP_ALL = 3  # times what was asked for: below, forgetting the rest is not worth a commit
_NO_COPY = b""


class ProofStore:
    """The pairs of one collection. `keep`: false where nothing may be written; then they are kept in memory."""

    def __init__(self, photos: Collection, calibration: Calibration, *, keep: bool = True) -> None:
        self._table, self._keep = photos.store.table(TABLE, key="pair"), keep
        self._judged_by = _judged_by(calibration)
        rows = self._table.all() if keep else []
        self._known = {str(row["pair"]): row["proof"] for row in rows if row["judged_by"] == self._judged_by}
        self._void = [str(row["pair"]) for row in rows if row["judged_by"] != self._judged_by]
        self._fresh: dict[str, bytes] = {}
        self._asked: set[str] = set()
        self._written = time.monotonic()

    def __contains__(self, pair: str) -> bool:
        return pair in self._known or pair in self._fresh

    def get(self, pair: str) -> Proof | None:
        """What was found of a pair that is kept: the proof, or None where it is no copy."""
        self._asked.add(pair)
        packed = self._fresh.get(pair, self._known.get(pair))
        return None if not isinstance(packed, bytes) or not packed else _unpacked(packed)

    def put(self, pair: str, proof: Proof | None) -> None:
        """Keep what was found; on the disk after some seconds, or with `flush`."""
        self._asked.add(pair)
        self._fresh[pair] = _NO_COPY if proof is None else _packed(proof)
        if self._keep and time.monotonic() - self._written > _EVERY:
            self.flush()

    def flush(self) -> None:
        """Commit what was found since."""
        if self._keep and self._fresh:
            rows: list[dict[str, Scalar]] = [
                {"pair": pair, "judged_by": self._judged_by, "proof": proof} for pair, proof in self._fresh.items()
            ]
            try:
                self._table.put(rows)
            except ReadOnly:
                self._keep = False
            self._known.update(self._fresh)
            self._fresh = {}
        self._written = time.monotonic()

    def forget_the_rest(self) -> None:
        """After a whole search: drop what was judged otherwise, and pairs that are asked for no more."""
        self.flush()
        gone = self._void + [pair for pair in self._known if pair not in self._asked]
        if self._keep and gone and (self._void or len(self._known) > _KEEP_ALL * len(self._asked)):
            self._table.remove(gone)


def _judged_by(calibration: Calibration) -> str:
    told = [VERSION, calibration.to_json(), *(part.to_json() for part in calibration.geometry.parts)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _packed(proof: Proof) -> bytes:
    raw = asdict(proof)
    verdict = raw["verdict"]
    if verdict is not None and (match := verdict["evidence"]["match"]) is not None:
        match.pop("points")  # drawn by nobody here, and most of the size
    return zlib.compress(json.dumps(raw, default=_plain).encode())


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _unpacked(packed: bytes) -> Proof:
    raw = json.loads(zlib.decompress(packed))
    verdict = raw.pop("verdict")
    return Proof(**raw, verdict=None if verdict is None else _verdict(verdict))


def _verdict(raw: dict[str, Any]) -> Verdict:
    evidence = raw.pop("evidence")
    match, content = evidence.pop("match"), evidence.pop("content")
    relation = Relation(raw.pop("relation"))
    seen = Evidence(
        **evidence,
        match=None if match is None else _match(match),
        content=None if content is None else _content(content),
    )
    return Verdict(relation=relation, evidence=seen, **raw)


def _match(raw: dict[str, Any]) -> Match:
    transform, outline = (np.array(raw.pop(name), np.float64) for name in ("transform", "outline"))
    return Match(agreement=Agreement(**raw.pop("agreement")), transform=transform, outline=outline, **raw)


def _content(raw: dict[str, Any]) -> Content:
    regions = tuple(Region(**(region | {"box": tuple(region["box"])})) for region in raw.pop("regions"))
    known = {field.name for field in fields(Content)}
    return Content(regions=regions, **{name: value for name, value in raw.items() if name in known})
