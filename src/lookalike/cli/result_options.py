"""The options of `search` that refine its hits: relations, verification, duplicates, diversity, thresholds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.errors import BadQuery
from lookalike.part_names import BOTH

if TYPE_CHECKING:
    from lookalike.relate.hits import Refinement


@dataclass(frozen=True)
class ResultOptions:
    """The options of a search that concern its hits. `min_score`: as typed."""

    min_score: str | None
    relations: bool
    verify: int | None
    hide_duplicates: bool
    diversity: float
    by: str = BOTH
    recall: float | None = None

    @property
    def min_score_value(self) -> float | None:
        """The minimum score if `min_score` is a plain score. Imports nothing."""
        return None if self.min_score is None else _plain_score(self.min_score)

    @property
    def refines(self) -> bool:
        """Whether hits are processed further than by a plain score. Imports nothing."""
        by_probability = self.min_score is not None and self.min_score_value is None
        return bool(self.relations or self.verify or self.hide_duplicates or self.diversity or by_probability)

    def refinement(self) -> "Refinement":
        from lookalike.relate.hits import Refinement, parse_min_score

        return Refinement(
            relations=self.relations,
            verify=self.verify,
            min_score=None if self.min_score is None else parse_min_score(self.min_score),
            hide_duplicates=self.hide_duplicates,
            diversity=self.diversity,
        )


def check_min_score(text: str) -> None:
    """Raise BadQuery for a cut-off that is not understood. Imports nothing for a plain score."""
    score = _plain_score(text)
    if score is None:
        from lookalike.relate.hits import parse_min_score

        parse_min_score(text)
    elif not -1 <= score <= 1:
        raise BadQuery(f"{text} is not from -1 to 1")


def _plain_score(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
