"""Evaluate a model, or two, on a ground truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.embed import get_embedder
from lookalike.errors import BadQuery, nearest
from lookalike.evaluate.bootstrap import (
    TIMES,
    Difference,
    Draws,
    Groups,
    bootstrap,
    bootstrap_pairs,
    differences,
    intervals,
)
from lookalike.evaluate.clusters import cluster_figures
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.registry import installed_metrics, merge_figures
from lookalike.evaluate.report import Mistake, ModelEvaluation, Report
from lookalike.evaluate.retrieval import KS, Retrieval, pooled_figures, retrieval
from lookalike.evaluate.truth import Rows, Truth
from lookalike.evaluate.vectors import Progress, embed_files
from lookalike.tasks import TaskPool
from lookalike.types import Embedder, Vectors

TOGETHER = ("query", "label")
"""What the bootstrap may draw as a unit: each query alone, or all queries of a label."""

_MAX_VALUES = 200
_MAX_MISTAKES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How to evaluate.

    `ks`: k of recall@k and precision@k. `by`: a column to break figures down by. `keep`: a folder that caches vectors
    for the next run. `times`, `seed`: number of draws and seed of the bootstrap. `together`: "query", or "label" to
    draw all queries of a label at once.
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
    settings: EvaluationSettings | None = None,
    progress: Progress | None = None,
    tasks: TaskPool | None = None,
) -> Report:
    """Evaluate a model, or two on the same images. Images that cannot be decoded are left out and listed.

    `tasks`: what embeds the images and ranks the gallery, such as a `RayTasks`; None: this machine.
    Metrics that other packages register are computed too, for rankings (docs/extending.md).
    Raises UnknownModel, BrokenModel, SourceError, BadQuery, and LookalikeError where such a metric fails.
    """
    settings = settings or EvaluationSettings()
    if settings.by:
        check_column(truth, settings.by)
    models = [model] if against is None else [model, against]
    embedders = [get_embedder(m) if isinstance(m, str | Path) else m for m in models]
    results = [embed_files(truth.pictures, e, keep=settings.keep, progress=progress, tasks=tasks) for e in embedders]
    bad = {row: failure for embedded in results for row, failure in zip(embedded.bad, embedded.failed, strict=True)}
    usable = truth.without(sorted(bad))
    run = _evaluate_pairs if truth.kind == "pairs" else partial(_evaluate_retrieval, tasks=tasks)
    runs = []
    for embedder, requested, embedded in zip(embedders, models, results, strict=True):
        name = str(requested) if isinstance(requested, str | Path) else embedder.card.name
        runs.append(run(embedded.vectors, usable, settings, name=name, sha256=embedder.card.sha256))
    return Report(
        truth=truth.name,
        kind=truth.kind,
        counts=_counts(usable, runs[0].evaluation) | {"images skipped": len(truth.skipped) + len(bad)},
        one=runs[0].evaluation,
        other=runs[1].evaluation if against is not None else None,
        differences=_differences(runs) if against is not None else {},
        column=settings.by,
        mistakes=_mistakes(usable, runs[0].evaluation.retrieval),
        skipped=[*truth.skipped, *bad.values()],
    )


@dataclass(frozen=True, slots=True)
class _ModelRun:
    evaluation: ModelEvaluation
    draws: Draws


def _evaluate_retrieval(
    vectors: Vectors,
    truth: Truth,
    settings: EvaluationSettings,
    *,
    name: str,
    sha256: str,
    tasks: TaskPool | None,
) -> _ModelRun:
    result = _retrieval(vectors, truth, settings, np.arange(len(truth.queries)), tasks)
    groups = _groups(truth, settings.together)
    draws = bootstrap(result, times=settings.times, seed=settings.seed, groups=groups)

    def part(rows: Rows) -> dict[str, float]:
        try:
            figures = _retrieval(vectors, truth, settings, rows, tasks).figures
        except BadQuery:  # none of these has a right answer
            figures = {}
        return {"count": len(rows), **figures}

    evaluation = ModelEvaluation(
        model=name,
        sha256=sha256,
        figures=merge_figures(result.figures, cluster_figures(vectors, truth, seed=settings.seed)),
        intervals=intervals(draws),
        by=_broken_down(truth, settings.by, part),
        tally=result.tally,
        retrieval=result,
    )
    return _ModelRun(evaluation, draws)


def _evaluate_pairs(
    vectors: Vectors, truth: Truth, settings: EvaluationSettings, *, name: str, sha256: str
) -> _ModelRun:
    # Six decimal places, as in retrieval: scores that differ by less are ties.
    dots = np.einsum("ij,ij->i", vectors[truth.first], vectors[truth.second]).astype(np.float64)
    scores = np.round(np.clip(dots, -1, 1), 6)
    if not truth.same.any() or truth.same.all():
        raise BadQuery(f"{truth.name}: all pairs are of one kind; give some that are the same and some that are not")

    def part(rows: Rows) -> dict[str, float]:
        both = 0 < truth.same[rows].sum() < len(rows)
        return {"count": len(rows), **(pooled_figures(Tally.of(scores[rows], truth.same[rows])) if both else {})}

    draws = bootstrap_pairs(scores, truth.same, times=settings.times, seed=settings.seed)
    evaluation = ModelEvaluation(
        model=name,
        sha256=sha256,
        figures=pooled_figures(Tally.of(scores, truth.same)),
        intervals=intervals(draws),
        by=_broken_down(truth, settings.by, part),
        tally=Tally.of(scores, truth.same),
    )
    return _ModelRun(evaluation, draws)


def _retrieval(
    vectors: Vectors, truth: Truth, settings: EvaluationSettings, rows: Rows, tasks: TaskPool | None
) -> Retrieval:
    ids = truth.ids
    return retrieval(
        vectors[truth.queries[rows]],
        vectors[truth.gallery],
        truth.query_labels[rows],
        truth.gallery_labels,
        same=(ids[truth.queries[rows]], ids[truth.gallery]),
        ks=settings.ks,
        metrics=installed_metrics(),
        tasks=tasks,
    )


def check_column(truth: Truth, column: str) -> None:
    """Raise BadQuery for a column that figures cannot be broken down by."""
    values = len(np.unique(truth.column(column)))
    if values > _MAX_VALUES:
        raise BadQuery(f"column {column!r} has {values:,} different values; break down by one of at most {_MAX_VALUES}")


def _broken_down(
    truth: Truth, column: str | None, part: Callable[[Rows], dict[str, float]]
) -> dict[str, Mapping[str, float]]:
    if column is None:
        return {}
    values = truth.column(column)
    return {str(value): part(np.flatnonzero(values == value)) for value in np.unique(values)}


def _groups(truth: Truth, together: str) -> Groups | None:
    """A number per query if the queries of a label are drawn together; those without a label are drawn alone."""
    if together == "query":
        return None
    if together != "label":
        raise BadQuery(f"queries cannot be drawn together by {together!r}; {nearest(together, TOGETHER)}")
    labels = np.unique(truth.query_labels, return_inverse=True)[1].astype(np.int64)
    alone = len(labels) + np.arange(len(labels))
    return np.where(truth.query_labels == "", alone, labels)


def _differences(runs: Sequence[_ModelRun]) -> dict[str, Difference]:
    one, other = runs
    return differences(one.evaluation.figures, other.evaluation.figures, one.draws, other.draws)


def _counts(truth: Truth, evaluation: ModelEvaluation) -> dict[str, int]:
    if evaluation.retrieval is None:
        return {"pairs": len(truth.same), "of the same": int(truth.same.sum())}
    result = evaluation.retrieval
    return {
        "queries with a right answer": result.queries,
        "queries without": result.unanswered,
        "gallery images": result.gallery,
        "of them distractors": result.distractors,
        "pairs": result.pairs,
        "right pairs": result.right_pairs,
    }


def _mistakes(truth: Truth, result: Retrieval | None) -> list[Mistake]:
    """Queries whose first hit is wrong, by how far its score is above that of the best right answer."""
    if result is None:
        return []
    per = result.per_query
    paths: NDArray[np.str_] = truth.ids
    ahead = np.where(per.first_rank > 1, per.wrong_score - per.right_score, -np.inf)
    worst = [row for row in np.argsort(-ahead, kind="stable")[:_MAX_MISTAKES] if np.isfinite(ahead[row])]
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
