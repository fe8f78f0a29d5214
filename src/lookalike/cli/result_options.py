"""What `search` does with hits besides showing them: relations, proof, no duplicates, diversity, other cut-offs."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import typer

from lookalike.errors import BadQuery

if TYPE_CHECKING:
    from lookalike.relate import Verdict
    from lookalike.relate.hits import MinScore
    from lookalike.search import Collection, Query, Results

_MORE = 4  # hits fetched for each that is wanted, where some will be left out


@dataclass(frozen=True)
class Wishes:
    """The options of a search that concern its hits. `min_score` as the person wrote it."""

    k: int
    min_score: str | None
    relations: bool
    verify: int | None
    hide_duplicates: bool
    diversity: float

    @cached_property
    def cut(self) -> "MinScore | None":
        """The cut-off where it is not a plain score."""
        from lookalike.relate.hits import parse_min_score

        if self.min_score is None or self.floor is not None:
            return None
        try:
            return parse_min_score(self.min_score)
        except BadQuery as error:
            raise typer.BadParameter(str(error), param_hint="--min-score") from error

    @property
    def floor(self) -> float | None:
        """The least score, where the cut-off is one. Costs no import."""
        try:
            score = float(self.min_score) if self.min_score is not None else None
        except ValueError:
            return None
        if score is not None and not -1 <= score <= 1:
            raise typer.BadParameter(f"{self.min_score} is not from -1 to 1", param_hint="--min-score")
        return score

    @property
    def looks(self) -> bool:
        """Whether pictures are looked at, beyond their vectors."""
        by_probability = self.min_score is not None and self.min_score.endswith("%")
        return bool(self.relations or self.verify or self.hide_duplicates or by_probability)

    @property
    def fetched(self) -> int:
        """How many hits to ask for."""
        more = self.k * _MORE if self.hide_duplicates or self.diversity else self.k
        return max(more, self.verify or 0)


def judged_hits(
    photos: "Collection", query: "Query", results: "Results", wishes: Wishes
) -> "tuple[Results, dict[str, Verdict]]":
    """The results as wished, and the verdict of each hit where relations were asked for."""
    cut = wishes.cut
    if not (wishes.looks or cut or wishes.diversity):
        return results, {}
    from lookalike.relate import calibration_of
    from lookalike.relate.hits import diverse, judge_hits, query_subject, rank_by_proof, without_duplicates

    calibration = calibration_of(photos)
    judged = []
    if wishes.relations or wishes.verify or cut:
        if len(query.images) != 1 or query.minus:
            raise BadQuery("--relations, --verify and a cut-off by probability compare one picture; ask with one")
        subject = query_subject(photos, query.images[0], next(iter(query.regions), None))
        judged = judge_hits(photos, subject, results.hits, calibration, verify_geometry=wishes.looks)
        if wishes.verify:
            judged = rank_by_proof(judged[: wishes.verify]) + judged[wishes.verify :]
        judged = [one for one in judged if cut is None or cut.allows(one)]
        results = replace(results, hits=tuple(one.hit for one in judged))
    if wishes.hide_duplicates:
        wanted = wishes.k * (_MORE if wishes.diversity else 1)
        results = replace(results, hits=tuple(without_duplicates(photos, results.hits, calibration, wanted)))
    if wishes.diversity:
        import numpy as np

        rows = [row for row in photos.get([hit.id for hit in results], []) if row is not None]
        vectors = np.stack([row.vector for row in rows]) if rows else np.zeros((0, photos.card.dim), np.float32)
        kept = diverse(vectors, [hit.score for hit in results], wishes.k, wishes.diversity)
        results = replace(results, hits=tuple(results.hits[n] for n in kept))
    results = replace(results, hits=results.hits[: wishes.k])
    shown = {hit.id for hit in results}
    told = wishes.relations or wishes.verify
    return results, {one.hit.id: one.verdict for one in judged if told and one.hit.id in shown}
