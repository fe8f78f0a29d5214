"""Validation: rank the validation images with a model before training, after each epoch and at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import SourceError
from lookalike.evaluate.retrieval import retrieval
from lookalike.train.config import METRICS
from lookalike.train.data.augment import RECIPES, view
from lookalike.types import Vectors

MIN_ANSWERABLE = 20  # queries with an answer; with fewer, one image changes the metric by more than five points
MAX_GALLERY = 1000  # training images added to the gallery if validation alone is too small
COPIES_PER_IMAGE = 2  # edited copies of each validation image

Inputs = NDArray[Any]
EmbedInputs = Callable[[Inputs], Vectors]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """Queries and a gallery with labels; inputs are pixels (n, side, side, 3), or vectors for a head.

    `ids`: of queries and gallery, so that no image is its own answer; None if queries are edited copies.
    """

    queries: Inputs
    gallery: Inputs
    query_labels: Sequence[str]
    gallery_labels: Sequence[str]
    ids: tuple[Sequence[str], Sequence[str]] | None = None

    def metrics(self, embed: EmbedInputs) -> dict[str, float]:
        """Return recall@1, mAP and micro-AP of a model."""
        return self.evaluate(embed).metrics

    def evaluate(self, embed: EmbedInputs) -> "ValidationResult":
        """Return the metrics and each query's first hit."""
        ranking = retrieval(
            embed(self.queries), embed(self.gallery), self.query_labels, self.gallery_labels, same=self.ids
        )
        per = ranking.per_query
        correct = per.answered & (per.first_rank == 1)
        return ValidationResult(
            metrics={name: float(ranking[name]) for name in METRICS},
            first_hits=np.where(correct, per.right, per.wrong).astype(np.int64),
            correct=correct,
        )

    def on_vectors(self, embed: EmbedInputs) -> "Validator":
        """Return this validator with its inputs embedded once, for a head."""
        return Validator(
            queries=embed(self.queries),
            gallery=embed(self.gallery),
            query_labels=self.query_labels,
            gallery_labels=self.gallery_labels,
            ids=self.ids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """Metrics by name. `first_hits`: the gallery row of each query's first hit. `correct`: whether it is right."""

    metrics: dict[str, float]
    first_hits: Rows
    correct: NDArray[np.bool_]


def changed(before: ValidationResult, after: ValidationResult, count: int) -> Rows:
    """Return up to `count` query rows, in random order: first those whose first hit became right or wrong."""
    order = np.random.default_rng(0).permutation(len(before.correct))
    same = (before.correct == after.correct)[order]
    return order[np.argsort(same, kind="stable")][:count].astype(np.int64)


def validator_by_labels(pixels: Inputs, labels: Sequence[str], train: Rows, val: Rows, seed: int) -> Validator:
    """Return a validator that ranks the validation images among themselves.

    Training images join the gallery if fewer than 20 queries have an answer, or if all validation images have one label
    and no hit can be wrong. Raises SourceError if that does not help.
    """
    queries = np.array([row for row in val if labels[row]], np.int64)
    gallery = val
    if _count_answerable(labels, queries, gallery) < MIN_ANSWERABLE or _has_one_label(labels, gallery):
        gallery = np.concatenate((val, np.random.default_rng(seed).permutation(train)[:MAX_GALLERY]))
    answered = _count_answerable(labels, queries, gallery)
    if answered < 2:
        raise SourceError(
            f"{answered} of {len(val)} validation images share a label with another image, too few to compare models; "
            "make the split with a larger --val, such as --val 0.1"
        )
    if _has_one_label(labels, gallery):
        raise SourceError(
            f"all {len(val)} validation images have one label, {labels[val[0]]!r}, so no model can be wrong; "
            "make the split with a larger --val, such as --val 0.1, from images of more labels"
        )
    names = [str(row) for row in range(len(labels))]
    return Validator(
        queries=pixels[queries],
        gallery=pixels[gallery],
        query_labels=[labels[row] for row in queries],
        gallery_labels=[labels[row] for row in gallery],
        ids=([names[row] for row in queries], [names[row] for row in gallery]),
    )


def validator_by_edits(pixels: Inputs, train: Rows, val: Rows, seed: int) -> Validator:
    """Return a validator that ranks originals and training images for edited copies. Raises SourceError."""
    if not len(val):
        raise SourceError("the split has no validation images; make it with a larger --val, such as --val 0.1")
    random = np.random.default_rng([seed, 7])
    gallery = np.concatenate((val, random.permutation(train)[:MAX_GALLERY]))
    copies = [
        view(pixels[row], RECIPES["edits"], pixels.shape[1], random) for _ in range(COPIES_PER_IMAGE) for row in val
    ]
    return Validator(
        queries=np.stack(copies),
        gallery=pixels[gallery],
        query_labels=[str(row) for row in val] * COPIES_PER_IMAGE,
        gallery_labels=[str(row) for row in gallery],
    )


def _has_one_label(labels: Sequence[str], gallery: Rows) -> bool:
    """Whether every hit is correct, whatever the model."""
    return len({labels[row] for row in gallery}) < 2


def _count_answerable(labels: Sequence[str], queries: Rows, gallery: Rows) -> int:
    counts: dict[str, int] = {}
    for row in gallery:
        counts[labels[row]] = counts.get(labels[row], 0) + 1
    in_gallery = set(gallery.tolist())
    return sum(counts.get(labels[row], 0) > (int(row) in in_gallery) for row in queries)
