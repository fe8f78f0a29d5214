"""The proof that one image is a copy of another, and its description in words."""

from dataclasses import dataclass, replace

from lookalike.duplicates.search.collection_arrays import FileFacts
from lookalike.relate import Verdict, chain, shows_the_same, swap_sides
from lookalike.relate.words.explain import Explanation, explain
from lookalike.relate.words.sentences import phrase, phrases
from lookalike.types import RGB, Change, ChangeKind, Relation, Shares

_IDENTITY: Shares = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_DIGITS = 6  # of a share: a thousandth of a pixel, and a third of the size in stored groups


@dataclass(frozen=True, slots=True)
class Proof:
    """Why an image is a copy of another.

    `words`: the edits between the two; "" until a proof with a verdict is described (`in_words`). `altered`: set with
    `words`, as in an Explanation: whether the image was altered, or its detail alone. `changes`: the edits as facts,
    set with `words`; None until then, and in proofs stored by older versions.
    """

    score: float
    relation: str
    probability: float
    words: str = ""
    verdict: Verdict | None = None
    altered: str = ""
    changes: tuple[Change, ...] | None = None


SAME_BYTES = Proof(1.0, str(Relation.IDENTICAL), 1.0, "same bytes", changes=())
_DECIDED = Change(ChangeKind.DECIDED_BY_USER)
DECIDED_BY_USER = Proof(0.0, str(Relation.COPY), 1.0, phrase(_DECIDED), changes=(_DECIDED,))


def swapped(proof: Proof | None, keep: FileFacts, other: FileFacts) -> Proof | None:
    """Return a proof that `other` is a copy of `keep` as the proof that `keep` is one of `other`, without words."""
    if proof is None or proof.verdict is None:
        return proof
    verdict = swap_sides(proof.verdict, (keep.width, keep.height), (other.width, other.height))
    return replace(proof, words="", altered="", changes=None, verdict=verdict)


def chained(first: Proof, second: Proof, ends: tuple[FileFacts, FileFacts], score: float) -> Proof | None:
    """Return the proof of (a, c) from those of (a, b) and (b, c).

    None if a and b do not show the same, so that (a, c) needs verification. `ends`: a and c. `score`: their cosine.
    """
    if first.verdict is None or second.verdict is None or not shows_the_same(first.verdict):
        return None
    match = second.verdict.evidence.match
    if match is None or match.model == "none":
        return None
    a, c = ends
    verdict = chain(first.verdict, second.verdict, ((a.width, a.height), (c.width, c.height)), score)
    return Proof(score, str(Relation.COPY), verdict.copy, verdict=verdict)


def in_words(keep: FileFacts, other: FileFacts, proof: Proof, thumbnails: tuple[RGB, RGB] | None) -> Proof:
    """Return the proof with `words` and `changes`: the edits from `keep` to `other`.

    `thumbnails`: of the two, if both have one.
    """
    if proof.verdict is None or proof.words:
        return proof
    explanation = explain(*thumbnails, proof.verdict) if thumbnails else None
    details = explanation.details if explanation else ""
    between_files = _file_changes(keep, other, sizes=not details)
    words = "; ".join([details, *phrases(between_files)]).strip("; ") or f"score {proof.score:.3f}"
    changes = (*_image_changes(proof.verdict, explanation), *between_files)
    return replace(proof, words=words, changes=changes, altered=explanation.altered if explanation else "")


def transform_of(proof: Proof) -> Shares | None:
    """Return the transform from the kept image's frame to the other's; None if geometry did not determine it."""
    if proof.relation == str(Relation.IDENTICAL):
        return _IDENTITY
    match = None if proof.verdict is None else proof.verdict.evidence.match
    if match is None or match.model == "none":
        return None
    return tuple(tuple(round(float(value), _DIGITS) for value in row) for row in match.transform)


def _image_changes(verdict: Verdict, explanation: Explanation | None) -> tuple[Change, ...]:
    """The changes of an explanation, led by the shared layout of two images that are no copies."""
    if explanation is None:
        return ()
    compared = explanation.agreement_map is not None
    layout = (Change(ChangeKind.SAME_LAYOUT),) if compared and verdict.relation < Relation.COPY else ()
    return layout + explanation.changes


def _file_changes(keep: FileFacts, other: FileFacts, *, sizes: bool) -> list[Change]:
    changes = []
    if sizes and (keep.width, keep.height) != (other.width, other.height) and other.width and keep.width:
        pixels = {"width": other.width, "height": other.height, "first_width": keep.width, "first_height": keep.height}
        changes.append(Change(ChangeKind.SIZE_DIFFERS, pixels))
    if keep.format != other.format and other.format and keep.format:
        changes.append(Change(ChangeKind.FORMAT_DIFFERS, {"format": other.format, "first_format": keep.format}))
    return changes
