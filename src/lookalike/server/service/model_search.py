"""Searches by the vectors of an added model, beside those of the collection's own that `CollectionService` makes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.parts import BOTH, scale_scores, weigh
from lookalike.search import Collection
from lookalike.server.service.batcher import Batcher
from lookalike.store.ivf.recall import DEFAULT_RECALL
from lookalike.store.model_store import ModelStore
from lookalike.store.serving import Filter, IndexQuery, InProcessIndex, ServingIndex
from lookalike.types import RGB, Embedder, Hit, Metadata, Store, TextEmbedder, Vectors

if TYPE_CHECKING:
    from lookalike.server.service.collection_service import CollectionService

EMBED_BATCH = 4  # larger batches leave the processor's cache (docs/benchmarks.md)
MAX_WAITING_TEXTS = 64


class SearchTarget(Protocol):
    """The vectors that a request searches: those of the collection's own model, or of an added one."""

    @property
    def current(self) -> tuple[Collection, ServingIndex | None]:
        """The images with these vectors, and their index if it fits into memory. Raises NoCollection."""
        ...

    async def embed(self, image: RGB) -> NDArray[np.float32]: ...

    async def embed_text(self, text: str) -> NDArray[np.float32]: ...

    async def vector_of(self, image_id: str) -> NDArray[np.float32]: ...

    async def percentiles(self, vector: Vectors, hits: Sequence[Hit]) -> list[float]: ...

    async def search(
        self, vector: Vectors, k: int, *, where: str | None = None, without: frozenset[str] = frozenset(),
        min_score: float | None = None, by: str = BOTH, recall: float | None = None,
    ) -> list[Hit]: ...  # fmt: skip


class ModelSearch:
    """A `SearchTarget` for an added model. Where its vectors do not fit into memory, searches use the store."""

    def __init__(self, service: CollectionService, name: str, view: Collection) -> None:
        assert isinstance(view.store, ModelStore)
        self._service, self.photos, self._store = service, view, view.store
        self._index: InProcessIndex | None = None
        self._version = -1
        load_towers(view.embedder)  # before the first request
        cores = os.cpu_count() or 1
        self._embedding: Batcher[RGB, NDArray[np.float32]] = Batcher(
            lambda images: embed_finite(view, images), max_items=EMBED_BATCH, threads=cores, name=f"embed {name}"
        )
        self._texts: Batcher[str, NDArray[np.float32]] = Batcher(
            lambda texts: list(view.text_search.vectors(texts)), max_items=EMBED_BATCH, threads=1,
            max_waiting=MAX_WAITING_TEXTS, name=f"text {name}",
        )  # fmt: skip

    @property
    def current(self) -> tuple[Collection, ServingIndex | None]:
        return self.photos, self._index

    @property
    def nbytes(self) -> int:
        """Private memory of the index."""
        return 0 if self._index is None else self._index.nbytes

    def refresh(self, max_bytes: int) -> None:
        """Load the vectors that were committed since."""
        version = self._store.vectors.version
        if version == self._version:
            return
        self._store.max_bytes = max_bytes
        index = self._store.index()
        self._index = None if index is None else InProcessIndex(index, self._store.mask)
        self._version = version

    def close(self) -> None:
        self._embedding.close()
        self._texts.close()

    async def embed(self, image: RGB) -> NDArray[np.float32]:
        return await self._embedding(image)

    async def embed_text(self, text: str) -> NDArray[np.float32]:
        return await self._texts(text)

    async def vector_of(self, image_id: str) -> NDArray[np.float32]:
        row = await asyncio.to_thread(lambda: self.photos.get([image_id], [])[0])
        if row is None:
            await self._service.row(image_id, [])  # raises UnknownId
            raise BadQuery(f"{image_id[:200]!r} has no vector of this model yet; index its folder again")
        return row.vector

    async def percentiles(self, vector: Vectors, hits: Sequence[Hit]) -> list[float]:
        return await asyncio.to_thread(percentiles, self.photos, vector, hits)

    async def search(
        self, vector: Vectors, k: int, *, where: str | None = None, without: frozenset[str] = frozenset(),
        min_score: float | None = None, by: str = BOTH, recall: float | None = None,
    ) -> list[Hit]:  # fmt: skip
        """Return the k nearest images of one vector (1, dim) of this model; see `CollectionService.search`."""
        vector, factor = weigh(vector, self.photos.card, by)
        floor = None if min_score is None else min_score / factor
        photos, own = self._service.current
        if where is not None:
            await asyncio.to_thread(self._service.passing, photos, own, where)  # checks it
        if (index := self._index) is None:
            query = IndexQuery(vector[0], k, exclude=without, min_score=floor)
            hits = await asyncio.to_thread(search_store, self._store, query, where)
        else:
            passing = None if where is None else await asyncio.to_thread(self._passing, index, where)
            recall = DEFAULT_RECALL if recall is None else recall
            hits = []
            while True:
                query = IndexQuery(vector[0], k, passing, without, floor, recall)
                nearest = await self._service.searching((index, query))
                hits = await self._with_metadata(nearest)
                if len(hits) == len(nearest):
                    break
                without |= {hit.id for hit in nearest} - {hit.id for hit in hits}  # of images removed meanwhile
        return scale_scores([hits], factor)[0]

    async def add(self, image_id: str, vector: NDArray[np.float32], metadata: Metadata) -> None:
        """Store the vector of an image that was just added to the collection."""
        columns = self._store.vectors.columns()
        facts = {name: value for name, value in metadata.items() if name in columns}
        await asyncio.to_thread(self._store.vectors.add, [image_id], vector[None], [facts])

    def _passing(self, index: InProcessIndex, where: str) -> Filter:
        return Filter(where, self._store.mask(index.vector_index, where))

    async def _with_metadata(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits with the metadata of their images, without those that were removed meanwhile."""
        photos, index = self._service.current
        ids = [hit.id for hit in hits]
        if index is not None:
            rows = await asyncio.to_thread(index.rows, ids)
        else:
            rows = [None if row is None else row.metadata for row in await asyncio.to_thread(photos.get, ids)]
        return [replace(hit, metadata=row) for hit, row in zip(hits, rows, strict=True) if row is not None]


def embed_finite(photos: Collection, images: Sequence[RGB]) -> list[NDArray[np.float32]]:
    """Return the vectors (dim,) of images by the model of a collection. Raises BadQuery if one is not finite."""
    vectors = photos.embedder.embed(images)
    if not np.isfinite(vectors).all():
        raise BadQuery("the model returned values that are not finite for this image; try another")
    return list(vectors)


def percentiles(photos: Collection, vector: Vectors, hits: Sequence[Hit]) -> list[float]:
    """Return for each hit of a query with words (1, dim) how many of a hundred images have a lower score."""
    return photos.text_search.percentiles(vector[0], [hit.score for hit in hits])


def search_store(store: Store, query: IndexQuery, where: str | None) -> list[Hit]:
    """Search in the store itself, where there is no index in memory."""
    (hits,) = store.search(query.vector[None], query.k + len(query.exclude), where=where)
    floor = -2.0 if query.min_score is None else query.min_score
    return [hit for hit in hits if hit.id not in query.exclude and hit.score >= floor][: query.k]


def load_towers(embedder: Embedder) -> None:
    """Load a model that reads words, both towers of it."""
    if embedder.card.text is not None and isinstance(embedder, TextEmbedder):
        embedder.embed(())
        embedder.embed_texts(())
