"""Rank the whole gallery for every query, a block at a time: 70,000 x 70,000 fits into a laptop's memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.evaluate.metrics import (
    Tally,
    equal_error_rate,
    micro_ap,
    recall_at_precision,
    roc_auc,
    tpr_at_fpr,
)
from lookalike.evaluate.ranking import STEPS, PerQuery, ScoreBlock, rank_block
from lookalike.evaluate.registry import Metric, merge_figures
from lookalike.image import single_threaded_blas
from lookalike.tasks import LocalTasks, TaskPool
from lookalike.types import Vectors

KS = (1, 5, 10)
NEIGHBORS = 10
_CELLS = 2_000_000  # scores of a task: 8 MB per array
_EDGES = 256
_SAMPLE, _RIGHT = 400, 200  # queries, and right answers of each, from whose scores the edges are chosen

Texts = Sequence[str] | NDArray[np.str_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """How well queries find their right answers. `figures`: by name, in the order of a report.

    `queries`: the number with a right answer, over which recall, precision, mAP, mAP@R, nDCG, MRR and k-NN accuracy are
    averaged. `unanswered`: the number without; their pairs count as wrong in the pooled figures (from micro-AP on).
    `gallery`: the number of searched images, of which `distractors` have no label. `pairs`: the number of scores in the
    pooled figures, of which `right_pairs` are of one label.
    """

    queries: int
    unanswered: int
    gallery: int
    distractors: int
    pairs: int
    right_pairs: int
    figures: Mapping[str, float]
    per_query: PerQuery
    tally: Tally

    def __getitem__(self, figure: str) -> float:
        return self.figures[figure]


def retrieval(  # noqa: PLR0913 - two sets of vectors and labels, and options by keyword
    queries: Vectors,
    gallery: Vectors,
    query_labels: Texts,
    gallery_labels: Texts,
    *,
    same: tuple[Texts, Texts] | None = None,
    ks: Sequence[int] = KS,
    neighbors: int = NEIGHBORS,
    metrics: Sequence[Metric] = (),
    tasks: TaskPool | None = None,
) -> Retrieval:
    """Rank the (m, dim) gallery for each of (n, dim) queries by cosine, and compare with the labels.

    Right answers are gallery rows of the query's label; an empty label matches nothing. `same`: the ids of queries and
    of gallery, to leave a query out of its own results. `ks`: for recall@k and precision@k. `neighbors`: k of the k-NN
    accuracy (most votes win, of tied labels the higher sum of scores). `metrics`: further ones, each a figure of its
    name. `tasks`: what ranks the blocks, by default this machine. Raises BadQuery for arrays that do not fit, and for a
    metric that has the name of another figure.
    """
    _check(queries, gallery, query_labels, gallery_labels)
    query_codes, gallery_codes = _codes(query_labels, gallery_labels)
    self_pairs = _self_pairs(same)
    cuts = tuple(sorted({int(k) for k in ks}))
    if not cuts or cuts[0] < 1 or neighbors < 1:
        raise BadQuery(f"k of {list(ks)} and {neighbors} neighbors: each must be 1 or more")
    edges = _edges(queries, gallery, query_codes, gallery_codes)
    parts = []
    right, total = np.zeros(2 * STEPS + 1, np.int64), np.zeros(2 * STEPS + 1, np.int64)
    size = max(1, _CELLS // len(gallery))
    blocks = (_query_block(queries, query_codes, self_pairs, start, size) for start in range(0, len(queries), size))
    ranking = _Ranking(gallery, gallery_codes, edges, cuts, neighbors, metrics)
    with single_threaded_blas():
        for part, right_steps, all_steps in (tasks or LocalTasks()).map(_rank, blocks, ranking):
            for counts, (steps, numbers) in ((right, right_steps), (total, all_steps)):
                counts[steps] += numbers
            parts.append(part)
    return _retrieval(_concatenate(parts), _tally(right, total), gallery_codes)


@dataclass(frozen=True, slots=True)
class _Ranking:
    """What blocks of queries are ranked with."""

    gallery: Vectors
    gallery_codes: NDArray[np.int32]
    edges: NDArray[np.int32]
    ks: Sequence[int]
    neighbors: int
    metrics: Sequence[Metric]


QueryBlock: TypeAlias = tuple[Vectors, NDArray[np.int32], Ints]
"""Queries, their labels as numbers, and the pairs of a row of the block and one of the gallery that are one image."""


def _query_block(queries: Vectors, codes: NDArray[np.int32], self_pairs: Ints, start: int, size: int) -> QueryBlock:
    same_rows = self_pairs[(self_pairs[:, 0] >= start) & (self_pairs[:, 0] < start + size)]
    return queries[start : start + size], codes[start : start + size], same_rows - (start, 0)


def _rank(ranking: _Ranking, queries: QueryBlock) -> tuple[PerQuery, tuple[Ints, Ints], tuple[Ints, Ints]]:
    """Rank a block, and count its right and all pairs by step: a task."""
    vectors, codes, same_rows = queries
    block = ScoreBlock.of(vectors, ranking.gallery, codes, ranking.gallery_codes, same_rows)
    ranked = rank_block(
        block,
        ranking.gallery_codes,
        edges=ranking.edges,
        ks=ranking.ks,
        neighbors=ranking.neighbors,
        metrics=ranking.metrics,
    )
    return ranked, _step_counts(block.steps[block.right]), _step_counts(block.steps[block.valid])


def _step_counts(steps: NDArray[np.int32]) -> tuple[Ints, Ints]:
    """The numbers of the steps that occur, counted from the lowest, and how often each does."""
    counts = np.bincount(steps + STEPS)
    occurring = np.flatnonzero(counts)
    return occurring, counts[occurring]


def _check(queries: Vectors, gallery: Vectors, query_labels: Texts, gallery_labels: Texts) -> None:
    for name, vectors, labels in (("queries", queries, query_labels), ("gallery", gallery, gallery_labels)):
        if len(vectors) != len(labels):
            raise BadQuery(
                f"{name}: {len(vectors)} vectors and {len(labels)} labels; give one label per vector ('': none)"
            )
        if not len(vectors):
            raise BadQuery(f"{name}: empty; give at least one vector")
        if not np.isfinite(vectors).all():
            raise BadQuery(f"{name}: a vector holds numbers that are not finite; leave that image out")
    if queries.shape[1] != gallery.shape[1]:
        raise BadQuery(
            f"queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}; use one model for both"
        )


def _codes(query_labels: Texts, gallery_labels: Texts) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Labels as numbers, equal for equal texts; empty ones are -2 (queries) and -1 (gallery), which never match."""
    query_texts, gallery_texts = np.asarray(query_labels, np.str_), np.asarray(gallery_labels, np.str_)
    codes = np.unique(np.concatenate((query_texts, gallery_texts)), return_inverse=True)[1].astype(np.int32)
    return (
        np.where(query_texts == "", np.int32(-2), codes[: len(query_texts)]),
        np.where(gallery_texts == "", np.int32(-1), codes[len(query_texts) :]),
    )


