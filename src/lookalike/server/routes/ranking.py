"""How the hits of a search are ranked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ranking:
    """How many hits of a search, which, and by which parts of the vectors they are ranked.

    `recall`: the share of the nearest images that is to be found.
    """

    k: int
    where: str | None
    min_score: float | None
    by: str
    recall: float | None = None
