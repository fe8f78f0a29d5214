"""The collection that a server searches: opened, loaded into memory, refreshed, reopened when it is replaced."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, LookalikeError, ModelError, NoCollection, ReadOnly, UnknownId
from lookalike.part_names import WEIGHINGS
from lookalike.parts import BOTH, scale_scores, weigh
from lookalike.search import Collection
from lookalike.server.http.redaction import check_condition, redact_location
from lookalike.server.process.settings import Settings
from lookalike.server.service.batcher import Batcher
from lookalike.server.service.model_search import (
    EMBED_BATCH,
    MAX_WAITING_TEXTS,
    ModelSearch,
    SearchTarget,
    embed_finite,
    load_towers,
    percentiles,
    search_store,
)
from lookalike.similarity import normalize
from lookalike.store import memory_index, passing_mask
from lookalike.store.ivf.recall import DEFAULT_RECALL
from lookalike.store.serving import Filter, IndexQuery, InProcessIndex, ServingIndex
from lookalike.types import RGB, Hit, Metadata, Row, Scalar, Store, Vectors

T = TypeVar("T")
log = logging.getLogger("lookalike.server")
SEARCH_BATCH = 64
REMOTE_BATCH = 32  # a call to other machines costs as much as some searches
WRITE_BATCH = 256
REFRESH_SECONDS = 1.0
MODEL_RETRY_SECONDS = 60.0  # after a model that cannot be used
REFRESH_REST = 10  # times as long as a refresh took is waited until the next
MAX_K = 1000
# Columns that no response contains.
HIDDEN_COLUMNS = frozenset({"path", "root", "sha256", "mtime_ns", "frame", "frames", "thumbnail"})

Added = tuple[str, NDArray[np.float32], Metadata]


class Shards(Protocol):
    """Other machines that hold the index. `concurrency`: calls under way at a time."""

    concurrency: int

    def index(self, version: int, previous: ServingIndex | None) -> ServingIndex:
        """The index of a version, or the previous one while a machine still loads. Raises LookalikeError."""
        ...

    def close(self) -> None: ...


class CollectionService:
    """Search, embed, add and remove, each in batches. `photos` is None while the collection is not available."""

    def __init__(self, settings: Settings, collection: Collection | None = None, shards: Shards | None = None) -> None:
        self.settings, self._shards = settings, shards
        self.externally_owned = collection is not None
        self.photos: Collection | None = collection
        self.index: ServingIndex | None = None
        self.added_models: dict[str, ModelSearch] = {}
        self._model_names: tuple[int, Sequence[str]] = (-1, ())  # and the version of the collection that has them
        self._unusable_models: dict[str, float] = {}  # when each was tried
        self.unavailable_reason = "the collection is being loaded"
        self._loading, self._closing = threading.Lock(), threading.Event()
        self._loaded = threading.Event()
        cores = os.cpu_count() or 1
        self.embedding: Batcher[RGB, NDArray[np.float32]] = Batcher(
            self._embed, max_items=EMBED_BATCH, threads=cores, name="embed"
        )
        # One core remains for HTTP; fewer threads make larger batches, which cost less per query.
        threads = max(1, cores - 1) if shards is None else shards.concurrency
        self.searching: Batcher[tuple[ServingIndex, IndexQuery | str], Any] = Batcher(
            self._search,
            max_items=SEARCH_BATCH,
            threads=threads,
            name="search",
            beside=1 if shards is None else REMOTE_BATCH,
        )
        # One text is quick, and few arrive at once: a second thread would only hold a second batch.
        self.text_embedding: Batcher[str, NDArray[np.float32]] = Batcher(
            self._embed_texts, max_items=EMBED_BATCH, threads=1, max_waiting=MAX_WAITING_TEXTS, name="text"
        )
        self.adding: Batcher[Added, bool] = Batcher(self._add, max_items=WRITE_BATCH, threads=1, name="write")
        self._refresher = threading.Thread(target=self._refresh_loop, name="refresh", daemon=True)

    # -- life cycle

    def start(self) -> None:
        self._refresher.start()

    async def wait_until_loaded(self, seconds: float) -> None:
        """Wait for the first load to finish or fail, up to `seconds`: a huge collection loads while the server runs."""
        await asyncio.to_thread(self._loaded.wait, seconds)

    def cancel_wait(self) -> None:
        """End `wait_until_loaded`."""
        self._loaded.set()

    def close(self) -> None:
        self._closing.set()
        self._loaded.set()
        for batcher in (self.searching, self.embedding, self.text_embedding, self.adding):
            batcher.close()
        self._close_models()
        self._refresher.join(timeout=10)
        if self._shards is not None:
            self._shards.close()
        if self.photos is not None and not self.externally_owned:
            self.photos.close()

    @property
    def ready(self) -> bool:
        return self.index is not None and not self.unavailable_reason

    @property
    def current(self) -> tuple[Collection, ServingIndex | None]:
        """The collection, and its index if it fits into memory. Raises NoCollection while it is not available."""
        if self.photos is None or self.unavailable_reason:
            raise NoCollection(self.unavailable_reason or "the collection is not available")
        return self.photos, self.index

    def _refresh_loop(self) -> None:
        """Refresh once a second, less often if a refresh takes long."""
        pause = 0.0
        while not self._closing.wait(pause):
            started_at = time.monotonic()
            try:
                self.refresh()
            except Exception as error:  # the server outlives any failure of its collection
                self._mark_unavailable(error)
            self._loaded.set()
            pause = max(REFRESH_SECONDS, REFRESH_REST * (time.monotonic() - started_at))
            if self.unavailable_reason:
                pause = REFRESH_SECONDS

    def _mark_unavailable(self, error: Exception) -> None:
        if not self.unavailable_reason:
            defect = None if isinstance(error, LookalikeError) else error
            log.warning("collection lost: %s", self.public_message(error), exc_info=defect)
        # The hint of an error, such as how to create a collection, is for its owner.
        reason = self._redact(error.reason if isinstance(error, LookalikeError) else str(error))
        self.unavailable_reason = f"the collection is not available: {reason}"
        if not self.externally_owned and self.photos is not None:
            self._close_models()
            self.photos.close()
            self.photos = None

    def refresh(self) -> None:
        """Open the collection if necessary, and load what was committed since the last refresh."""
        with self._loading:
            if self.photos is None:
                self.photos = Collection.open(self.settings.uri, read_only=self.settings.read_only)
                load_towers(self.photos.embedder)  # before the first request
                self.index = None
            store = self.photos.store
            now = store.version
            index = self.index
            if index is not None and index.version > now and not self.externally_owned:
                raise NoCollection("it was replaced by another collection, which is being loaded")
            if index is None or index.version != now:
                self._load(store)
            self._refresh_models(now)
            self.unavailable_reason = ""

    def _load(self, store: Store) -> None:
        self._check_model()
        first = self.index is None
        self._refresh_index(store)
        if first and self.index is not None and (damaged := self.index.damaged_ids()):
            some = ", ".join(damaged[:3])
            log.warning("%d vectors are damaged and skipped: %s; index these images again", len(damaged), some)

    def _refresh_index(self, store: Store) -> None:
        """Load what was committed since. Without an index, if it would be too large, searches use the store."""
        if self._shards is not None:
            self.index = self._shards.index(store.version, self.index)
            return
        limit = self.settings.resident_bytes
        previous = self.index.vector_index if isinstance(self.index, InProcessIndex) else None
        index = memory_index(store, max_bytes=limit, skip_columns=HIDDEN_COLUMNS, previous=previous)
        if index is None:
            self.index = None
        elif index is not previous:
            self.index = InProcessIndex(index, partial(passing_mask, store))

    def _refresh_models(self, version: int) -> None:
        """Open the models that were added since, forget those that were removed, and load their new vectors.

        `version`: of the collection, which changes with the names of its models.
        """
        assert self.photos is not None
        if self._model_names[0] != version:
            self._model_names = version, self.photos.added_models.names()
        _, names = self._model_names
        for name in [*self.added_models]:
            if name not in names:
                self.added_models.pop(name).close()
        for name in names:
            tried = self._unusable_models.get(name)
            if tried is not None and time.monotonic() - tried < MODEL_RETRY_SECONDS:
                continue
            try:
                self._refresh_model(self.photos, name)
            except LookalikeError as error:  # the other models go on
                log.warning("the added model %s cannot be used: %s", name, self.public_message(error))
                self._unusable_models[name] = time.monotonic()
                if name in self.added_models:
                    self.added_models.pop(name).close()
            else:
                self._unusable_models.pop(name, None)

    def _refresh_model(self, photos: Collection, name: str) -> None:
        view = photos.by_model(name)
        known = self.added_models.get(name)
        if known is not None and known.photos is not view:  # removed, and added again
            self.added_models.pop(name).close()
            known = None
        if known is None:
            known = self.added_models[name] = ModelSearch(self, name, view)
        used = sum(model.nbytes for model in self.added_models.values() if model is not known)
        own = 0 if self.index is None else self.index.nbytes
        known.refresh(max(0, self.settings.resident_bytes - own - used))

    def _close_models(self) -> None:
        models, self.added_models = self.added_models, {}
        self._model_names = (-1, ())
        for model in models.values():
            model.close()

    def _check_model(self) -> None:
        """Raise NoCollection if the collection at this location was embedded by another model."""
        from lookalike.indexing.roots import load_card

        assert self.photos is not None
        card, _ = load_card(self.photos.store.settings, self.photos.uri)
        if card.sha256 != self.photos.card.sha256:
            raise NoCollection("it was replaced by one of another model, which is being opened")

    def public_message(self, error: Exception) -> str:
        """Return the sentence of an error, without the location of the collection unless the server shows paths."""
        if isinstance(error, LookalikeError) and not self.settings.show_paths:
            return self._redact(error.without_location())
        return self._redact(str(error))

    def _redact(self, message: str) -> str:
        return message if self.settings.show_paths else redact_location(message, self.settings.uri)

    # -- requests

    async def target(self, by: str, *, has_words: bool = False) -> tuple[SearchTarget, str, str]:
        """Return the vectors that a search is for, the parts of them that count, and the added model's name or "".

        `by`: see `Collection.search`. Raises BadQuery.
        """
        photos, _ = self.current
        if by in WEIGHINGS and (photos.card.text is not None or not has_words):
            return self, by, ""  # as most searches, which need not ask the collection for its models
        name, by = await self.in_thread(lambda: photos.added_models.resolve(by, has_words=has_words))
        if name is None:
            return self, by, ""
        if (model := self.added_models.get(name)) is None:
            unusable = name in self._unusable_models
            state = "cannot be loaded; the server's log says why" if unusable else "is being loaded"
            raise ModelError(f"the added model {name} {state}")
        return model, by, name

    async def search(
        self,
        vector: Vectors,
        k: int,
        *,
        where: str | None = None,
        without: frozenset[str] = frozenset(),
        min_score: float | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> list[Hit]:
        """Return the k nearest images of one vector (1, dim); `by` weighs the parts of a model's vectors.

        `recall`: the share of them to find on average, if the collection has an index; 1 compares all.
        """
        photos, index = self.current
        vector, factor = weigh(vector, photos.card, by)
        min_score = None if min_score is None else min_score / factor
        recall = DEFAULT_RECALL if recall is None else recall
        if not 1 <= k <= MAX_K:
            raise BadQuery(f"k is {k}; request 1 to {MAX_K} images")
        passing = await asyncio.to_thread(self.passing, photos, index, where) if where is not None else None
        query = IndexQuery(vector[0], k, passing, without, min_score, recall)
        if index is None:
            hits = await asyncio.to_thread(search_store, photos.store, query, where)
        else:
            hits = await self.searching((index, query))
        return scale_scores([hits], factor)[0]

    def passing(self, photos: Collection, index: ServingIndex | None, where: str) -> Filter | None:
        """Prepare a condition for the index; without an index, only check it. Raises BadFilter."""
        if not self.settings.show_paths:
            check_condition(where, photos.store.columns())
        return None if index is None else index.filter(where)

    async def embed(self, image: RGB) -> NDArray[np.float32]:
        """Return the vector (dim,) of one image that is fitted to the model's input."""
        return await self.embedding(image)

    async def embed_text(self, text: str) -> NDArray[np.float32]:
        """Return the vector (dim,) of a text. Raises BadQuery if the collection's model reads no words."""
        return await self.text_embedding(text)

    async def percentiles(self, vector: Vectors, hits: Sequence[Hit]) -> list[float]:
        """Return for each hit of a query with words how many of a hundred images have a lower score."""
        photos, _ = self.current
        return await asyncio.to_thread(percentiles, photos, vector, hits)

    async def vector_of(self, image_id: str) -> NDArray[np.float32]:
        """Return the vector of an image in the collection. Raises UnknownId."""
        _, index = self.current
        vector: NDArray[np.float32] | None
        if index is None:
            row = await self.row(image_id, [])
            vector = row.vector
        elif index.remote:
            vector = await self.searching((index, image_id))
        else:
            (vector,) = index.vectors([image_id])
        if vector is None:
            raise unknown(image_id)
        return vector

    async def row(self, image_id: str, columns: Sequence[str] | None = None) -> Row:
        """Return one stored image. Raises UnknownId."""
        photos, index = self.current
        if index is not None and not index.remote and not all(index.contained([image_id])):
            raise unknown(image_id)
        (row,) = await self.in_thread(lambda: photos.get([image_id], columns))
        if row is None:
            raise unknown(image_id)
        return row

    async def metadata_of(self, ids: Sequence[str]) -> list[dict[str, Scalar]]:
        """Return the metadata of images, without the columns of `HIDDEN_COLUMNS`; nothing of unknown ones."""
        _, index = self.current
        if index is None:
            return [{} for _ in ids]
        rows = await self.in_thread(lambda: index.rows(ids))
        return [dict(row or {}) for row in rows]

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def add(self, image_id: str, vector: NDArray[np.float32], metadata: Metadata) -> bool:
        """Store one image, in one commit with others that are waiting. Returns whether the id is new."""
        self.writable()
        return await self.adding((image_id, vector, metadata))

    async def remove(self, ids: Sequence[str]) -> int:
        photos = self.writable()
        return await self.in_thread(lambda: self._remove(photos, ids))

    def writable(self) -> Collection:
        """Return the collection if the server may write to it. Raises ReadOnly, NoCollection."""
        if self.settings.read_only:
            raise ReadOnly("this server was started with --read-only; restart it without to write")
        return self.current[0]

    # -- batches, in threads of their own

    def _embed(self, images: Sequence[RGB]) -> Sequence[NDArray[np.float32]]:
        photos, _ = self.current
        return embed_finite(photos, images)

    def _embed_texts(self, texts: Sequence[str]) -> Sequence[NDArray[np.float32]]:
        photos, _ = self.current
        return list(photos.text_search.vectors(texts))

    def _search(self, requests: Sequence[tuple[ServingIndex, IndexQuery | str]]) -> list[Any]:
        """Search, or look up the vector of an id, each in the index the request was made for.

        A filter's mask belongs to one version. One call of a remote index answers all of a batch.
        """
        answers: dict[int, Any] = {}
        for index in {id(index): index for index, _ in requests}.values():
            own = {n: request for n, (own_index, request) in enumerate(requests) if own_index is index}
            queries = {n: request for n, request in own.items() if isinstance(request, IndexQuery)}
            ids = {n: request for n, request in own.items() if isinstance(request, str)}
            vectors, hits = index.vectors_and_hits([*ids.values()], [*queries.values()])
            answers.update(zip([*ids, *queries], [*vectors, *hits], strict=True))
        return [answers[n] for n in range(len(requests))]

    def _add(self, batch: Sequence[Added]) -> Sequence[bool]:
        photos = self.writable()
        last = {image_id: (vector, facts) for image_id, vector, facts in batch}
        vectors = normalize(np.stack([vector for vector, _ in last.values()]))
        with self._loading:
            known = [row is not None for row in photos.store.get(list(last), [])]
            photos.added_models.delete(list(last))  # those of images that are replaced
            photos.store.add(list(last), vectors, [facts for _, facts in last.values()])
            self._apply_to_index()
        new = dict(zip(last, (not was for was in known), strict=True))
        return [new[image_id] for image_id, _, _ in batch]

    def _remove(self, photos: Collection, ids: Sequence[str]) -> int:
        with self._loading:
            gone = photos.remove(ids)
            self._apply_to_index()
        return gone

    def _apply_to_index(self) -> None:
        """Load the file just written, so that the next search sees it."""
        if self.index is not None and self.photos is not None:
            with suppress(LookalikeError):
                self._refresh_index(self.photos.store)
                self._refresh_models(self.photos.store.version)


def unknown(image_id: str) -> UnknownId:
    return UnknownId(f"no image has the id {image_id[:200]!r}; ids are in the results of a search")
