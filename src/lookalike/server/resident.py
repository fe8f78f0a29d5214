"""A collection's vectors and small columns in memory, searched many queries at a time.

One query costs 2.5 ms of a core over 100,000 x 256 in half precision on one processor and 8 on another; 40 together
cost 1.4 ms each as a matrix product, where FAISS's own takes 3.8 (docs/benchmarks-server.md). From how many on the
product is the cheaper is therefore measured when the copy is made. Scores are computed again in double precision, so
the answers are the store's.
A Resident is never altered: searches under way keep theirs while a newer one is made.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.store.rank import HALF_ERROR, best, exact_scores
from lookalike.types import Hit, Metadata, Scalar, Store, Vectors

SPARE = 20  # more candidates than asked: among them the exact scores decide
TRIED = 8  # queries of the product that is timed against the scan
TOGETHER = (2, 32)  # from how many queries on the product is used, at least and at most
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
    index: Any = None
    together: int = TOGETHER[1]
    added: int = 0
    passing_kept: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids) - int(self.gone.sum())

    @property
    def bytes(self) -> int:
        return self.vectors.nbytes * 3 // 2

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
        queries = np.stack([ask.vector for ask in asks])
        wanted = max(ask.k + len(ask.without) for ask in asks) + SPARE + int(self.gone.sum())
        found = self._nearest(queries, min(wanted, len(self.ids)))
        return [self._settled(ask, *pair) for ask, pair in zip(asks, found, strict=True)]

    def _nearest(self, queries: Vectors, k: int) -> Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Scores and rows of at least the k best of each query, best first."""
        if len(queries) < self.together and self.index is not None:
            return zip(*self.index.search(queries, k), strict=True)
        return nearest_by_product(queries, self.vectors, k)

    def _settled(self, ask: Ask, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> list[Hit]:
        """Exact scores of the candidates; where a row left out may be as good as the last, all rows are compared."""
        needed = ask.k + len(ask.without)
        there = rows[~self.gone[rows]]
        exact = exact_scores(ask.vector, self.vectors[there])
        last = -np.inf if len(rows) == len(self.ids) else float(scores[-1]) + HALF_ERROR
        if last > -np.inf and (len(there) < needed or np.sort(exact)[-needed] <= last):
            return self._chosen(ask)
        return self._hits(ask, exact, there)

    def _chosen(self, ask: Ask) -> list[Hit]:
        """Among the rows that pass: every one compared."""
        mask = ~self.gone if ask.passing is None else ask.passing & ~self.gone
        rows = np.flatnonzero(mask)
        few = len(rows) < len(mask) // 4
        near = (self.vectors[rows] @ ask.vector) if few else (self.vectors @ ask.vector)[rows]
        needed = ask.k + len(ask.without)
        if len(rows) > needed:
            kth = np.partition(near, len(rows) - needed)[len(rows) - needed]
            rows = rows[near >= kth - HALF_ERROR]
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
            index=None,
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


def version_of(store: Store) -> int:
    """A number that differs after any commit; Lance's own where there is one."""
    rows = getattr(store, "_rows", None)
    return int(rows.latest().version) if rows is not None and hasattr(rows, "latest") else len(store)


def load(store: Store) -> Resident:
    """Read everything that searches need; .5 s for 100,000 rows."""
    version = version_of(store)
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
    index = _half(vectors)
    gone = np.zeros(len(ids), np.bool_)
    return Resident(ids, vectors, columns, version, at, gone, index, cheaper_together(index, vectors))


def cheaper_together(index: Any, vectors: Vectors) -> int:
    """From how many queries on one product costs less than a scan for each, on this machine.

    A product of a few queries takes about as long as one of eight: it waits for memory.
    """
    if index is None:
        return TOGETHER[1]
    some = np.ascontiguousarray(vectors[:TRIED])
    k = min(SPARE, len(vectors))
    scan = min(_seconds(lambda: index.search(some[:1], k)) for _ in range(2))
    product = min(_seconds(lambda: nearest_by_product(some, vectors, k)) for _ in range(2))
    return int(np.clip(np.ceil(product / max(scan, 1e-9)), *TOGETHER))


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _plain(values: NDArray[Any]) -> list[Scalar]:
    """A column as Python values; a number that is not one means there is none."""
    listed: list[Scalar] = values.tolist()
    if values.dtype.kind == "f":
        return [None if value != value else value for value in listed]  # noqa: PLR0124 - nan is not itself
    return listed


def _half(vectors: Vectors) -> Any:
    import faiss

    if not len(vectors):
        return None
    index: Any = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    return index
