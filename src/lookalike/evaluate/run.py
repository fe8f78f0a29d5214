"""From a model and a ground truth to a Report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.embed import get_embedder
from lookalike.errors import BadQuery, nearest
from lookalike.evaluate.bootstrap import TIMES, Difference, Drawn, Groups, differences, draw, draw_pairs, intervals
from lookalike.evaluate.clusters import cluster_figures
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.report import Judged, Mistake, Report
from lookalike.evaluate.retrieval import KS, Retrieval, pooled_figures, retrieval
from lookalike.evaluate.truth import Rows, Truth
from lookalike.evaluate.vectors import Progress, embed_pictures
from lookalike.types import Embedder, Vectors

TOGETHER = ("query", "label")
_MOST_VALUES = 200
_MISTAKES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to judge. `ks`: of recall@k. `by`: a column to break down by. `keep`: where vectors stay for the next run.

    `times`, `seed`: of the bootstrap. `together`: "query", or "label" to draw all queries of a label at once.
    """

    ks: Sequence[int] = KS
    by: str | None = None
    keep: Path | None = None
    times: int = TIMES
    seed: int = 0
    together: str = "query"


def evaluate(
    model: str | Path | Embedder,
    truth: Truth,
    *,
    against: str | Path | Embedder | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge a model, or two on the same pictures. Pictures that do not decode are left out and listed.

    Raises UnknownModel, BrokenModel, SourceError, BadQuery.
    """
    settings = settings or Settings()
    if settings.by:
        _check_column(truth, settings.by)
    models = [model] if against is None else [model, against]
    embedders = [get_embedder(m) if isinstance(m, str | Path) else m for m in models]
    made = [embed_pictures(truth.pictures, one, keep=settings.keep, progress=progress) for one in embedders]
    bad = {row: failure for embedded in made for row, failure in zip(embedded.bad, embedded.failed, strict=True)}
    usable = truth.without(sorted(bad))
    judge = _judge_pairs if truth.kind == "pairs" else _judge
    found = []
    for one, named, embedded in zip(embedders, models, made, strict=True):
        name = str(named) if isinstance(named, str | Path) else one.card.name
        found.append(judge(embedded.vectors, usable, settings, name=name, sha256=one.card.sha256))
    return Report(
        truth=truth.name,
        kind=truth.kind,
        counts=_counts(usable, found[0].judged) | {"pictures skipped": len(truth.skipped) + len(bad)},
        one=found[0].judged,
        other=found[1].judged if against is not None else None,
        differences=_differences(found) if against is not None else {},
        column=settings.by,
        mistakes=_mistakes(usable, found[0].judged.retrieval),
        skipped=[*truth.skipped, *bad.values()],
    )


@dataclass(frozen=True, slots=True)
class _Found:
    judged: Judged
    drawn: Drawn


def _judge(vectors: Vectors, truth: Truth, settings: Settings, *, name: str, sha256: str) -> _Found:
    found = _retrieval(vectors, truth, settings, np.arange(len(truth.queries)))
    groups = _groups(truth, settings.together)
    drawn = draw(found, times=settings.times, seed=settings.seed, groups=groups)

    def part(rows: Rows) -> dict[str, float]:
        try:
            figures = _retrieval(vectors, truth, settings, rows).figures
        except BadQuery:  # none of these has a right answer
            figures = {}
        return {"count": len(rows), **figures}

    judged = Judged(
        model=name,
        sha256=sha256,
        figures={**found.figures, **cluster_figures(vectors, truth, seed=settings.seed)},
        intervals=intervals(drawn),
        by=_broken_down(truth, settings.by, part),
        tally=found.tally,
        retrieval=found,
    )
    return _Found(judged, drawn)


def _judge_pairs(vectors: Vectors, truth: Truth, settings: Settings, *, name: str, sha256: str) -> _Found:
    # Six places, as everywhere: what differs by less is a tie.
    dots = np.einsum("ij,ij->i", vectors[truth.first], vectors[truth.second]).astype(np.float64)
    scores = np.round(np.clip(dots, -1, 1), 6)
    if not truth.same.any() or truth.same.all():
        raise BadQuery(f"{truth.name}: all pairs are of one kind; give some that are the same and some that are not")

    def part(rows: Rows) -> dict[str, float]:
        both = 0 < truth.same[rows].sum() < len(rows)
        return {"count": len(rows), **(pooled_figures(Tally.of(scores[rows], truth.same[rows])) if both else {})}

    drawn = draw_pairs(scores, truth.same, times=settings.times, seed=settings.seed)
    judged = Judged(
        model=name,
        sha256=sha256,
        figures=pooled_figures(Tally.of(scores, truth.same)),
        intervals=intervals(drawn),
        by=_broken_down(truth, settings.by, part),
        tally=Tally.of(scores, truth.same),
    )
    return _Found(judged, drawn)


def _retrieval(vectors: Vectors, truth: Truth, settings: Settings, rows: Rows) -> Retrieval:
    ids = truth.ids
    return retrieval(
        vectors[truth.queries[rows]],
        vectors[truth.gallery],
        truth.query_labels[rows],
        truth.gallery_labels,
        same=(ids[truth.queries[rows]], ids[truth.gallery]),
        ks=settings.ks,
    )


def _check_column(truth: Truth, column: str) -> None:
    values = len(np.unique(truth.column(column)))
    if values > _MOST_VALUES:
        raise BadQuery(
            f"column {column!r} has {values:,} different values; break down by one of at most {_MOST_VALUES}"
        )


def _broken_down(
    truth: Truth, column: str | None, part: Callable[[Rows], dict[str, float]]
) -> dict[str, Mapping[str, float]]:
    if column is None:
        return {}
    values = truth.column(column)
    return {str(value): part(np.flatnonzero(values == value)) for value in np.unique(values)}


def _groups(truth: Truth, together: str) -> Groups | None:
    """A number a query where the queries of a label are drawn together; those without a label each alone."""
    if together == "query":
        return None
    if together != "label":
        raise BadQuery(f"queries drawn together by {together!r}; {nearest(together, TOGETHER)}")
    labels = np.unique(truth.query_labels, return_inverse=True)[1].astype(np.int64)
    alone = len(labels) + np.arange(len(labels))
    return np.where(truth.query_labels == "", alone, labels)


def _differences(found: Sequence[_Found]) -> dict[str, Difference]:
    one, other = found
    return differences(one.judged.figures, other.judged.figures, one.drawn, other.drawn)


def _counts(truth: Truth, judged: Judged) -> dict[str, int]:
    if judged.retrieval is None:
        return {"pairs": len(truth.same), "of the same": int(truth.same.sum())}
    found = judged.retrieval
    return {
        "queries with a right answer": found.queries,
        "queries without": found.unanswered,
        "gallery pictures": found.gallery,
        "of them distractors": found.distractors,
        "pairs": found.pairs,
        "right pairs": found.right_pairs,
    }


def _mistakes(truth: Truth, found: Retrieval | None) -> list[Mistake]:
    """Queries whose first hit is wrong, by how far it is above the best right answer."""
    if found is None:
        return []
    per = found.per_query
    paths: NDArray[np.str_] = truth.ids
    ahead = np.where(per.first_rank > 1, per.wrong_score - per.right_score, -np.inf)
    worst = [row for row in np.argsort(-ahead, kind="stable")[:_MISTAKES] if np.isfinite(ahead[row])]
    return [
        Mistake(
            query=str(paths[truth.queries[row]]),
            wrong=str(paths[truth.gallery[per.wrong[row]]]),
            wrong_score=float(per.wrong_score[row]),
            right=str(paths[truth.gallery[per.right[row]]]),
            right_score=float(per.right_score[row]),
            rank=int(per.first_rank[row]),
        )
        for row in worst
    ]
