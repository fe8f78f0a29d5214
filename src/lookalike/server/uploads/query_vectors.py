"""Query vectors: ids, saved queries, uploads and URLs, with regions, combined by addition and subtraction."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from lookalike.errors import BadQuery, UnreadableImage
from lookalike.search import parse_region
from lookalike.search.query import NO_PIXELS, TEXT_PREFIX, QueryTerm, combine, parse_words, query_term
from lookalike.server.http.middleware import MAX_IMAGES, RequestLimitExceeded
from lookalike.server.process.settings import Settings
from lookalike.server.service.collection_service import CollectionService
from lookalike.server.service.model_search import SearchTarget
from lookalike.server.uploads.decoder_pool import DecoderPool
from lookalike.server.uploads.saved_queries import PREFIX, SavedQueries, SavedQuery
from lookalike.server.uploads.url_fetch import Fetcher, IsDisconnected
from lookalike.server.uploads.validation import check_size
from lookalike.types import Vectors

Region = tuple[float, float, float, float]
MAX_COMBINED = 64
MAX_FIELDS = 200
MAX_FIELD_BYTES = 64 * 1024
MAX_TEXT = 2000  # characters
# Part of Starlette's message about a form, and ours.
_FORM_REASONS = (
    ("Too many files", f"it has more than {MAX_IMAGES} images"),
    ("Too many fields", f"it has more than {MAX_FIELDS} text fields"),
    ("exceeded maximum size", f"a text field exceeds {MAX_FIELD_BYTES // 1024} KiB"),
    ("boundary", "its header `Content-Type` names no boundary"),
    ("name", "a part has no name"),
)
_RAW = re.compile(r"image/[\w.+-]+|application/octet-stream")


@dataclass(frozen=True, slots=True)
class SearchInput:
    """The input of a search: names (`id:ID`, `query:TOKEN`, `text:WORDS`), uploads, URLs, and regions in order."""

    like: Sequence[str] = ()
    minus: Sequence[str] = ()
    uploads: Sequence[bytes] = ()
    minus_uploads: Sequence[bytes] = ()
    regions: Sequence[Region] = ()
    urls: Sequence[str] = ()
    is_disconnected: IsDisconnected | None = None  # cancels the fetching of URLs

    @property
    def has_words(self) -> bool:
        """Whether a text is among what is added or subtracted."""
        return any(name.startswith(TEXT_PREFIX) for name in (*self.like, *self.minus))


class QueryResolver:
    """Computes the query vector of a search and saves its uploads."""

    def __init__(
        self, service: CollectionService, decoders: DecoderPool, saved_queries: SavedQueries, settings: Settings
    ) -> None:
        self._service, self._decoders, self._settings = service, decoders, settings
        self._saved_queries = saved_queries
        self._fetcher = Fetcher(settings.max_bytes)

    async def resolve(
        self, query: SearchInput, target: SearchTarget | None = None
    ) -> tuple[Vectors, list[str], frozenset[str]]:
        """Return the query vector (1, dim), the names of its images, and the ids to exclude from the results.

        `target`: what is searched, by default the vectors of the collection's own model.
        """
        target = target or self._service
        query = await self.fetch_urls(query)
        if not query.like and not query.uploads:
            raise BadQuery(
                "a search needs an image: upload one as `image`, or name one of the collection with `like`; or `text`"
            )
        if len(query.like) + len(query.minus) > MAX_COMBINED:
            raise BadQuery(f"at most {MAX_COMBINED} images can be combined")
        if len(query.regions) > len(query.like) + len(query.uploads):
            raise BadQuery("there are more regions than images; send at most one region per image")
        regions: list[Region | None] = [*query.regions, *[None] * (len(query.like) + len(query.uploads))]
        uploaded = [self._resolve_upload(data, regions[n], target) for n, data in enumerate(query.uploads)]
        named = [self._resolve_name(name, regions[n + len(uploaded)], target) for n, name in enumerate(query.like)]
        minus = [self._resolve_upload(data, None, target) for data in query.minus_uploads]
        minus += [self._resolve_name(name, None, target) for name in query.minus]
        resolved = await asyncio.gather(*uploaded, *named, *minus)
        plus = len(uploaded) + len(named)
        terms = [query_term(one.token, one.vector, 1.0 if n < plus else -1.0) for n, one in enumerate(resolved)]
        vector = await self._combined(terms, target) if query.has_words else combine(terms)
        names = [q.token for q in resolved[:plus]]
        return vector, names, frozenset(i for i in map(id_of, query.like) if i is not None)

    async def _combined(self, terms: Sequence[QueryTerm], target: SearchTarget) -> Vectors:
        photos, _ = target.current
        return await asyncio.to_thread(photos.text_search.combined, terms)

    async def save(self, data: bytes) -> SavedQuery:
        """Decode an upload, embed it by the collection's own model, and save it."""
        photos, _ = self._service.current
        check_size(data, self._settings.max_bytes)
        if not data:
            raise UnreadableImage("the image is empty (0 bytes)")
        upload = await self._decoders.upload(data, photos.card.preprocessing)
        vector = await self._service.embed(upload.fitted)
        return await asyncio.to_thread(self._saved_queries.save, data, vector, upload.facts)

    async def data(self, name: str) -> bytes:
        """Return the file of an image or a saved query. Raises UnknownId."""
        if name.startswith(PREFIX):
            return await asyncio.to_thread(self._saved_queries.data, name)
        if name.startswith(TEXT_PREFIX):
            raise BadQuery(NO_PIXELS)
        from lookalike.server.service.originals import read_original

        return await read_original(self._service, str(id_of(name)))

    async def _resolve_upload(self, data: bytes, region: Region | None, target: SearchTarget) -> SavedQuery:
        """Save an upload; the vector of a region, or by another model, is returned but not saved."""
        saved = await self.save(data)
        if region is None and target is self._service:
            return saved
        return SavedQuery(saved.token, await self._embed(data, region, target), saved.facts)

    async def _embed(self, data: bytes, region: Region | None, target: SearchTarget) -> NDArray[np.float32]:
        photos, _ = target.current
        upload = await self._decoders.upload(data, photos.card.preprocessing, region)
        return await target.embed(upload.fitted)

    async def _resolve_name(self, name: str, region: Region | None, target: SearchTarget) -> SavedQuery:
        """Return an image of the collection, a saved query, or words, as a query."""
        if name.startswith(TEXT_PREFIX):
            return SavedQuery(name, await self._embed_words(name, region, target), {})
        if region is not None or (name.startswith(PREFIX) and target is not self._service):
            return SavedQuery(name, await self._embed(await self.data(name), region, target), {})
        if name.startswith(PREFIX):
            return await asyncio.to_thread(self._saved_queries.get, name)
        image_id = str(id_of(name))
        return SavedQuery(f"id:{image_id}", await target.vector_of(image_id), {})

    async def _embed_words(self, name: str, region: Region | None, target: SearchTarget) -> NDArray[np.float32]:
        if region is not None:
            raise BadQuery("words have no regions; send images with regions first")
        if len(name) > MAX_TEXT:
            raise BadQuery(f"a text has {len(name):,} characters; send at most {MAX_TEXT:,}")
        words = parse_words(name)
        assert words is not None
        return await target.embed_text(words.text)

    async def fetch_urls(self, query: SearchInput) -> SearchInput:
        """Return the query with its URLs replaced by uploads. Raises BadQuery if the server does not fetch URLs."""
        if not query.urls:
            return query
        if not self._settings.fetch_urls:
            raise BadQuery("this server does not fetch URLs; upload the image, or start it with --fetch-urls")
        fetched = [await self._fetcher.fetch(url, query.is_disconnected) for url in query.urls[:MAX_IMAGES]]
        return SearchInput(query.like, query.minus, [*query.uploads, *fetched], query.minus_uploads, query.regions)


