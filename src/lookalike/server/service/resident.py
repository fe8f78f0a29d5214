"""A collection's vectors and small columns in memory, searched many queries at a time.

A look at four bits a number (codes.py) finds the candidates; a query for which it cannot be sure, of which there are
few, is compared with every row, many queries together as one matrix product. Scores are computed again in double
precision, so the answers are the store's. What each costs: docs/benchmarks-server.md.
A Resident is never altered: searches under way keep theirs while a newer one is made.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.server.service.codes import Codes, encode
from lookalike.similarity import is_damaged
from lookalike.store.rank import DECIMALS, FLOAT32_ERROR, best, exact_scores
from lookalike.types import Hit, Metadata, Scalar, Store, Vectors

log = logging.getLogger("lookalike.server")

SPARE = 20  # more candidates than asked: among them the exact scores decide
MANY = 10_000  # rows from which on a look at codes is cheaper than reading all of them
LOOKED = 2000  # candidates of such a look: of 100,000 made vectors the twelve best are certain for all of 64 queries
MOST_NEW = 1000  # rows put in since the codes were made; beyond, every row is compared until the next full reading
TIE = 2 * FLOAT32_ERROR + 10.0**-DECIMALS  # scores in single precision that may be equal ones
BLOCK = 4096  # rows at a time: their scores stay in the cache
MOST_GONE = 64  # rows deleted since the last full reading; beyond, every row is compared until the next one
LEFT_OUT = frozenset({"path", "root", "sha256", "mtime_ns", "size", "indexed", "frame", "frames", "thumbnail"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One search: a unit vector, how many, which rows pass (None: all), which ids are left out, the least score."""

    vector: NDArray[np.float32]
    k: int
    passing: NDArray[np.bool_] | None = None
    without: frozenset[str] = frozenset()
    min_score: float | None = None


