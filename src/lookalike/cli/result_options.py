"""The options of `search` that process its hits: relations, verification, duplicates, diversity, thresholds."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import typer

from lookalike.errors import BadQuery

if TYPE_CHECKING:
    from lookalike.relate import Verdict
    from lookalike.relate.hits import MinScore
    from lookalike.search import Collection, Query, Results

FETCH_FACTOR = 4  # hits fetched per requested hit when some will be left out


@dataclass(frozen=True)
class ResultOptions:
    """The options of a search that concern its hits. `min_score`: as typed."""

    k: int
    min_score: str | None
    relations: bool
    verify: int | None
    hide_duplicates: bool
    diversity: float

    @cached_property
    def threshold(self) -> "MinScore | None":
        """The threshold if `min_score` is not a plain score: a probability or expected false matches."""
        from lookalike.relate.hits import parse_min_score

        if self.min_score is None or self.min_score_value is not None:
            return None
        try:
            return parse_min_score(self.min_score)
        except BadQuery as error:
            raise typer.BadParameter(str(error), param_hint="--min-score") from error

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
    def needs_images(self) -> bool:
        """Whether images are compared by their features, not only by their vectors."""
        by_probability = self.min_score is not None and self.min_score.endswith("%")
        return bool(self.relations or self.verify or self.hide_duplicates or by_probability)

    @property
    def fetch_count(self) -> int:
        """The number of hits to request from the store."""
        more = self.k * FETCH_FACTOR if self.hide_duplicates or self.diversity else self.k
        return max(more, self.verify or 0)


def refine_results(
    photos: "Collection", query: "Query", results: "Results", options: ResultOptions
) -> "tuple[Results, dict[str, Verdict]]":
    """Return the processed results, and a verdict per hit id where relations or verification are requested."""
    threshold = options.threshold
    if not (options.needs_images or threshold or options.diversity):
        return results, {}
    from lookalike.relate import calibration_of
    from lookalike.relate.hits import diverse, judge_hits, query_subject, rank_by_proof, without_duplicates

    calibration = calibration_of(photos)
    judged = []
    if options.relations or options.verify or threshold:
        if len(query.images) != 1 or query.minus:
            raise BadQuery(
                "--relations, --verify and a --min-score by probability compare with one image; search with one"
            )
        subject = query_subject(photos, query.images[0], next(iter(query.regions), None), vector=results.vector)
        judged = judge_hits(photos, subject, results.hits, calibration, verify_geometry=options.needs_images)
        if options.verify:
            judged = rank_by_proof(judged[: options.verify]) + judged[options.verify :]
        judged = [one for one in judged if threshold is None or threshold.allows(one)]
        results = replace(results, hits=tuple(one.hit for one in judged))
    if options.hide_duplicates:
        count = options.k * (FETCH_FACTOR if options.diversity else 1)
        results = replace(results, hits=tuple(without_duplicates(photos, results.hits, calibration, count)))
    if options.diversity:
        import numpy as np

        rows = [row for row in photos.get([hit.id for hit in results], []) if row is not None]
        vectors = np.stack([row.vector for row in rows]) if rows else np.zeros((0, photos.card.dim), np.float32)
        order = diverse(vectors, [hit.score for hit in results], options.k, options.diversity)
        results = replace(results, hits=tuple(results.hits[n] for n in order))
    results = replace(results, hits=results.hits[: options.k])
    shown = {hit.id for hit in results}
    with_verdicts = options.relations or options.verify
    return results, {one.hit.id: one.verdict for one in judged if with_verdicts and one.hit.id in shown}
