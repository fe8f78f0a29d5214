"""Find candidates in a Lance data set, and turn candidates into hits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import score_from_dot_distance
from lookalike.store.columns import ID, VECTOR
from lookalike.store.lance.arrow import vectors_out
from lookalike.store.rank import FLOAT32_ERROR, Candidates, best, exact_scores, is_complete
from lookalike.store.segment import RowIds
from lookalike.store.vector_index import VectorIndex
from lookalike.store.vector_storage import Mask
from lookalike.types import Hit, Vectors

if TYPE_CHECKING:
    import lance

GROWTH = 4  # times k candidates at first, and GROWTH times as many again while the k-th is in doubt
MIN_CANDIDATES = 64
BLOCK = 8192
QUERY_BATCH = 64  # queries whose candidates are read in one go: 64 x 64 vectors of 320 are 5 MB

Propose = Callable[[Vectors, int], list[Candidates]]
"""Candidates for each query (n, dim), by row id: as many as requested, or all there are."""


def passing_rows(dataset: "lance.LanceDataset", where: str) -> RowIds:
    """Return the row ids that meet a condition, ascending."""
    table = dataset.to_table(columns=[], filter=where, with_row_id=True)
    return np.sort(table["_rowid"].to_numpy().astype(np.int64))


def from_memory(index: VectorIndex, mask: Mask | None, recall: float) -> Propose:
    """Candidates of an index."""

    def propose(queries: Vectors, k: int) -> list[Candidates]:
        return [replace(c, rows=index.row_ids_at(c.rows)) for c in index.candidates(queries, k, mask, recall)]

    return propose


def exactly(dataset: "lance.LanceDataset", where: str | None) -> Propose:
    """Candidates by Lance's comparison of every vector that passes."""

    def propose(queries: Vectors, k: int) -> list[Candidates]:
        return [_nearest(dataset, where, {"q": query, "k": k, "use_index": False}) for query in queries]

    return propose


def _nearest(dataset: "lance.LanceDataset", where: str | None, nearest: dict[str, Any]) -> Candidates:
    table = dataset.to_table(
        columns=["_rowid", "_distance"],
        filter=where,
        prefilter=where is not None,
        nearest={"column": VECTOR, "metric": "dot", **nearest},
        disable_scoring_autoprojection=True,
    )
    row_ids = table["_rowid"].to_numpy().astype(np.int64)
    scores = score_from_dot_distance(table["_distance"].to_numpy())
    bound = -np.inf if len(row_ids) < nearest["k"] else float(scores.min()) + FLOAT32_ERROR
    return Candidates(row_ids, scores, FLOAT32_ERROR, bound)


def blocks(dataset: "lance.LanceDataset", where: str | None) -> Iterator[tuple[RowIds, NDArray[np.float32]]]:
    """Yield row ids and vectors (n, dim) of all rows that pass, some thousands at a time."""
    dim = dataset.schema.field(VECTOR).type.list_size
    scanner = dataset.scanner(columns=[VECTOR], filter=where, with_row_id=True, batch_size=BLOCK, batch_readahead=2)
    for batch in scanner.to_batches():
        yield batch["_rowid"].to_numpy().astype(np.int64), vectors_out(batch[VECTOR], dim)


def scan_above(
    blocks: Iterator[tuple[RowIds, NDArray[np.float32]]], queries: Vectors, min_score: float
) -> list[RowIds]:
    """For each query the rows that score at least `min_score`, in one pass."""
    parts: list[list[RowIds]] = [[] for _ in queries]
    for row_ids, vectors in blocks:
        scores = queries @ vectors.T
        for n, row in enumerate(scores):
            passing = row >= min_score
            if passing.any():
                parts[n].append(row_ids[passing])
    return [np.concatenate([np.empty(0, np.int64), *part]) for part in parts]


class Reader:
    """Reads candidates of one version, scores them exactly and returns the best as hits."""

    def __init__(self, dataset: "lance.LanceDataset", columns: Sequence[str]) -> None:
        self.dataset, self.columns = dataset, list(columns)

    def search(self, queries: Vectors, k: int, propose: Propose) -> list[list[Hit]]:
        """The k best of each query."""
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), QUERY_BATCH):
            hits += self._search(queries[start : start + QUERY_BATCH], k, propose)
        return hits

    def _search(self, queries: Vectors, k: int, propose: Propose) -> list[list[Hit]]:
        done: dict[int, _Ranked] = {}
        count = max(GROWTH * k, MIN_CANDIDATES)
        while remaining := [n for n in range(len(queries)) if n not in done]:
            pruned = [candidates.pruned(k) for candidates in propose(queries[remaining], count)]
            scored = self._scored(queries[remaining], [row_ids for row_ids, _ in pruned])
            for n, ranked, (_, bound) in zip(remaining, scored, pruned, strict=True):
                # Request more if another row may equal the k-th, as among hundreds of blank images.
                if is_complete(ranked.scores, k, bound):
                    done[n] = ranked.top(k)
            count *= GROWTH
        return self._hits([done[n] for n in range(len(queries))])

    def within(self, queries: Vectors, candidates: Sequence[RowIds], min_score: float) -> list[list[Hit]]:
        """All candidates that truly score `min_score` or more, best first."""
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), QUERY_BATCH):
            some = slice(start, start + QUERY_BATCH)
            hits += self._hits([ranked.above(min_score) for ranked in self._scored(queries[some], candidates[some])])
        return hits

    def _scored(self, queries: Vectors, candidates: Sequence[RowIds]) -> "list[_Ranked]":
        """Compute exact scores of candidates; a row that several queries share is read once."""
        row_ids, places = np.unique(np.concatenate(candidates), return_inverse=True)
        table = self._take(row_ids, [ID, VECTOR])
        ids = np.array(table[ID].to_pylist(), dtype=object)
        vectors = vectors_out(table[VECTOR], queries.shape[1])
        split = np.split(places, np.cumsum([len(some) for some in candidates])[:-1])
        pairs = zip(queries, split, strict=True)
        return [_Ranked(row_ids[at], ids[at], exact_scores(query, vectors[at])) for query, at in pairs]

    def _hits(self, ranked: "Sequence[_Ranked]") -> list[list[Hit]]:
        row_ids, places = np.unique(np.concatenate([some.row_ids for some in ranked]), return_inverse=True)
        rows = self._take(row_ids, self.columns).to_pylist() if self.columns else [{} for _ in row_ids]
        hits = iter(places)
        return [
            [Hit(id, float(score), dict(rows[next(hits)])) for id, score in zip(some.ids, some.scores, strict=True)]
            for some in ranked
        ]

    def _take(self, row_ids: RowIds, columns: list[str]) -> Any:
        # Lance's public take() takes offsets without deleted rows; only this takes row ids.
        return self.dataset._take_rows(row_ids.tolist(), columns=columns)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Rows with exact scores."""

    row_ids: RowIds
    ids: NDArray[np.object_]
    scores: NDArray[np.float64]

    def top(self, k: int) -> "_Ranked":
        order = best(self.scores, self.ids, k)
        return _Ranked(self.row_ids[order], self.ids[order], self.scores[order])

    def above(self, min_score: float) -> "_Ranked":
        return self.top(int((self.scores >= min_score).sum()))
