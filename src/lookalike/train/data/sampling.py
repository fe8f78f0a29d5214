"""Which pictures make a batch. The plan of an epoch is drawn from (seed, epoch): nothing else need be remembered."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def shuffled(count: int, batch: int, seed: Sequence[int]) -> list[Rows]:
    """All rows once, in random order. A last batch of one picture, which teaches nothing about pairs, is left out."""
    order = np.random.default_rng(list(seed)).permutation(count)
    parts = [order[start : start + batch] for start in range(0, count, batch)]
    return [part for part in parts if len(part) > 1]


def balanced(labels: NDArray[np.int64], batch: int, per_label: int, seed: Sequence[int]) -> list[Rows]:
    """Batches of `per_label` pictures of each of batch / per_label labels, all labels equally often.

    Each label's pictures pass in random order before one comes again; where a label has fewer than `per_label`, a
    picture stands twice in a batch, as two views. An epoch has as many batches as `shuffled` would make.
    """
    random = np.random.default_rng(list(seed))
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    decks: list[list[int]] = [[] for _ in members]
    width = max(2, min(batch // per_label, len(members)))
    per_label = max(per_label, batch // width)  # few labels: more of each, so that batches stay as large as asked
    plan: list[Rows] = []
    order: list[int] = []
    for _ in range(max(1, -(-len(labels) // (width * per_label)))):
        if len(order) < width:
            order = [*order, *(label for label in random.permutation(len(members)).tolist() if label not in order)]
        chosen, order = order[:width], order[width:]
        plan.append(np.array([_dealt(decks, members, label, random) for label in chosen for _ in range(per_label)]))
    return plan


def twice(plan: Sequence[Rows]) -> list[Rows]:
    """Every picture of each batch two times: the second time it is another view."""
    return [np.concatenate((rows, rows)) for rows in plan]


def with_partners(plan: Sequence[Rows], partners: dict[int, list[int]], batch: int, seed: Sequence[int]) -> list[Rows]:
    """The batches, each with pictures added that are known to differ from one of it, up to a quarter of a batch."""
    random = np.random.default_rng([*seed, 1])
    wider = []
    for rows in plan:
        known = [other for row in dict.fromkeys(rows.tolist()) for other in partners.get(row, [])]
        extra = random.permutation(np.array(known, np.int64))[: batch // 4]
        wider.append(np.concatenate((rows, extra)))
    return wider


def _dealt(decks: list[list[int]], members: Sequence[Rows], label: int, random: np.random.Generator) -> int:
    if not decks[label]:
        decks[label] = random.permutation(members[label]).tolist()
    return decks[label].pop()
