"""Proofs stored in the collection, so that an interrupted search continues where it stopped.

The key of a pair is the hashes of its two files, and a proof is valid for one calibration only. Pairs that are no
copies are stored too, since they are most of the work. A complete search removes the pairs that it did not use.
"""

import hashlib
import json
import time
import zlib
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from lookalike.deprecation import with_new_keys
from lookalike.duplicates.search.proof import Proof
from lookalike.errors import ReadOnly
from lookalike.relate import Calibration, Evidence, Match, Verdict
from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region
from lookalike.relate.facts import changes_from_record
from lookalike.relate.geometry.overlay import Agreement
from lookalike.schema import PROOFS
from lookalike.search import Collection
from lookalike.types import Relation, Scalar

VERSION = 3  # of the verification: a new one invalidates all stored proofs
_COMMIT_INTERVAL = 5.0  # seconds between commits
_MAX_UNUSED_RATIO = 3  # stored pairs for each used one, up to which a removal is not worth a commit
_NO_COPY = b""


class ProofStore:
    """The proofs of one collection. `keep`: false if nothing may be written; then they are held in memory only."""

    def __init__(self, photos: Collection, calibration: Calibration, *, keep: bool = True) -> None:
        self._table, self._keep = photos.store.table(PROOFS.name, key=PROOFS.key), keep
        self._judged_by = _judged_by(calibration)
        rows = self._table.all() if keep else []
        self._saved = {str(row["pair"]): row["proof"] for row in rows if row["judged_by"] == self._judged_by}
        self._outdated = [str(row["pair"]) for row in rows if row["judged_by"] != self._judged_by]
        self._unsaved: dict[str, bytes] = {}
        self._used: set[str] = set()
        self._committed_at = time.monotonic()

    def __contains__(self, pair: str) -> bool:
        return pair in self._saved or pair in self._unsaved

    def get(self, pair: str) -> Proof | None:
        """Return the proof of a stored pair, or None if it is no copy."""
        self._used.add(pair)
        packed = self._unsaved.get(pair, self._saved.get(pair))
        return None if not isinstance(packed, bytes) or not packed else _unpacked(packed)

    def put(self, pair: str, proof: Proof | None) -> None:
        """Store a proof, or None for no copy. It is committed after some seconds, or by `flush`."""
        self._used.add(pair)
        self._unsaved[pair] = _NO_COPY if proof is None else _packed(proof)
        if self._keep and time.monotonic() - self._committed_at > _COMMIT_INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Commit the proofs stored since the last commit."""
        if self._keep and self._unsaved:
            rows: list[dict[str, Scalar]] = [
                {"pair": pair, "judged_by": self._judged_by, "proof": proof} for pair, proof in self._unsaved.items()
            ]
            try:
                self._table.put(rows)
            except ReadOnly:
                self._keep = False
            self._saved.update(self._unsaved)
            self._unsaved = {}
        self._committed_at = time.monotonic()

    def remove_unused(self) -> None:
        """After a complete search, remove proofs of other calibrations and pairs that the search did not use."""
        self.flush()
        unused = self._outdated + [pair for pair in self._saved if pair not in self._used]
        if self._keep and unused and (self._outdated or len(self._saved) > _MAX_UNUSED_RATIO * len(self._used)):
            self._table.remove(unused)


def _judged_by(calibration: Calibration) -> str:
    values = [VERSION, calibration.to_json(), *(part.to_json() for part in calibration.geometry.parts)]
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _packed(proof: Proof) -> bytes:
    raw = asdict(proof)
    verdict = raw["verdict"]
    if verdict is not None and (match := verdict["evidence"]["match"]) is not None:
        match.pop("points")  # not used here, and most of the size
    return zlib.compress(json.dumps(raw, default=_plain).encode())


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _unpacked(packed: bytes) -> Proof:
    raw = json.loads(zlib.decompress(packed))
    verdict = raw.pop("verdict")
    changes = changes_from_record(raw.pop("changes", None))  # older versions stored only words
    return Proof(**raw, changes=changes, verdict=None if verdict is None else _verdict(verdict))


def _verdict(raw: dict[str, Any]) -> Verdict:
    evidence = raw.pop("evidence")
    match, content = evidence.pop("match"), evidence.pop("content")
    relation = Relation(raw.pop("relation"))
    verdict_evidence = Evidence(
        **evidence,
        match=None if match is None else _match(match),
        content=None if content is None else _content(content),
    )
    return Verdict(relation=relation, evidence=verdict_evidence, **raw)


def _match(raw: dict[str, Any]) -> Match:
    transform, outline = (np.array(raw.pop(name), np.float64) for name in ("transform", "outline"))
    return Match(
        agreement=Agreement(**with_new_keys(raw.pop("agreement"))), transform=transform, outline=outline, **raw
    )


def _content(raw: dict[str, Any]) -> Content:
    regions = tuple(Region(**(region | {"box": tuple(region["box"])})) for region in raw.pop("regions"))
    known = {field.name for field in fields(Content)}
    return Content(regions=regions, **{name: value for name, value in with_new_keys(raw).items() if name in known})
