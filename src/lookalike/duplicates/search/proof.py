"""What was found of two pictures of which one may be a copy of the other, and how it is told."""

from dataclasses import dataclass, replace

from lookalike.duplicates.search.collection_arrays import Picture
from lookalike.relate import Verdict, chain, shows_the_same, swap_sides
from lookalike.relate.words.explain import explain
from lookalike.types import RGB, Relation, Shares

_AS_IT_IS: Shares = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_DIGITS = 6  # of a share: a thousandth of a pixel, and a third of the length in what is kept of groups


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a picture is a copy of another. `words`: of a verdict that was put into words, or of what needs none; with
    them `altered`, as in an Explanation: whether the picture was, or its detail alone.
    """

    score: float
    relation: str
    probability: float
    words: str = ""
    verdict: Verdict | None = None
    altered: str = ""


SAME_BYTES = Proof(1.0, str(Relation.IDENTICAL), 1.0, "the same bytes")


def swapped(proof: Proof | None, kept: Picture, other: Picture) -> Proof | None:
    """The proof that `other` is a copy of `kept` as the proof that `kept` is one of `other`; not yet in words."""
    if proof is None or proof.verdict is None:
        return proof
    verdict = swap_sides(proof.verdict, (kept.width, kept.height), (other.width, other.height))
    return replace(proof, words="", altered="", verdict=verdict)


def chained(first: Proof, second: Proof, ends: tuple[Picture, Picture], score: float) -> Proof | None:
    """The proof of (a, c) from those of (a, b) and (b, c), where a and b show the same; None where they need a look.

    `ends`: a and c. `score`: their cosine.
    """
    if first.verdict is None or second.verdict is None or not shows_the_same(first.verdict):
        return None
    match = second.verdict.evidence.match
    if match is None or match.model == "none":
        return None
    a, c = ends
    verdict = chain(first.verdict, second.verdict, ((a.width, a.height), (c.width, c.height)), score)
    return Proof(score, str(Relation.COPY), verdict.copy, verdict=verdict)


def in_words(kept: Picture, other: Picture, proof: Proof, pictures: tuple[RGB, RGB] | None) -> Proof:
    """The proof with what was done to the kept picture to get the other. `pictures`: their thumbnails, if any."""
    if proof.verdict is None or proof.words:
        return proof
    told = explain(*pictures, proof.verdict) if pictures else None
    line = told.words.partition(": ")[2] if told else ""
    words = "; ".join([line, *_facts(kept, other, sizes=not line)]).strip("; ") or f"score {proof.score:.3f}"
    return replace(proof, words=words, altered=told.altered if told else "")


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
