"""The batches of an epoch, drawn from (seed, epoch), so that a resumed run needs no other state."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def shuffled(count: int, batch: int, seed: Sequence[int]) -> list[Rows]:
    """Return all rows once, in random order. A last batch of one image is left out: it has no pairs."""
    order = np.random.default_rng(list(seed)).permutation(count)
    parts = [order[start : start + batch] for start in range(0, count, batch)]
    return [part for part in parts if len(part) > 1]


def balanced(labels: NDArray[np.int64], batch: int, per_label: int, seed: Sequence[int]) -> list[Rows]:
    """Return batches of `per_label` images of each of batch / per_label labels, all labels equally often.

    Each label's images come in random order before one repeats; images of a label with fewer than `per_label` occur
    twice in a batch, as two views. An epoch has as many batches as one of `shuffled`.
    """
    random = np.random.default_rng(list(seed))
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    decks: list[list[int]] = [[] for _ in members]
    width = max(2, min(batch // per_label, len(members)))
    per_label = max(per_label, batch // width)  # few labels: more images of each, so that batches keep their size
    plan: list[Rows] = []
    order: list[int] = []
    for _ in range(max(1, -(-len(labels) // (width * per_label)))):
        if len(order) < width:
            order = [*order, *(label for label in random.permutation(len(members)).tolist() if label not in order)]
        chosen, order = order[:width], order[width:]
        plan.append(np.array([_draw(decks, members, label, random) for label in chosen for _ in range(per_label)]))
    return plan


def two_views(plan: Sequence[Rows]) -> list[Rows]:
    """Return each batch with its rows repeated, for two views of every image."""
    return [np.concatenate((rows, rows)) for rows in plan]


def with_partners(plan: Sequence[Rows], partners: dict[int, list[int]], batch: int, seed: Sequence[int]) -> list[Rows]:
    """Return the batches, each extended by up to a quarter with rows known to differ from one of its rows."""
    random = np.random.default_rng([*seed, 1])
    wider = []
    for rows in plan:
        known = [other for row in dict.fromkeys(rows.tolist()) for other in partners.get(row, [])]
        extra = random.permutation(np.array(known, np.int64))[: batch // 4]
        wider.append(np.concatenate((rows, extra)))
    return wider


def _draw(decks: list[list[int]], members: Sequence[Rows], label: int, random: np.random.Generator) -> int:
    if not decks[label]:
        decks[label] = random.permutation(members[label]).tolist()
    return decks[label].pop()