@dataclass(frozen=True)
class Resident:
    """`vectors` (n, dim); `columns`: a list a column; `gone`: rows that are there no more; `version`: the store's."""

    ids: list[str]
    vectors: Vectors
    columns: Mapping[str, list[Scalar]]
    version: int
    at: Mapping[str, int]
    gone: NDArray[np.bool_]
    codes: Codes | None = None
    added: int = 0
    passing_kept: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids) - int(self.gone.sum())

    @property
    def bytes(self) -> int:
        return self.vectors.nbytes * 9 // 8

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The rows that are there, by id: how the collection is listed."""
        rows = np.flatnonzero(~self.gone)
        return rows[np.argsort(np.array(self.ids, dtype=object)[rows])] if len(rows) else rows

    def hit(self, row: int, score: float) -> Hit:
        return Hit(self.ids[row], score, {name: values[row] for name, values in self.columns.items()})

    def vector(self, image_id: str) -> NDArray[np.float32] | None:
        row = self.at.get(image_id)
        return None if row is None or self.gone[row] else self.vectors[row]

    def mask(self, ids: Sequence[str]) -> NDArray[np.bool_]:
        """Which rows have one of these ids."""
        mask = np.zeros(len(self.ids), np.bool_)
        mask[[self.at[i] for i in ids if i in self.at]] = True
        return mask

    def search(self, asks: Sequence[Ask]) -> list[list[Hit]]:
        """The best of each, best first, ties by id; exact, as the store's own search."""
        if not self.ids:
            return [[] for _ in asks]
        few_gone = int(self.gone.sum()) <= MOST_GONE
        plain = [n for n, ask in enumerate(asks) if ask.passing is None and few_gone]
        answers: dict[int, list[Hit]] = {}
        if plain:
            answers.update(zip(plain, self._dense([asks[n] for n in plain]), strict=True))
        for n, ask in enumerate(asks):
            if n not in answers:
                answers[n] = self._chosen(ask)
        return [answers[n] for n in range(len(asks))]

    def _dense(self, asks: Sequence[Ask]) -> list[list[Hit]]:
        answers: list[list[Hit] | None] = [None] * len(asks)
        if self.codes is not None and len(self.ids) - len(self.codes) <= MOST_NEW:
            answers = self._looked_up(asks, self.codes)
        unsure = [n for n, answer in enumerate(answers) if answer is None]
        if unsure:
            for n, answer in zip(unsure, self._multiplied([asks[n] for n in unsure]), strict=True):
                answers[n] = answer
        return [self._chosen(ask) if answer is None else answer for ask, answer in zip(asks, answers, strict=True)]

    def _looked_up(self, asks: Sequence[Ask], codes: Codes) -> list[list[Hit] | None]:
        """By codes and, of rows put in since, all; None where another row could be among the best."""
        looked = codes.candidates(np.stack([ask.vector for ask in asks]), min(LOOKED, len(codes)))
        new = np.arange(len(codes), len(self.ids))
        answers = []
        for ask, rows, most, left in zip(asks, *looked, strict=True):
            first = ask.k + len(ask.without) + SPARE
            near, there = self._scored(ask, np.concatenate([new, rows[:first]]))
            least = self._least(ask, near)
            more, others = self._scored(ask, rows[first:][most[first:] >= least - TIE])
            answers.append(self._settled(ask, np.append(near, more), np.append(there, others), float(left)))
        return answers

    def _multiplied(self, asks: Sequence[Ask]) -> list[list[Hit] | None]:
        """By a matrix product; None where a row left out may be as good as the last."""
        wanted = max(ask.k + len(ask.without) for ask in asks) + SPARE + int(self.gone.sum())
        found = nearest_by_product(np.stack([ask.vector for ask in asks]), self.vectors, min(wanted, len(self.ids)))
        return [
            self._settled(ask, *self._there(scores, rows), float(scores[-1]) if len(rows) < len(self.ids) else -np.inf)
            for ask, (scores, rows) in zip(asks, found, strict=True)
        ]

    def _scored(self, ask: Ask, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = rows[~self.gone[rows]]
        return self.vectors[rows] @ ask.vector, rows

    def _there(
        self, scores: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        there = ~self.gone[rows]
        return scores[there], rows[there]

    def _least(self, ask: Ask, scores: NDArray[np.float32]) -> float:
        """The score of the last that is asked for."""
        needed = ask.k + len(ask.without)
        return -np.inf if len(scores) < needed else float(np.partition(scores, len(scores) - needed)[-needed])

    def _settled(
        self, ask: Ask, scores: NDArray[np.float32], rows: NDArray[np.int64], bound: float
    ) -> list[Hit] | None:
        """The best by exact scores, unless a row that is not among these, of a score up to `bound`, may be as good."""
        least = self._least(ask, scores)
        if bound > -np.inf and least - TIE <= bound:
            return None
        rows = rows[scores >= least - TIE]
        return self._hits(ask, exact_scores(ask.vector, self.vectors[rows]), rows)

    def _chosen(self, ask: Ask) -> list[Hit]:
        """Among the rows that pass: every one compared."""
        mask = ~self.gone if ask.passing is None else ask.passing & ~self.gone
        rows = np.flatnonzero(mask)
        few = len(rows) < len(mask) // 4
        near = (self.vectors[rows] @ ask.vector) if few else (self.vectors @ ask.vector)[rows]
        rows = rows[near >= self._least(ask, near) - TIE]
        return self._hits(ask, exact_scores(ask.vector, self.vectors[rows]), rows)

    def _hits(self, ask: Ask, exact: NDArray[np.float64], rows: NDArray[Any]) -> list[Hit]:
        floor = -2.0 if ask.min_score is None else ask.min_score
        ids = [self.ids[row] for row in rows]
        order = best(exact, ids, ask.k + len(ask.without))
        chosen = [at for at in order if ids[at] not in ask.without and exact[at] >= floor]
        return [self.hit(int(rows[at]), float(exact[at])) for at in chosen[: ask.k]]

    def passing(self, store: Store, where: str | None) -> NDArray[np.bool_] | None:
        """Which rows meet a condition. Raises BadFilter."""
        if where is None:
            return None
        if where not in self.passing_kept:
            ids = [i for part in store.scan(["id"], where=where) for i in part["id"].tolist()]
            while len(self.passing_kept) >= 16:
                self.passing_kept.pop(next(iter(self.passing_kept)))
            self.passing_kept[where] = self.mask(ids)
        return self.passing_kept[where]

    def with_rows(self, ids: Sequence[str], vectors: Vectors, rows: Sequence[Metadata], version: int) -> "Resident":
        """The same with some rows put in or replaced."""
        gone = np.concatenate([self.gone, np.zeros(len(ids), np.bool_)])
        gone[[self.at[i] for i in ids if i in self.at]] = True
        at = dict(self.at) | {i: len(self.ids) + n for n, i in enumerate(ids)}
        columns = {name: [*values, *(row.get(name) for row in rows)] for name, values in self.columns.items()}
        return replace(
            self,
            ids=[*self.ids, *ids],
            vectors=np.concatenate([self.vectors, vectors]),
            columns=columns,
            version=version,
            at=at,
            gone=gone,
            added=self.added + len(ids),
            passing_kept={},
        )

    def without_rows(self, ids: Sequence[str], version: int) -> "Resident":
        """The same less some rows."""
        return replace(self, gone=self.gone | self.mask(ids), version=version, passing_kept={})


def nearest_by_product(
    queries: Vectors, vectors: Vectors, k: int
) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Scores and rows of the k best of each query, best first, by one matrix product a block of rows.

    The k-th score of the first block is a floor that few later rows reach, so hardly anything is kept or sorted.
    """
    first = min(len(vectors), max(BLOCK, 4 * k))
    scores = queries @ vectors[:first].T
    floor = np.partition(scores, first - k, axis=1)[:, first - k, None]
    found = [(*np.nonzero(scores >= floor), scores[scores >= floor])]
    for start in range(first, len(vectors), BLOCK):
        scores = queries @ vectors[start : start + BLOCK].T
        places = np.flatnonzero(scores >= floor)
        if len(places):
            which, rows = np.divmod(places, scores.shape[1])
            found.append((which, rows + start, scores.ravel()[places]))
    which, rows, reached = (np.concatenate(part) for part in zip(*found, strict=True))
    mine = [np.flatnonzero(which == n) for n in range(len(queries))]
    best_first = [at[np.argsort(-reached[at], kind="stable")[:k]] for at in mine]
    return [(reached[at], rows[at]) for at in best_first]


def load(store: Store) -> Resident:
    """Read everything that searches need; a second or two for 100,000 rows."""
    version = store.version
    names = [name for name, kind in store.columns().items() if kind is not bytes and name not in LEFT_OUT]
    ids: list[str] = []
    parts: list[Vectors] = []
    columns: dict[str, list[Scalar]] = {name: [] for name in names}
    for batch in store.scan(["id", "vector", *names]):
        ids += batch["id"].tolist()
        parts.append(np.asarray(batch["vector"], np.float32))
        for name in names:
            columns[name] += _plain(batch[name])
    vectors = np.ascontiguousarray(np.concatenate(parts)) if parts else np.zeros((0, store.dim), np.float32)
    at = {i: n for n, i in enumerate(ids)}
    codes = encode(vectors) if len(vectors) >= MANY else None
    damaged = is_damaged(vectors)
    if damaged.any():
        some = ", ".join(ids[row] for row in np.flatnonzero(damaged)[:3])
        log.warning("%d vectors are damaged and left out: %s; index them anew", int(damaged.sum()), some)
    return Resident(ids, vectors, columns, version, at, damaged, codes)


def _plain(values: NDArray[Any]) -> list[Scalar]:
    """A column as Python values; a number that is not one means there is none."""
    listed: list[Scalar] = values.tolist()
    if values.dtype.kind == "f":
        return [None if value != value else value for value in listed]  # noqa: PLR0124 - nan is not itself
    return listed
