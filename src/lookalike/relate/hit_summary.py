"""What the judged hits of a search are to the query, all together: copies of it, or how close the nearest come."""

from collections.abc import Iterable
from dataclasses import dataclass

from lookalike.relate.relation import Verdict
from lookalike.types import Relation

MIN_POSSIBLE_COPY = 0.25  # P(copy) from which a hit may be a copy; that of most unrelated images is below 0.1


@dataclass(frozen=True, slots=True)
class HitSummary:
    """Facts about the `judged` hits of a search.

    `copies`: how many are copies of the query or identical to it. `possible`: how many others may be one, by their
    P(copy). `undecided`: how many cannot be judged. `strongest`: the strongest relation to the query; CANNOT_TELL if no
    hit can be judged.
    """

    judged: int
    copies: int
    possible: int
    undecided: int
    strongest: Relation

    @property
    def nothing_is_a_copy(self) -> bool:
        """Whether no hit that can be judged is a copy; False if none can be judged."""
        return not self.copies and self.undecided < self.judged


def summarize_hits(verdicts: Iterable[Verdict]) -> HitSummary:
    """Return what the hits with these verdicts are to the query."""
    verdicts = list(verdicts)
    relations = [verdict.relation for verdict in verdicts]
    return HitSummary(
        judged=len(relations),
        copies=sum(relation >= Relation.COPY for relation in relations),
        possible=sum(map(_may_be_copy, verdicts)),
        undecided=relations.count(Relation.CANNOT_TELL),
        strongest=max(relations, default=Relation.CANNOT_TELL),
    )


def _may_be_copy(verdict: Verdict) -> bool:
    return Relation.CANNOT_TELL < verdict.relation < Relation.COPY and verdict.copy >= MIN_POSSIBLE_COPY
