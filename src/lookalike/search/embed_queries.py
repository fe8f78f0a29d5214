"""Vectors of queries, embedded in batches on all cores; whole images of the collection have stored vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import UnknownId
from lookalike.image import decode_side, single_threaded_opencv, to_path
from lookalike.image.convert import ImageLike
from lookalike.image.region import Region
from lookalike.image.sources.files import is_remote
from lookalike.search.query import Query, Words, combine, load_query_image, parse_id, parse_words, query_term
from lookalike.types import RGB, Row, Vectors

if TYPE_CHECKING:
    from lookalike.search.collection import Collection

MAX_IN_ONE_THREAD = 4  # images of queries


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """The vector of a query (1, dim), and its images if they are kept and all of them are available."""

    vector: Vectors
    images: tuple[RGB, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """One image or text of a query. `row`: the stored image that it names. `show`: its pixels are kept."""

    image: ImageLike
    region: Region | None
    row: Row | None
    show: bool
    words: Words | None = None

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """The stored vector if the image is a whole image of the collection."""
        return None if self.region or self.row is None else self.row.vector


@dataclass(slots=True)
class _Embedded:
    vector: NDArray[np.float32] | None
    image: RGB | None = None


def embed_queries(photos: Collection, queries: Sequence[Query], *, keep_images: bool) -> list[EmbeddedQuery]:
    """Return the vector of each query, and its images if `keep_images` is true. Raises ImageError, UnknownId."""
    parts = [part for query in queries for part in _parts(query, show=keep_images)]
    rows = _stored_rows(photos, parts)
    parts = [replace(part, row=rows.get(parse_id(part.image) or "")) for part in parts]
    embedded = iter(_embed_parts(photos, parts))
    return [_combined(photos, query, embedded) for query in queries]


def _parts(query: Query, *, show: bool) -> Iterator[_Part]:
    regions: list[Region | None] = [*query.regions, *[None] * (len(query.images) - len(query.regions))]
    for image, region in zip(query.images, regions, strict=True):
        words = parse_words(image)
        yield _Part(image, region, None, show=show and words is None, words=words)
    for image in query.minus:
        yield _Part(image, None, None, show=False, words=parse_words(image))


def _stored_rows(photos: Collection, parts: Sequence[_Part]) -> Mapping[str, Row]:
    """Return the stored images that the parts name, read at once. Raises UnknownId."""
    named = [(image_id, part) for part in parts if (image_id := parse_id(part.image)) is not None]
    ids = list(dict.fromkeys(image_id for image_id, _ in named))
    with_pixels = any(part.show or part.region for _, part in named)
    rows = photos.get(ids, ["path", "thumbnail"] if with_pixels else []) if ids else []
    for image_id, row in zip(ids, rows, strict=True):
        if row is None:
            reason, hint = f"no image has the id {image_id!r}", "ids are in the results of a search"
            if photos.added_as:
                reason = f"no image with a vector of {photos.added_as} has the id {image_id!r}"
                hint = "if it is in the collection, index its folder again"
            raise UnknownId(reason, subject=photos.uri, location=photos.uri, hint=hint)
    return {row.id: row for row in rows if row is not None}


def _embed_parts(photos: Collection, parts: Sequence[_Part]) -> list[_Embedded]:
    from lookalike.indexing.pipeline import default_workers, parallel

    embedded = [_Embedded(part.vector) for part in parts]
    _embed_words(photos, parts, embedded)
    jobs = [n for n, part in enumerate(parts) if part.words is None and (part.vector is None or part.show)]
    if any(parts[n].vector is None for n in jobs):
        _ = photos.embedder  # loaded here, before threads share it

    def work(batch: list[int]) -> None:
        images = {n: _load(photos, parts[n]) for n in batch}
        fresh = {n: image for n, image in images.items() if parts[n].vector is None and image is not None}
        vectors = photos.embedder.embed(list(fresh.values())) if fresh else ()
        for n, vector in zip(fresh, vectors, strict=True):
            embedded[n].vector = vector
        for n in batch:
            embedded[n].image = images[n] if parts[n].show else None

    if len(jobs) <= MAX_IN_ONE_THREAD:
        work(jobs)
    else:
        with single_threaded_opencv():
            for _ in parallel(jobs, work, workers=default_workers()):
                pass
    return embedded


def _embed_words(photos: Collection, parts: Sequence[_Part], embedded: Sequence[_Embedded]) -> None:
    """Set the vectors of the texts."""
    texts = list(dict.fromkeys(part.words.text for part in parts if part.words))
    if not texts:
        return
    vectors = dict(zip(texts, photos.text_search.vectors(texts), strict=True))
    for part, one in zip(parts, embedded, strict=True):
        if part.words:
            one.vector = vectors[part.words.text]


def _combined(photos: Collection, query: Query, embedded: Iterator[_Embedded]) -> EmbeddedQuery:
    images, terms = [], []
    for sign, listed in ((1.0, query.images), (-1.0, query.minus)):
        for name in listed:
            one = next(embedded)
            assert one.vector is not None
            terms.append(query_term(name, one.vector, sign))
            if sign > 0 and one.image is not None:
                images.append(one.image)
    vector = photos.text_search.combined(terms) if query.has_words else combine(terms)
    shown = sum(parse_words(name) is None for name in query.images)
    return EmbeddedQuery(vector, tuple(images) if len(images) == shown else ())


def _load(photos: Collection, part: _Part) -> RGB | None:
    """Return the pixels of an image; None if they are only for display and not available.

    For an id these are its thumbnail's, or its file's where a region is set or there is no thumbnail.
    """
    source: Any = part.image
    if part.row is not None and (source := _stored_source(part.row, part.region)) is None:
        if part.vector is not None:
            return None
        path = part.row.metadata.get("path")
        raise UnknownId(
            f"the file of {part.row.id!r} is not available ({path!s}); connect its drive, or search with another file"
        )
    side = decode_side(photos.card.preprocessing)
    return load_query_image(source, side=side, limits=photos.limits, region=part.region)


def _is_available(path: str) -> bool:
    return is_remote(path) or os.path.isfile(to_path(path.split("!/", maxsplit=1)[0]))


def _stored_source(row: Row, region: Region | None) -> str | bytes | None:
    path, jpeg = row.metadata.get("path"), row.metadata.get("thumbnail")
    needs_file = region is not None or jpeg is None
    if isinstance(path, str) and needs_file and _is_available(path):
        return path
    return jpeg if isinstance(jpeg, bytes) else None
