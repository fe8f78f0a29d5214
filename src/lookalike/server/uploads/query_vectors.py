"""From a request to a vector: ids, kept queries, uploads and URLs, added and subtracted, each with its region."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from lookalike.errors import BadQuery, ImageTooLarge, UnreadableImage
from lookalike.search import parse_region
from lookalike.search.query import combine
from lookalike.server.http.middleware import MOST_PICTURES, TooMuch
from lookalike.server.process.settings import Settings
from lookalike.server.service.collection_service import Desk
from lookalike.server.uploads.decoder_pool import Decoders
from lookalike.server.uploads.saved_queries import PREFIX, Kept, Queries
from lookalike.server.uploads.url_fetch import Fetcher, Gone
from lookalike.types import Vectors

Region = tuple[float, float, float, float]
MOST_IDS = 64
_RAW = re.compile(r"image/[\w.+-]+|application/octet-stream")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search asks for: names (`id:ID` or `query:TOKEN`), fresh pictures, and how to combine them."""

    like: Sequence[str] = ()
    minus: Sequence[str] = ()
    pictures: Sequence[bytes] = ()
    minus_pictures: Sequence[bytes] = ()
    regions: Sequence[Region] = ()
    urls: Sequence[str] = field(default=())
    gone: Gone | None = None  # whether who asked has left


class Asking:
    """Makes vectors of what was asked."""

    def __init__(self, desk: Desk, decoders: Decoders, queries: Queries, settings: Settings) -> None:
        self._desk, self._decoders, self.queries, self._settings = desk, decoders, queries, settings
        self._fetcher = Fetcher(settings.max_bytes)

    async def vector(self, asked: Asked) -> tuple[Vectors, list[str], frozenset[str]]:
        """The query's vector (1, dim), the names of what was asked, and the ids that are left out of the answer."""
        asked = await self._with_urls(asked)
        if not asked.like and not asked.pictures:
            raise BadQuery("a search needs a picture: upload one as `image`, or name one of the collection with `like`")
        if len(asked.like) + len(asked.minus) > MOST_IDS:
            raise BadQuery(f"at most {MOST_IDS} images can be combined")
        if len(asked.regions) > len(asked.like) + len(asked.pictures):
            raise BadQuery("there are more regions than pictures; give at most one region a picture")
        regions: list[Region | None] = [*asked.regions, *[None] * (len(asked.like) + len(asked.pictures))]
        fresh = [self.keep(data, regions[n]) for n, data in enumerate(asked.pictures)]
        named = [self._named(name, regions[n + len(fresh)]) for n, name in enumerate(asked.like)]
        minus = [*map(self.keep, asked.minus_pictures), *(self._named(name, None) for name in asked.minus)]
        vectors = await asyncio.gather(*fresh, *named, *minus)
        plus = len(fresh) + len(named)
        dim = len(vectors[0].vector)
        empty = np.zeros((0, dim), np.float32)
        less = np.stack([v.vector for v in vectors[plus:]]) if minus else empty
        total = combine(np.stack([v.vector for v in vectors[:plus]]), less)
        names = [v.token for v in vectors[:plus]]
        return total, names, frozenset(i for i in map(id_of, asked.like) if i is not None)

    async def keep(self, data: bytes, region: Region | None = None) -> Kept:
        """A fresh picture: decoded, embedded, kept. A region's vector is not the whole one's and is not kept."""
        photos, _ = self._desk.at_hand
        if len(data) > self._settings.max_bytes:
            raise ImageTooLarge(f"the picture has more than {self._settings.max_bytes:,} bytes; send a smaller one")
        if not data:
            raise UnreadableImage("the picture is empty (0 bytes)")
        upload = await self._decoders.upload(data, photos.card.preprocessing)
        vector = await self._desk.embed(upload.fitted)
        kept = await asyncio.to_thread(self.queries.keep, data, vector, upload.facts)
        return kept if region is None else Kept(kept.token, await self._part(data, region), kept.facts)

    async def data(self, name: str) -> bytes:
        """The file's bytes of an image or a kept query, for a region of it. Raises UnknownId."""
        if name.startswith(PREFIX):
            return await asyncio.to_thread(self.queries.data, name)
        from lookalike.server.service.originals import original

        return await original(self._desk, str(id_of(name)))

    async def _part(self, data: bytes, region: Region) -> NDArray[np.float32]:
        photos, _ = self._desk.at_hand
        upload = await self._decoders.upload(data, photos.card.preprocessing, region)
        return await self._desk.embed(upload.fitted)

    async def _named(self, name: str, region: Region | None) -> Kept:
        """An image of the collection or a kept query."""
        if region is not None:
            return Kept(name, await self._part(await self.data(name), region), {})
        if name.startswith(PREFIX):
            return await asyncio.to_thread(self.queries.get, name)
        image_id = str(id_of(name))
        return Kept(f"id:{image_id}", await self._desk.vector_of(image_id), {})

    async def _with_urls(self, asked: Asked) -> Asked:
        if not asked.urls:
            return asked
        if not self._settings.fetch_urls:
            raise BadQuery("this server does not fetch URLs; upload the picture, or start it with --fetch-urls")
        got = [await self._fetcher.fetch(url, asked.gone) for url in asked.urls[:MOST_PICTURES]]
        return Asked(asked.like, asked.minus, [*asked.pictures, *got], asked.minus_pictures, asked.regions)


def id_of(name: str) -> str | None:
    """The image's id in `id:ID` or in a plain name; None for a kept query."""
    return None if name.startswith(PREFIX) else name.removeprefix("id:")


def regions_of(told: Sequence[str]) -> list[Region]:
    return [parse_region(text) for text in told]


async def pictures_of(request: Request, *names: str) -> tuple[dict[str, list[bytes]], FormData, dict[str, list[str]]]:
    """The pictures of a request by field name, its form, and the pictures' file names.

    A body that is a picture itself counts as one of the first name. Raises BadQuery.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if _RAW.fullmatch(kind):
        return {names[0]: [await request.body()]}, FormData(), {names[0]: [""]}
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise BadQuery("send the picture as multipart/form-data, field `image`, or as a body of type image/…")
    form = await _form(request)
    files: dict[str, list[bytes]] = {}
    called: dict[str, list[str]] = {}
    for name in names:
        for item in form.getlist(name):
            if not isinstance(item, UploadFile):
                raise BadQuery(f"the field `{name}` must be a file")
            files.setdefault(name, []).append(await item.read())
            called.setdefault(name, []).append(item.filename or "")
    await form.close()
    return files, form, called


async def _form(request: Request) -> FormData:
    from starlette.exceptions import HTTPException

    try:
        return await request.form(max_files=MOST_PICTURES, max_fields=200, max_part_size=64 * 1024)
    except TooMuch:
        raise
    except (HTTPException, ValueError, KeyError) as error:
        told = getattr(error, "detail", "") or "it is damaged"
        raise BadQuery(f"the form cannot be read: {str(told)[:200]}") from None


def texts(form: FormData, name: str) -> list[str]:
    """The values of a text field. Raises BadQuery for a file."""
    values: list[Any] = form.getlist(name)
    if any(isinstance(value, UploadFile) for value in values):
        raise BadQuery(f"the field `{name}` must be text, not a file")
    return [str(value) for value in values]