def _self_pairs(same: tuple[Texts, Texts] | None) -> Ints:
    """(n, 2) rows of queries and of gallery that are the same image."""
    if same is None:
        return np.zeros((0, 2), np.int64)
    rows: dict[str, list[int]] = {}
    for row, image_id in enumerate(map(str, same[1])):
        rows.setdefault(image_id, []).append(row)
    pairs = [(n, row) for n, image_id in enumerate(map(str, same[0])) for row in rows.get(image_id, ())]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _edges(
    queries: Vectors, gallery: Vectors, query_codes: NDArray[np.int32], gallery_codes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Rising steps at which pooled pairs are counted per query: the lowest, and quantiles of right answers' scores."""
    sampled = []
    for row in np.unique(np.linspace(0, len(queries) - 1, _SAMPLE).astype(int)):
        right = np.flatnonzero(gallery_codes == query_codes[row])
        scores = gallery[right[:: max(1, len(right) // _RIGHT)]] @ queries[row]
        sampled.append(np.rint(np.clip(scores, -1, 1) * STEPS).astype(np.int32))
    steps = np.concatenate(sampled)
    if len(np.unique(steps)) > _EDGES:
        steps = np.quantile(steps, np.linspace(0, 1, _EDGES)).astype(np.int32)
    return np.unique(np.concatenate((np.array([-STEPS], np.int32), steps)))


def _tally(right: Ints, total: Ints) -> Tally:
    """The tally of counts by step, highest score first."""
    steps = np.flatnonzero(total)[::-1]
    return Tally((steps - STEPS) / STEPS, right[steps], (total - right)[steps])


def _concatenate(parts: Sequence[PerQuery]) -> PerQuery:
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(PerQuery)
        if field.name != "values"
    }
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
    return PerQuery(values=values, **joined)


def _retrieval(per_query: PerQuery, tally: Tally, gallery_codes: NDArray[np.int32]) -> Retrieval:
    answered = per_query.answered
    if not answered.any():
        raise BadQuery(
            "no query has a right answer: none shares its label with another image in the gallery; check the labels"
        )
    figures = {name: float(np.mean(values[answered])) for name, values in per_query.values.items()}
    right_pairs = int(tally.right.sum())
    return Retrieval(
        queries=int(answered.sum()),
        unanswered=int((~answered).sum()),
        gallery=len(gallery_codes),
        distractors=int((gallery_codes == -1).sum()),
        pairs=tally.pairs,
        right_pairs=right_pairs,
        figures=merge_figures(figures, pooled_figures(tally)),
        per_query=per_query,
        tally=tally,
    )


def pooled_figures(tally: Tally) -> dict[str, float]:
    """Return the figures of pairs in one ranking, by name, without those that need wrong pairs if there are none."""
    figures = {"micro-AP": micro_ap(tally), "recall@P90": recall_at_precision(tally, 0.9)[0]}
    return figures | pair_figures(tally) if tally.wrong.any() else figures


def pair_figures(tally: Tally) -> dict[str, float]:
    """Return ROC-AUC, EER and TPR at two FPRs, by name."""
    return {
        "ROC-AUC": roc_auc(tally),
        "EER": equal_error_rate(tally),
        "TPR@FPR1e-2": tpr_at_fpr(tally, 1e-2),
        "TPR@FPR1e-3": tpr_at_fpr(tally, 1e-3),
    }
