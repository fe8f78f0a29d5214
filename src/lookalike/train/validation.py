"""Is it better? The validation pictures ranked by a model: before training, after each epoch, and at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import SourceError
from lookalike.evaluate.retrieval import retrieval
from lookalike.train.config import FIGURES
from lookalike.train.data.augment import RECIPES, view
from lookalike.types import Vectors

ENOUGH = 20  # queries with an answer; fewer make a figure that jumps by five points a picture
GALLERY = 1000  # training pictures that answer, or distract, where validation alone is too small
COPIES = 2  # edited copies of each validation picture

Inputs = NDArray[Any]
EmbedInputs = Callable[[Inputs], Vectors]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Queries and gallery with their labels; inputs are pixels (n, side, side, 3), or vectors that a head takes.

    `ids`: of queries and gallery, so that no picture answers for itself; None where queries are copies.
    """

    queries: Inputs
    gallery: Inputs
    query_labels: Sequence[str]
    gallery_labels: Sequence[str]
    ids: tuple[Sequence[str], Sequence[str]] | None = None

    def figures(self, embed: EmbedInputs) -> dict[str, float]:
        """recall@1, mAP and micro-AP of a model."""
        return self.answer(embed).figures

    def answer(self, embed: EmbedInputs) -> "Answer":
        """The figures, and each query's first hit."""
        found = retrieval(
            embed(self.queries), embed(self.gallery), self.query_labels, self.gallery_labels, same=self.ids
        )
        per = found.per_query
        right = per.answered & (per.first_rank == 1)
        return Answer(
            figures={name: float(found[name]) for name in FIGURES},
            first=np.where(right, per.right, per.wrong).astype(np.int64),
            right=right,
        )

    def seen_by(self, embed: EmbedInputs) -> "Judge":
        """The same judge over vectors embedded once, for a head that takes vectors."""
        return Judge(
            queries=embed(self.queries),
            gallery=embed(self.gallery),
            query_labels=self.query_labels,
            gallery_labels=self.gallery_labels,
            ids=self.ids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`figures` by name; `first`: the gallery row of each query's first hit; `right`: whether it is a right answer."""

    figures: dict[str, float]
    first: Rows
    right: NDArray[np.bool_]


def changed(before: Answer, after: Answer, count: int) -> Rows:
    """Queries whose first hit became right or wrong, both kinds in their proportion; then others, up to `count`."""
    order = np.random.default_rng(0).permutation(len(before.right))
    same = (before.right == after.right)[order]
    return order[np.argsort(same, kind="stable")][:count].astype(np.int64)


def judge_by_labels(pixels: Inputs, labels: Sequence[str], train: Rows, val: Rows, seed: int) -> Judge:
    """Validation pictures among themselves; where too few have an answer there, or all are of one label and no answer
    can be wrong, also among training pictures.

    Raises SourceError where next to none has an answer, or none can be wrong.
    """
    queries = np.array([row for row in val if labels[row]], np.int64)
    gallery = val
    if _answered(labels, queries, gallery) < ENOUGH or _alike(labels, gallery):
        gallery = np.concatenate((val, np.random.default_rng(seed).permutation(train)[:GALLERY]))
    answered = _answered(labels, queries, gallery)
    if answered < 2:
        raise SourceError(
            f"{answered} of {len(val)} validation pictures share a label with another picture, too few to tell better "
            "from worse; make the split with a larger --val, such as --val 0.1"
        )
    if _alike(labels, gallery):
        raise SourceError(
            f"all {len(val)} validation pictures have one label, {labels[val[0]]!r}, so that no model can be wrong; "
            "make the split with a larger --val, such as --val 0.1, from pictures of more labels"
        )
    names = [str(row) for row in range(len(labels))]
    return Judge(
        queries=pixels[queries],
        gallery=pixels[gallery],
        query_labels=[labels[row] for row in queries],
        gallery_labels=[labels[row] for row in gallery],
        ids=([names[row] for row in queries], [names[row] for row in gallery]),
    )


def judge_by_edits(pixels: Inputs, train: Rows, val: Rows, seed: int) -> Judge:
    """Edited copies of validation pictures among the originals and training pictures. Raises SourceError."""
    if not len(val):
        raise SourceError("the split has no validation pictures; make it with a larger --val, such as --val 0.1")
    random = np.random.default_rng([seed, 7])
    gallery = np.concatenate((val, random.permutation(train)[:GALLERY]))
    copies = [view(pixels[row], RECIPES["edits"], pixels.shape[1], random) for _ in range(COPIES) for row in val]
    return Judge(
        queries=np.stack(copies),
        gallery=pixels[gallery],
        query_labels=[str(row) for row in val] * COPIES,
        gallery_labels=[str(row) for row in gallery],
    )


def _alike(labels: Sequence[str], gallery: Rows) -> bool:
    """Whether every answer would be right, whatever the model."""
    return len({labels[row] for row in gallery}) < 2


def _answered(labels: Sequence[str], queries: Rows, gallery: Rows) -> int:
    known: dict[str, int] = {}
    for row in gallery:
        known[labels[row]] = known.get(labels[row], 0) + 1
    there = set(gallery.tolist())
    return sum(known.get(labels[row], 0) > (int(row) in there) for row in queries)
