"""Vectors of several parts: which numbers say *alike* and which say *copy*, and queries that weigh them.

A model with parts puts their unit vectors side by side, each divided by the root of their number, so that a row has
length 1 and the score of two rows is the mean of the parts' cosines. A query that weighs the parts differently is one
vector too: searching for it is one inner product per row over the same index.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, nearest
from lookalike.part_names import ALIKE, BOTH, COPY, WEIGHINGS
from lookalike.similarity import normalize
from lookalike.types import Card, Hit, Vectors

__all__ = [
    "ALIKE",
    "BOTH",
    "COPY",
    "WEIGHINGS",
    "check_weighing",
    "columns_of",
    "dim_of",
    "join_parts",
    "normalize_row_parts",
    "part_of",
    "scale_scores",
    "weigh",
]


def part_of(vectors: NDArray[np.float32], card: Card, name: str) -> Vectors:
    """Return the unit vectors (n, part's dim) of one part; the same vectors if the model has fewer than two.

    `vectors`: (n, dim) or (dim,); the result has as many axes. Raises BadQuery for a part that the model lacks.
    """
    if len(card.parts) < 2:
        return vectors
    chosen = normalize(vectors[..., columns_of(card, name)])
    return chosen if vectors.ndim == 2 else chosen[0]


def check_weighing(by: str) -> str:
    """Return `by` if it is one of WEIGHINGS. Raises BadQuery."""
    if by not in WEIGHINGS:
        raise BadQuery(f"{by!r} is no way to weigh the parts of a vector; {nearest(by, WEIGHINGS)}")
    return by


def dim_of(card: Card, name: str) -> int:
    """Return the number of dimensions of a part, or of the vector if the model has fewer than two. Raises BadQuery."""
    if len(card.parts) < 2:
        return card.dim
    columns = columns_of(card, name)
    return int(columns.stop - columns.start)


def columns_of(card: Card, name: str) -> slice:
    """Return the columns of a part. Raises BadQuery."""
    start = 0
    for part in card.parts:
        if part.name == name:
            return slice(start, start + part.dim)
        start += part.dim
    raise _unknown_part(card, name)


def weigh(vectors: Vectors, card: Card, by: str) -> tuple[Vectors, float]:
    """Return query vectors (n, dim) that weigh the parts as `by` says, and the factor of their scores.

    `by`: "alike", "copy", or "both", the mean of all parts. The score of a weighed query and a row, times the factor,
    is the cosine of the chosen parts. With fewer than two parts the vectors stay as they are. Raises BadQuery for
    another name.
    """
    if check_weighing(by) == BOTH or len(card.parts) < 2:
        return vectors, 1.0
    columns = columns_of(card, by)
    weighed = np.zeros_like(vectors)
    weighed[:, columns] = vectors[:, columns]
    return normalize(weighed), float(np.sqrt(len(card.parts)))


def scale_scores(hits: Sequence[Sequence[Hit]], factor: float) -> list[list[Hit]]:
    """Return hits with their scores times the factor of a weighed query."""
    if factor == 1:
        return [list(row) for row in hits]
    return [[replace(hit, score=min(1.0, max(-1.0, hit.score * factor))) for hit in row] for row in hits]


def normalize_row_parts(vectors: NDArray[Any], card: Card) -> Vectors:
    """Return rows (n, dim) of length 1, whose parts have equal lengths if the model has parts; zero rows stay zero."""
    if len(card.parts) < 2:
        return normalize(vectors)
    rows = np.atleast_2d(np.asarray(vectors, np.float32))
    return join_parts(rows[:, columns_of(card, part.name)] for part in card.parts)


def join_parts(parts: Iterable[Vectors]) -> Vectors:
    """Return the rows (n, dim) of unit vectors of several parts, in the order of a card."""
    return normalize(np.concatenate([normalize(part) for part in parts], axis=1))


def _unknown_part(card: Card, name: str) -> BadQuery:
    return BadQuery(f"{card.name} has no part {name!r}; {nearest(name, [part.name for part in card.parts])}")
