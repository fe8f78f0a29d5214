"""The images of a collection with the vectors of another model: one store over two.

The first has the images, their metadata and their own vectors; the second (`models/` beside it) has a vector of the
other model for each id. What depends on vectors (clusters, map, calibration) lies with those it was made of; what
belongs to images (labels, decisions, folders) lies with the images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike import schema
from lookalike.errors import BadQuery
from lookalike.similarity import cosine
from lookalike.store import columns as cols
from lookalike.store import memory_index, sample_vectors
from lookalike.store.ivf.recall import DEFAULT_RECALL
from lookalike.store.vector_index import SearchRequest, VectorIndex
from lookalike.store.vector_storage import Mask
from lookalike.types import Hit, Metadata, Row, Store, Table, Vectors

MAX_BYTES = 1 << 30  # of vectors in memory, for searches with a condition
_BLOCK = 8192
_OF_VECTORS = (schema.CLUSTERS, schema.ASSIGNMENTS, schema.MAP, schema.RESULTS, schema.BACKGROUND)
_TABLES = tuple(table.name.partition("{")[0] for table in _OF_VECTORS)
_SETTINGS = frozenset(
    setting.name
    for setting in (
        schema.FORMAT, schema.CARD, schema.MODEL, schema.CALIBRATION, schema.CURRENT_CLUSTERS, schema.CLUSTERS_NAMED,
        schema.CURRENT_MAP,
    )
)  # fmt: skip
_ADDED = schema.ADDED_MODEL.name.format(name="")


class ModelStore:
    """A `Store` of the images that have a vector in `vectors`. Images are added to `images`, never here.

    An image without a vector of the model, or a vector without an image, counts as absent. `max_bytes`: memory for the
    vectors, where no index beside them is mapped.
    """

    def __init__(self, images: Store, vectors: Store, max_bytes: int = MAX_BYTES) -> None:
        self.images, self.vectors, self.max_bytes = images, vectors, max_bytes
        self._index: VectorIndex | None = None

    @property
    def dim(self) -> int:
        return self.vectors.dim

    @property
    def settings(self) -> Mapping[str, str]:
        shared = {name: value for name, value in self.images.settings.items() if not _is_own(name)}
        return shared | {name: value for name, value in self.vectors.settings.items() if _is_own(name)}

    @property
    def version(self) -> int:
        return self.images.version + self.vectors.version  # each only grows

    def set_settings(self, changes: Mapping[str, str]) -> None:
        own = {name: value for name, value in changes.items() if _is_own(name)}
        shared = {name: value for name, value in changes.items() if not _is_own(name)}
        for store, some in ((self.vectors, own), (self.images, shared)):
            if some:
                store.set_settings(some)

    def add(self, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]) -> None:
        """Raise BadQuery."""
        raise BadQuery("these are the vectors of an added model; add images to the collection itself, and index again")

    def update(self, ids: Sequence[str], metadata: Sequence[Metadata]) -> None:
        self.images.update(ids, metadata)

    def drop_columns(self, names: Sequence[str]) -> int:
        return self.images.drop_columns(names)

    def delete(self, ids: Sequence[str]) -> int:
        self.vectors.delete(ids)
        return self.images.delete(ids)

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> list[Row | None]:
        rows = self.images.get(ids, columns)
        vectors = self.vectors.get(ids, [])
        return [
            None if row is None or other is None else Row(row.id, other.vector, row.metadata)
            for row, other in zip(rows, vectors, strict=True)
        ]

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]:
        nearest = self._unfiltered(recall) if where is None else self._filtered(where, recall)
        surplus = 0
        while True:
            candidates = nearest(queries, k + surplus)
            hits = self._with_metadata(candidates, columns)
            # Vectors of images that another process has removed meanwhile take the places of others.
            lost = [
                len(some) - len(known)
                for some, known in zip(candidates, hits, strict=True)
                if len(known) < k and len(some) == k + surplus
            ]
            if not lost:
                return [known[:k] for known in hits]
            surplus = 2 * (surplus + max(lost))

    def within(
        self, queries: Vectors, min_score: float, *, where: str | None = None, columns: Sequence[str] | None = None
    ) -> list[list[Hit]]:
        hits = self.vectors.within(queries, min_score, columns=[])
        if where is not None:
            passing = set(self._passing(where))
            hits = [[hit for hit in some if hit.id in passing] for some in hits]
        return self._with_metadata(hits, columns)

    def scan(
        self, columns: Sequence[str], *, where: str | None = None, batch: int = 8192
    ) -> Iterator[dict[str, NDArray[Any]]]:
        names = list(dict.fromkeys(["id", *(name for name in columns if name != cols.VECTOR)]))
        for part in self.images.scan(names, where=where, batch=batch):
            rows = self.vectors.get(part["id"].tolist(), [])
            present = np.array([row is not None for row in rows], np.bool_)
            if not present.any():
                continue
            values = {name: part[name][present] for name in names}
            if cols.VECTOR in columns:
                values[cols.VECTOR] = np.stack([row.vector for row in rows if row is not None])
            yield {name: values[name] for name in columns}

    def sample_vectors(self, count: int) -> Vectors:
        """Return the vectors (at most `count`, dim) of rows that are spread evenly."""
        return sample_vectors(self.vectors, count)

    def columns(self) -> Mapping[str, type]:
        return self.images.columns()

    @property
    def failures(self) -> Table:
        return self.images.failures

    def table(self, name: str, key: str = "path") -> Table:
        return (self.vectors if name.startswith(_TABLES) else self.images).table(name, key)

    def optimize(self) -> None:
        self.vectors.optimize()

    def __len__(self) -> int:
        return len(self.vectors)

    def close(self) -> None:
        self._index = None
        self.vectors.close()

    def index(self) -> VectorIndex | None:
        """Return all vectors with their ids, without metadata: mapped, or in memory up to `max_bytes`."""
        skipped = frozenset(self.vectors.columns())
        self._index = memory_index(self.vectors, max_bytes=self.max_bytes, skip_columns=skipped, previous=self._index)
        return self._index

    def mask(self, index: VectorIndex, where: str) -> Mask:
        """Return which rows of such an index belong to images that meet a condition. Raises BadFilter."""
        # The images change without the vectors, and their conditions with them.
        key = f"{self.images.version} {where}"
        return index.cached_mask(key, lambda: index.mask_of_ids(self._passing(where)))

    def _passing(self, where: str) -> list[str]:
        return [str(image_id) for part in self.images.scan(["id"], where=where) for image_id in part["id"]]

    def _unfiltered(self, recall: float | None) -> "Callable[[Vectors, int], list[list[Hit]]]":
        if recall is None:  # a store of an extension may not know of it
            return lambda queries, k: self.vectors.search(queries, k, columns=[])
        return lambda queries, k: self.vectors.search(queries, k, columns=[], recall=recall)

    def _filtered(self, where: str, recall: float | None) -> "Callable[[Vectors, int], list[list[Hit]]]":
        if (index := self.index()) is None:
            return lambda queries, k: self._compared(queries, k, self._passing(where))
        mask = self.mask(index, where)
        share = DEFAULT_RECALL if recall is None else recall
        return lambda queries, k: index.search([SearchRequest(query, k, mask, recall=share) for query in queries])

    def _compared(self, queries: Vectors, k: int, ids: Sequence[str]) -> list[list[Hit]]:
        """Return the k nearest of the images with these ids, compared a block at a time."""
        best: list[list[Hit]] = [[] for _ in queries]
        for start in range(0, len(ids), _BLOCK):
            rows = [row for row in self.vectors.get(ids[start : start + _BLOCK], []) if row is not None]
            if not rows:
                continue
            scores = cosine(queries, np.stack([row.vector for row in rows]))
            for n, values in enumerate(scores):
                hits = [Hit(row.id, float(score)) for row, score in zip(rows, values, strict=True)]
                best[n] = sorted([*best[n], *hits], key=lambda hit: (-hit.score, hit.id))[:k]
        return best

    def _with_metadata(self, hits: Sequence[Sequence[Hit]], columns: Sequence[str] | None) -> list[list[Hit]]:
        """Return the hits whose images are there, with their metadata."""
        ids = list(dict.fromkeys(hit.id for some in hits for hit in some))
        rows = {row.id: row.metadata for row in self.images.get(ids, columns) if row is not None} if ids else {}
        return [[Hit(hit.id, hit.score, rows[hit.id]) for hit in some if hit.id in rows] for some in hits]


def _is_own(setting: str) -> bool:
    """Return whether a setting belongs to the vectors; which models were added is none of theirs."""
    return setting in _SETTINGS or setting.startswith(_ADDED)