def id_of(name: str) -> str | None:
    """Return the id in `id:ID` or in a plain name, or None for a saved query and for words."""
    return None if name.startswith((PREFIX, TEXT_PREFIX)) else name.removeprefix("id:")


def parse_regions(values: Sequence[str]) -> list[Region]:
    """Return regions from texts of the form x,y,width,height. Raises BadQuery."""
    return [parse_region(text) for text in values]


async def read_images(request: Request, *names: str) -> tuple[dict[str, list[bytes]], FormData, dict[str, list[str]]]:
    """Return the images of a request by field name, its form, and the file names of the images.

    A body that is an image itself counts as the first field. Raises BadQuery.
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if _RAW.fullmatch(content_type):
        return {names[0]: [await request.body()]}, FormData(), {names[0]: [""]}
    if content_type not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise BadQuery("send the image as multipart/form-data, field `image`, or as a body of type image/…")
    form = await _read_form(request)
    files: dict[str, list[bytes]] = {}
    file_names: dict[str, list[str]] = {}
    for name in names:
        for item in form.getlist(name):
            if not isinstance(item, UploadFile):
                raise BadQuery(f"the field `{name}` must be a file")
            files.setdefault(name, []).append(await item.read())
            file_names.setdefault(name, []).append(item.filename or "")
    await form.close()
    return files, form, file_names


async def _read_form(request: Request) -> FormData:
    from starlette.exceptions import HTTPException

    try:
        return await request.form(max_files=MAX_IMAGES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except RequestLimitExceeded:
        raise
    except (HTTPException, ValueError, KeyError) as error:
        detail = str(getattr(error, "detail", ""))
        reason = next((ours for theirs, ours in _FORM_REASONS if theirs in detail), "it is damaged")
        raise BadQuery(f"the form cannot be read: {reason}") from None


def texts(form: FormData, name: str) -> list[str]:
    """Return the values of a text field. Raises BadQuery for a file."""
    values: list[Any] = form.getlist(name)
    if any(isinstance(value, UploadFile) for value in values):
        raise BadQuery(f"the field `{name}` must be text, not a file")
    return [str(value) for value in values]
