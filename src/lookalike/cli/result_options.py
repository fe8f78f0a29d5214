"""The options of `search` that refine its hits: relations, verification, duplicates, diversity, thresholds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from lookalike.errors import BadQuery
from lookalike.parts import BOTH, WEIGHINGS

if TYPE_CHECKING:
    from lookalike.relate.hits import MinScore, Refinement


@dataclass(frozen=True)
class ResultOptions:
    """The options of a search that concern its hits. `min_score`: as typed."""

    min_score: str | None
    relations: bool
    verify: int | None
    hide_duplicates: bool
    diversity: float
    by: str = BOTH

    def __post_init__(self) -> None:
        if self.by not in WEIGHINGS:
            raise typer.BadParameter(f"{self.by!r} is not one of {', '.join(WEIGHINGS)}", param_hint="--by")

    @property
    def min_score_value(self) -> float | None:
        """The minimum score if `min_score` is a plain score. Imports nothing."""
        try:
            score = float(self.min_score) if self.min_score is not None else None
        except ValueError:
            return None
        if score is not None and not -1 <= score <= 1:
            raise typer.BadParameter(f"{self.min_score} is not from -1 to 1", param_hint="--min-score")
        return score

    @property
    def refines(self) -> bool:
        """Whether hits are processed further than by a plain score. Imports nothing."""
        by_probability = self.min_score is not None and self.min_score_value is None
        return bool(self.relations or self.verify or self.hide_duplicates or self.diversity or by_probability)

    def refinement(self) -> "Refinement":
        from lookalike.relate.hits import Refinement

        return Refinement(
            relations=self.relations,
            verify=self.verify,
            min_score=self._parsed_min_score(),
            hide_duplicates=self.hide_duplicates,
            diversity=self.diversity,
        )

    def _parsed_min_score(self) -> "MinScore | None":
        from lookalike.relate.hits import parse_min_score

        try:
            return None if self.min_score is None else parse_min_score(self.min_score)
        except BadQuery as error:
            raise typer.BadParameter(str(error), param_hint="--min-score") from error
