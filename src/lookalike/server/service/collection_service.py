"""The collection as the server holds it: opened, read into memory, kept fresh, opened again when it was replaced."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, LookalikeError, NoCollection, ReadOnly, UnknownId
from lookalike.search import Collection
from lookalike.server.http.redaction import check_condition, masked
from lookalike.server.process.settings import Settings
from lookalike.server.service.batcher import Batcher
from lookalike.similarity import normalize
from lookalike.store import memory_index
from lookalike.store.vector_index import Mask, SearchRequest, VectorIndex
from lookalike.types import RGB, Hit, Metadata, Row, Store, Vectors

T = TypeVar("T")
log = logging.getLogger("lookalike.server")
EMBED_BATCH = 4  # docs/benchmarks.md: larger ones leave the cache
SEARCH_BATCH = 64
WRITE_BATCH = 256
LOOK_SECONDS = 1.0
SHARE = 10  # reading everything anew takes at most a tenth of the time
MAX_K = 1000
HIDDEN_COLUMNS = frozenset({"path", "root", "sha256", "mtime_ns", "size", "indexed", "frame", "frames", "thumbnail"})

Added = tuple[str, NDArray[np.float32], Metadata]


class Desk:
    """Searches, embeds, adds and removes, each batched; `photos` is None while there is no collection to be had."""

    def __init__(self, settings: Settings, collection: Collection | None = None) -> None:
        self.settings = settings
        self.given = collection is not None
        self.photos: Collection | None = collection
        self.resident: VectorIndex | None = None
        self.trouble = "the collection is being read"
        self._loading, self._closing = threading.Lock(), threading.Event()
        self._looked = threading.Event()
        cores = os.cpu_count() or 1
        self.embedding: Batcher[RGB, NDArray[np.float32]] = Batcher(
            self._embed, most=EMBED_BATCH, threads=cores, name="embed"
        )
        # One core is left to HTTP itself, and fewer threads make larger batches, which are cheaper for each query.
        self.searching: Batcher[tuple[VectorIndex, SearchRequest], list[Hit]] = Batcher(
            self._search, most=SEARCH_BATCH, threads=max(1, cores - 1), name="search"
        )
        self.adding: Batcher[Added, bool] = Batcher(self._add, most=WRITE_BATCH, threads=1, name="write")
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    # -- life

    def start(self) -> None:
        self._keeper.start()

    async def looked(self, seconds: float) -> None:
        """Wait until the collection was read or found wanting, but not for ever: a huge one is read while it serves."""
        await asyncio.to_thread(self._looked.wait, seconds)

    def look_no_longer(self) -> None:
        """Let who waits for the first look go on."""
        self._looked.set()

    def close(self) -> None:
        self._closing.set()
        self._looked.set()
        for batcher in (self.searching, self.embedding, self.adding):
            batcher.close()
        self._keeper.join(timeout=10)
        if self.photos is not None and not self.given:
            self.photos.close()

    @property
    def ready(self) -> bool:
        return self.resident is not None and not self.trouble

    @property
    def at_hand(self) -> tuple[Collection, VectorIndex | None]:
        """The collection, and its copy in memory where it fits. Raises NoCollection while there is none."""
        if self.photos is None or self.trouble:
            raise NoCollection(self.trouble or "the collection is not at hand")
        return self.photos, self.resident

    def _keep(self) -> None:
        """Look every second whether anyone has committed; read anew, but not all the time."""
        pause = 0.0
        while not self._closing.wait(pause):
            begun = time.monotonic()
            try:
                self.refresh()
            except Exception as error:  # whatever happens to the collection, the server lives on
                self._lost(error)
            self._looked.set()
            pause = max(LOOK_SECONDS, SHARE * (time.monotonic() - begun))
            if self.trouble:
                pause = LOOK_SECONDS

    def _lost(self, error: Exception) -> None:
        if not self.trouble:
            log.warning("collection lost: %s", self.clean(str(error)))
        self.trouble = f"the collection is not at hand: {self.clean(str(error))}"
        if not self.given and self.photos is not None:
            self.photos.close()
            self.photos = None

    def refresh(self) -> None:
        """Open the collection if need be, and read what was committed since."""
        with self._loading:
            if self.photos is None:
                self.photos = Collection.open(self.settings.uri, read_only=self.settings.read_only)
                self.photos.embedder  # noqa: B018 - loaded now, not in the first request
                self.resident = None
            store = self.photos.store
            now = store.version
            known = self.resident
            if known is not None and known.version > now and not self.given:  # another collection lies where ours was
                raise NoCollection("it was replaced; it is being read anew")
            if known is None or known.version != now:
                self._read(store)
            self.trouble = ""

    def _read(self, store: Store) -> None:
        self._same_card()
        first = self.resident is None
        self._refresh_index(store)
        if first and self.resident is not None and (damaged := self.resident.damaged_ids()):
            some = ", ".join(damaged[:3])
            log.warning("%d vectors are damaged and left out: %s; index these images again", len(damaged), some)

    def _refresh_index(self, store: Store) -> None:
        """Read what was committed since; without an index, because it would be too large, searches go to the store."""
        limit, previous = self.settings.resident_bytes, self.resident
        self.resident = memory_index(store, max_bytes=limit, skip_columns=HIDDEN_COLUMNS, previous=previous)

    def _same_card(self) -> None:
        """Raise NoCollection where the collection at this place is no longer by the same model."""
        from lookalike.indexing.roots import load_card

        assert self.photos is not None
        card, _ = load_card(self.photos.store.settings, self.photos.uri)
        if card.sha256 != self.photos.card.sha256:
            raise NoCollection("it was replaced by one of another model; it is being opened anew")

    def clean(self, message: str) -> str:
        """A message without the place of the collection, which is nobody's business."""
        return message if self.settings.show_paths else masked(message, self.settings.uri)

    # -- what requests ask

    async def search(
        self,
        vector: Vectors,
        k: int,
        *,
        where: str | None = None,
        without: frozenset[str] = frozenset(),
        min_score: float | None = None,
    ) -> list[Hit]:
        """The k nearest to one vector (1, dim)."""
        photos, copy = self.at_hand
        if not 1 <= k <= MAX_K:
            raise BadQuery(f"k is {k}; ask for 1 to {MAX_K} images")
        passing = await asyncio.to_thread(self.passing, photos, copy, where) if where is not None else None
        if copy is None:
            found = await asyncio.to_thread(photos.store.search, vector, k + len(without), where=where)
            floor = -2.0 if min_score is None else min_score
            return [hit for hit in found[0] if hit.id not in without and hit.score >= floor][:k]
        return await self.searching((copy, SearchRequest(vector[0], k, passing, without, min_score)))

    def passing(self, photos: Collection, copy: VectorIndex | None, where: str) -> Mask | None:
        """Which rows of the index meet a condition; without an index it is only checked. Raises BadFilter."""
        if not self.settings.show_paths:
            check_condition(where, photos.store.columns())
        if copy is None:
            return None

        def mask() -> Mask:
            batches = photos.store.scan(["id"], where=where)
            return copy.mask_of_ids([image_id for batch in batches for image_id in batch["id"].tolist()])

        return copy.cached_mask(where, mask)

    async def embed(self, image: RGB) -> NDArray[np.float32]:
        """The vector (dim,) of one fitted picture."""
        return await self.embedding(image)

    async def vector_of(self, image_id: str) -> NDArray[np.float32]:
        """The vector of an image of the collection. Raises UnknownId."""
        _, copy = self.at_hand
        vector: NDArray[np.float32] | None
        if copy is not None:
            vector = copy.vector(image_id)
        else:
            row = await self.row(image_id, [])
            vector = row.vector
        if vector is None:
            raise unknown(image_id)
        return vector

    async def row(self, image_id: str, columns: Sequence[str] | None = None) -> Row:
        """One stored image. Raises UnknownId."""
        photos, copy = self.at_hand
        if copy is not None and image_id not in copy:
            raise unknown(image_id)
        (row,) = await self.in_thread(lambda: photos.get([image_id], columns))
        if row is None:
            raise unknown(image_id)
        return row

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def add(self, image_id: str, vector: NDArray[np.float32], metadata: Metadata) -> bool:
        """Put one image in, durably, together with those that wait. Returns whether the id is new."""
        self.writable()
        return await self.adding((image_id, vector, metadata))

    async def remove(self, ids: Sequence[str]) -> int:
        photos = self.writable()
        return await self.in_thread(lambda: self._remove(photos, ids))

    def writable(self) -> Collection:
        """The collection, if the server may write to it."""
        if self.settings.read_only:
            raise ReadOnly("this server was started with --read-only; start it without to write")
        return self.at_hand[0]

    # -- what the threads do

    def _embed(self, images: Sequence[RGB]) -> Sequence[NDArray[np.float32]]:
        photos, _ = self.at_hand
        vectors = photos.embedder.embed(images)
        if not np.isfinite(vectors).all():
            raise BadQuery("the model gave numbers that are not finite for this picture; try another")
        return list(vectors)

    def _search(self, requests: Sequence[tuple[VectorIndex, SearchRequest]]) -> Sequence[list[Hit]]:
        """Each in the index that it was made for: a condition's mask belongs to that version."""
        answers: dict[int, list[Hit]] = {}
        for index in {id(index): index for index, _ in requests}.values():
            own = [n for n, (wanted, _) in enumerate(requests) if wanted is index]
            answers.update(zip(own, index.search([requests[n][1] for n in own]), strict=True))
        return [answers[n] for n in range(len(requests))]

    def _add(self, batch: Sequence[Added]) -> Sequence[bool]:
        photos = self.writable()
        last = {image_id: (vector, facts) for image_id, vector, facts in batch}
        vectors = normalize(np.stack([vector for vector, _ in last.values()]))
        with self._loading:
            known = [row is not None for row in photos.store.get(list(last), [])]
            photos.store.add(list(last), vectors, [facts for _, facts in last.values()])
            self._noted()
        new = dict(zip(last, (not was for was in known), strict=True))
        return [new[image_id] for image_id, _, _ in batch]

    def _remove(self, photos: Collection, ids: Sequence[str]) -> int:
        with self._loading:
            gone = photos.remove(ids)
            self._noted()
        return gone

    def _noted(self) -> None:
        """Our own writes are seen by the next search: their file is read at once."""
        if self.resident is not None and self.photos is not None:
            with suppress(LookalikeError):
                self._refresh_index(self.photos.store)


def unknown(image_id: str) -> UnknownId:
    return UnknownId(f"no image has the id {image_id[:200]!r}; ids are what a search answers")
