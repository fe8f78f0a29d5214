"""Is one picture a copy of the other? The room `relate` judges; here it is asked, in bulk and with memory."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from lookalike.cluster.duplicates.contents import Contents
from lookalike.cluster.duplicates.rows import Picture, Rows
from lookalike.relate import Calibration, Subject, Verdict, features_of, judge
from lookalike.relate.cache import loader_of
from lookalike.relate.calibration import EVENS
from lookalike.relate.explain import explain
from lookalike.types import RGB, Relation, Shares

_KEPT = 1024  # pictures in memory: 250 kB each once their features were looked for
_FRAMES_AGREE = 0.95
_LEAST = 0.1  # P(copy) below which a pair is none, whatever was asked for
_AS_IT_IS: Shares = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_DIGITS = 6  # of a share: a thousandth of a pixel, and a third of the length in what is kept of groups


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a picture is a copy of another. `words`: of a verdict that was put into words, or of what needs none."""

    score: float
    relation: str
    probability: float
    words: str = ""
    verdict: Verdict | None = None


class Judge:
    """Holds pictures against each other. `look`: verify by geometry, else by whole frames and the score alone."""

    def __init__(self, contents: Contents, calibration: Calibration, *, look: bool = True) -> None:
        self._contents, self._calibration, self._look = contents, calibration, look
        self._subjects: OrderedDict[int, Subject] = OrderedDict()

    def prove_all(
        self, kept: Picture, row: int, others: Sequence[tuple[Picture, int]], pool: Executor
    ) -> list[Proof | None]:
        """The proof that each of the others is a copy of `kept`, or None. With each its row among the contents."""
        self.look_up((row, *(other_row for _, other_row in others)))
        return list(pool.map(lambda other: self.prove(kept, row, *other), others))

    def prove(self, kept: Picture, row: int, other: Picture, other_row: int) -> Proof | None:
        """The proof that `other` is a copy of `kept`, or None. `row`, `other_row`: their places among the contents."""
        if kept.sha256 and kept.sha256 == other.sha256:
            return Proof(1.0, str(Relation.IDENTICAL), 1.0, "the same bytes")
        if not self._frames_agree(kept, row, other, other_row):
            return None
        first, second = self._subjects[row], self._subjects[other_row]
        verdict = judge(first, second, self._calibration, depth="points" if self._look else "frames")
        if verdict.relation is Relation.CANNOT_TELL or verdict.copy < _LEAST:
            return None
        if verdict.relation is Relation.VARIANT and verdict.copy < EVENS:
            return None
        score = verdict.evidence.score if verdict.evidence.score is not None else 0.0
        return Proof(score, str(max(verdict.relation, Relation.COPY)), verdict.copy, verdict=verdict)

    def look_up(self, rows: Iterable[int]) -> None:
        """Fetch what is known of these rows together: one read of the collection instead of one a picture."""
        wanted = list(dict.fromkeys(rows))
        absent = [row for row in wanted if row not in self._subjects]
        for side in self._contents.sides:
            mine = [row for row in absent if self._contents.side(row)[0] is side]
            self._subjects.update(zip(mine, self._read(side, mine), strict=True))
        for row in wanted:
            self._subjects.move_to_end(row)
        while len(self._subjects) > max(_KEPT, len(wanted)):
            self._subjects.popitem(last=False)

    def _read(self, side: Rows, rows: Sequence[int]) -> Iterator[Subject]:
        ids = [side.ids[self._contents.side(row)[1]] for row in rows]
        stored = side.photos.get(ids, ["path", "frame", "sha256"]) if ids else []
        features = features_of(side.photos, ids) if ids else []
        for row, image_id, known, seen in zip(rows, ids, stored, features, strict=True):
            yield Subject(
                name=image_id,
                vector=self._contents.vector(row),
                features=seen,
                sha256=str(known.metadata.get("sha256") or "") if known else "",
                load=loader_of(side.photos, known),
            )

    def _frames_agree(self, kept: Picture, row: int, other: Picture, other_row: int) -> bool:
        """An animation is a copy of another only frame by frame, and never of a single picture."""
        if kept.frames != other.frames:
            return False
        pairs = zip(self._contents.all_frames(row)[1:], self._contents.all_frames(other_row)[1:], strict=False)
        return all(float(a @ b) >= _FRAMES_AGREE for a, b in pairs)


def describe(kept: Picture, other: Picture, proof: Proof, pictures: tuple[RGB, RGB] | None) -> str:
    """What was done to the kept picture to get the other. `pictures`: thumbnails of the two, where there are any."""
    if proof.verdict is None or proof.words:
        return proof.words
    told = explain(*pictures, proof.verdict).words.partition(": ")[2] if pictures else ""
    return "; ".join([told, *_facts(kept, other, sizes=not told)]).strip("; ") or f"score {proof.score:.3f}"


def lies(proof: Proof) -> Shares | None:
    """Where the kept picture lies in the other; None where no geometry tells."""
    if proof.relation == str(Relation.IDENTICAL):
        return _AS_IT_IS
    match = None if proof.verdict is None else proof.verdict.evidence.match
    if match is None or match.model == "none":
        return None
    return tuple(tuple(round(float(value), _DIGITS) for value in row) for row in match.transform)


def _facts(kept: Picture, other: Picture, *, sizes: bool) -> list[str]:
    facts = []
    if sizes and (kept.width, kept.height) != (other.width, other.height) and other.width and kept.width:
        facts.append(f"{other.width} × {other.height} instead of {kept.width} × {kept.height} pixels")
    if kept.format != other.format and other.format and kept.format:
        facts.append(f"{other.format} instead of {kept.format}")
    return facts
