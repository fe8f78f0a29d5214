"""Local features of the served collection: their index, refreshed in the background, and those of new images."""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.errors import BadQuery
from lookalike.relate.local_search import (
    LocalIndex,
    add_local_features,
    keeps_local_features,
    local_features_version,
)
from lookalike.search import Collection
from lookalike.server.service.batcher import Batcher
from lookalike.server.service.collection_service import REFRESH_REST, CollectionService

log = logging.getLogger("lookalike.server")
ADD_BATCH = 64  # images of one commit; their features take about half a second


@dataclass(frozen=True, slots=True)
class _LoadedIndex:
    """The local index of one collection, and the version of the features it was read from."""

    photos: Collection
    version: int
    index: LocalIndex


class LocalFeatures:
    """The local index of the collection. Only the first request waits for it; later changes are read meanwhile.

    After a reading, the next waits ten times as long as it took, so that a stream of uploads does not occupy a core.
    """

    def __init__(self, service: CollectionService) -> None:
        self._service = service
        self._loaded: _LoadedIndex | None = None
        self._reading, self._starting = threading.Lock(), threading.Lock()
        self._refresher: threading.Thread | None = None
        self._next_read = 0.0  # by the monotonic clock
        self._adding: Batcher[str, None] = Batcher(self._add, max_items=ADD_BATCH, threads=1, name="local-features")

    def index(self, photos: Collection) -> LocalIndex:
        """Return the index, or an older one while a newer one is being read. Raises BadQuery if there are no features.

        Call it in a thread: the first call reads the whole index.
        """
        if not keeps_local_features(photos):
            raise BadQuery(
                "it keeps no local features, which `parts` needs",
                subject=photos.uri,
                location=photos.uri,
                hint="find them with: lookalike index --parts",
            )
        loaded = self._loaded
        if loaded is None or loaded.photos is not photos:
            return self._read(photos).index
        if loaded.version != local_features_version(photos):
            self._refresh(photos)
        return loaded.index

    async def add(self, ids: Sequence[str]) -> None:
        """Find the local features of new images if the collection keeps any, together with those of other requests.

        A failure is logged only: the images are stored, and the next `lookalike index` finds what is missing.
        """
        photos, _ = self._service.current
        if not await self._service.in_thread(lambda: keeps_local_features(photos)):
            return
        for error in await asyncio.gather(*map(self._adding, ids), return_exceptions=True):
            if isinstance(error, Exception):
                log.warning("local features not stored: %s", self._service.public_message(error))
                break

    def close(self) -> None:
        self._adding.close()
        if self._refresher is not None:
            self._refresher.join(timeout=10)

    def _add(self, ids: Sequence[str]) -> Sequence[None]:
        photos = self._service.writable()
        add_local_features(photos, ids)
        if self._loaded is not None:
            self._refresh(photos)
        return [None] * len(ids)

    def _read(self, photos: Collection) -> _LoadedIndex:
        """Read the index unless it is up to date."""
        with self._reading:
            loaded, version, started_at = self._loaded, local_features_version(photos), time.monotonic()
            if loaded is None or loaded.photos is not photos or loaded.version != version:
                loaded = self._loaded = _LoadedIndex(photos, version, LocalIndex.read(photos))
                self._next_read = time.monotonic() + REFRESH_REST * (time.monotonic() - started_at)
            return loaded

    def _refresh(self, photos: Collection) -> None:
        """Read the index in the background, unless a thread already does or did a moment ago."""
        with self._starting:
            if time.monotonic() < self._next_read:
                return
            if self._refresher is None or not self._refresher.is_alive():
                self._refresher = threading.Thread(target=self._try_to_read, args=(photos,), daemon=True)
                self._refresher.start()

    def _try_to_read(self, photos: Collection) -> None:
        try:
            self._read(photos)
        except Exception as error:  # the older index remains
            log.warning("local features not loaded: %s", self._service.public_message(error))
