"""A collection of indexed images. It has few methods; other functions take it as their first argument."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lookalike import schema
from lookalike.embed import DEFAULT_MODEL, get_embedder, same_model
from lookalike.errors import BadQuery, ModelMismatch, NoCollection, UnknownId
from lookalike.image import Limits, to_path
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region
from lookalike.indexing.plan import BUILTIN_COLUMNS, FAILURES, absolute_text
from lookalike.indexing.roots import Root, forget_root, load_card, load_roots, save_card
from lookalike.search.default_location import default_uri
from lookalike.search.query import Query, as_query, combine, load_query_image, parse_id
from lookalike.search.results import Results
from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.types import RGB, AddReport, Card, Embedder, Failure, Hit, Metadata, Row, Store, Vectors

if TYPE_CHECKING:
    from lookalike.indexing.sync import SyncOptions

DEFAULT_K = 12


class Collection:
    """An embedder, a store and the collection's settings.

    Open one with `Collection.open`; close it, or use it as a context manager.
    """

    def __init__(
        self, store: Store, uri: str, *, embedder: Embedder | None = None, limits: Limits | None = None
    ) -> None:
        self._store, self.uri, self._embedder = store, uri, embedder
        self.limits = limits or Limits()
        self.card, self.model = load_card(store.settings, uri)

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        model: str | Path | Embedder | None = None,
        create: bool = False,
        read_only: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Open the collection at `uri` (a folder, an object store, or "memory:"), or create it if `create` is true.

        "memory:" is always a new collection. `model`: a name, a folder, or an Embedder; for an existing collection it
        must be the one that created it.
        Raises NoCollection, ModelMismatch, FormatMismatch, StoreFailed.
        """
        location = str(uri) if "://" in str(uri) or str(uri) == "memory:" else str(Path(uri).expanduser())
        if location == "memory:":
            return cls._create(location, DEFAULT_MODEL if model is None else model, limits)
        try:
            store = open_store(location, read_only=read_only)
        except NoCollection:
            if not create:
                raise
            return cls._create(location, DEFAULT_MODEL if model is None else model, limits)
        if schema.CARD.name not in store.settings:
            return cls._adopt_unfinished(store, location, model, limits, create=create)
        collection = cls(store, location, limits=limits)
        if model is not None:
            collection._set_embedder(_embedder_of(model))
        return collection

    @classmethod
    def _adopt_unfinished(
        cls, store: Store, uri: str, model: str | Path | Embedder | None, limits: Limits | None, *, create: bool
    ) -> Self:
        """Complete a collection whose first process was killed between its first commit and that of the card."""
        if not create:
            raise NoCollection(
                "it was never completed",
                subject=uri,
                location=uri,
                hint="complete it with Collection.open(..., create=True)",
                command=f"index FOLDER -c {uri}",
            )
        model = DEFAULT_MODEL if model is None else model
        embedder = _embedder_of(model)
        if store.dim != embedder.card.dim:
            raise ModelMismatch(
                f"it is for vectors of {store.dim} numbers, and {embedder.card.name} makes {embedder.card.dim}",
                subject=uri,
                location=uri,
                hint="delete that empty folder, or name the model it was created with",
            )
        save_card(store, embedder.card, _model_reference(model, embedder.card))
        return cls(store, uri, embedder=embedder, limits=limits)

    @classmethod
    def _create(cls, uri: str, model: str | Path | Embedder, limits: Limits | None) -> Self:
        embedder = _embedder_of(model)
        store = open_store(uri, dim=embedder.card.dim, columns=BUILTIN_COLUMNS, create=True)
        save_card(store, embedder.card, _model_reference(model, embedder.card))
        return cls(store, uri, embedder=embedder, limits=limits)

    # -- indexing

    def sync(
        self,
        sources: Iterable[str | Path] | str | Path | None = None,
        *,
        frames: int | None = None,
        options: SyncOptions | None = None,
    ) -> AddReport:
        """Bring the collection up to date with folders, files, globs, manifests or archives.

        `sources` None: all earlier ones. New and changed files are embedded, moved ones recognized, deleted ones
        removed; nothing is removed under a root that is missing as a whole. `frames`: how many of each animation; None:
        as in the last call, at first 1.
        """
        from lookalike.indexing.pipeline import default_workers
        from lookalike.indexing.sync import SyncOptions, sync
        from lookalike.indexing.worker import FileWorker

        listed = [sources] if isinstance(sources, str | Path) else sources
        worker = FileWorker(self.embedder, self.limits, self._frames(frames))
        folder = self.uri if os.path.isdir(self.uri) else None
        return sync(self._store, worker, listed, options or SyncOptions(workers=default_workers()), folder=folder)

    def add(
        self,
        images: Sequence[ImageLike],
        ids: Sequence[str] | None = None,
        metadata: Sequence[Metadata] | None = None,
    ) -> AddReport:
        """Add images (paths, bytes, arrays, PIL images) under ids of your own; an existing id is replaced.

        Without `ids`, the id is the path, or the hash of the bytes for other images. Images that cannot be used are
        skipped and listed in the report.
        """
        from lookalike.indexing.add import add_images

        return add_images(self._store, self.embedder, images, ids, metadata, self.limits)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove images; their files stay. Unknown ids are ignored. Returns the number removed."""
        return self._store.delete(list(ids))

    def ids_under(self, path: str) -> list[str]:
        """Return the ids of the images in a file, folder, archive or manifest. `path`: absolute, in text form."""
        quoted = path.rstrip("/").replace("'", "''")
        # The texts that start with "x/" sort from "x/" to before "x0", since 0 is the character after /.
        inside = " or ".join(f"(path >= '{quoted}{mark}/' and path < '{quoted}{mark}0')" for mark in ("", "!"))
        condition = f"path = '{quoted}' or root = '{quoted}' or {inside}"
        return [str(i) for part in self._store.scan(["id"], where=condition) for i in part["id"]]

    def ids_beneath(self, path: str) -> list[str]:
        """Deprecated name of `ids_under`."""
        warnings.warn("Collection.ids_beneath is now Collection.ids_under", DeprecationWarning, stacklevel=2)
        return self.ids_under(path)

    def forget_roots(self, sources: Iterable[str | Path]) -> list[str]:
        """Stop following these folders, manifests or archives. Returns those that were followed."""
        known = load_roots(self._store.settings)
        followed = [path for path in map(absolute_text, sources) if path in known]
        for path in followed:
            forget_root(self._store, path)
        return followed

    # -- search

    def search(
        self,
        query: Query | ImageLike | Sequence[ImageLike],
        k: int = DEFAULT_K,
        *,
        minus: Sequence[ImageLike] = (),
        region: Region | None = None,
        where: str | None = None,
        min_score: float | None = None,
    ) -> Results:
        """Return the k images most similar to one image, or to several combined (the sum of their unit vectors).

        `minus`: images whose vectors are subtracted. `region`: the part of the first image that counts. `where`: a SQL
        condition over metadata, such as "width > 1000 and label = 'cat'". An image queried as "id:ID" is left out of
        its own results.
        """
        full = as_query(query)
        if minus or region:
            full = Query(full.images, tuple(full.minus) + tuple(minus), (region,) if region else full.regions)
        return self.search_many([full], k, where=where, min_score=min_score)[0]

    def search_many(
        self,
        queries: Sequence[Query | ImageLike],
        k: int = DEFAULT_K,
        *,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[Results]:
        """`search` for a batch of queries; each has its own results."""
        parsed = [as_query(query) for query in queries]
        embedded = [self._embed_query(query) for query in parsed]
        vectors = (
            np.concatenate([vector for vector, _ in embedded]) if embedded else np.zeros((0, self.card.dim), np.float32)
        )
        excluded = [{i for i in map(parse_id, query.images) if i is not None} for query in parsed]
        nearest = self._nearest(vectors, k, excluded, where, min_score)
        return [
            Results(tuple(map(image_name, query.images)), hits, pictures, self.thumbnails)
            for query, (_, pictures), hits in zip(parsed, embedded, nearest, strict=True)
        ]

    def search_by_id(self, image_id: str, k: int = DEFAULT_K, *, where: str | None = None) -> Results:
        """Return the k images most similar to one of the collection, which is left out. Raises UnknownId."""
        return self.search(f"id:{image_id}", k, where=where)

    def search_by_vector(
        self, vectors: Vectors, k: int = DEFAULT_K, *, where: str | None = None, min_score: float | None = None
    ) -> list[Results]:
        """Return the k images nearest to each of (n, dim) vectors, which need not have length 1."""
        queries = normalize(vectors)
        if queries.shape[1] != self.card.dim:
            raise BadQuery(f"the vectors have {queries.shape[1]} numbers; {self.card.name} makes {self.card.dim}")
        nearest = self._nearest(queries, k, [set()] * len(queries), where, min_score)
        return [Results((f"vector {n}",), hits, (), self.thumbnails) for n, hits in enumerate(nearest)]

    # -- stored images

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> list[Row | None]:
        """Return stored images in the order of `ids`, None for unknown ones; thumbnails only if `columns` has them."""
        return self._store.get(ids, columns)

    def thumbnails(self, ids: Sequence[str]) -> list[bytes | None]:
        """Return JPEG thumbnails of at most 256 pixels a side, None where there is none."""
        rows = self._store.get(ids, ["thumbnail"])
        values = (row.metadata.get("thumbnail") if row else None for row in rows)
        return [jpeg if isinstance(jpeg, bytes) else None for jpeg in values]

    def failures(self) -> list[Failure]:
        """Return the files that could not be used, each with the reason."""
        return [Failure(str(row["path"]), str(row["reason"])) for row in self._store.table(FAILURES).all()]

    def roots(self) -> list[Root]:
        """Return the folders, archives and manifests that the collection follows."""
        return list(load_roots(self._store.settings).values())

    @property
    def store(self) -> Store:
        """The store with the rows, for functions that take a collection."""
        return self._store

    @property
    def embedder(self) -> Embedder:
        """The model that created the collection, loaded on first use."""
        if self._embedder is None:
            self._set_embedder(get_embedder(self.model))
        assert self._embedder is not None
        return self._embedder

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, image_id: str) -> bool:
        return self._store.get([image_id], [])[0] is not None

    def __repr__(self) -> str:
        return f"<Collection {self.uri}: {len(self)} images by {self.card.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    # -- private

    def _set_embedder(self, embedder: Embedder) -> None:
        if not same_model(embedder.card, self.card):
            sources = " ".join(root.path for root in self.roots()) or "FOLDER"
            raise ModelMismatch(
                f"it was created by {self.card.name} ({self.card.sha256[:8]}), not by {embedder.card.name} "
                f"({embedder.card.sha256[:8]}), and their scores cannot be compared",
                subject=self.uri,
                location=self.uri,
                hint="create a new collection with that model",
                command=f"index {sources} -c {self.uri}-2 --model {embedder.card.name}",
            )
        self._embedder = embedder

    def _frames(self, frames: int | None) -> int:
        stored = int(self._store.settings.get(schema.FRAMES.name, "1"))
        if frames is None or frames == stored:
            return stored
        self._store.set_settings({schema.FRAMES.name: str(frames)})
        return frames

    def _embed_query(self, query: Query) -> tuple[Vectors, tuple[RGB, ...]]:
        """Return a query's vector (1, dim) and its images."""
        regions: list[Region | None] = [*query.regions, *[None] * (len(query.images) - len(query.regions))]
        plus, pictures = self._vectors(query.images, regions)
        minus, _ = self._vectors(query.minus, [None] * len(query.minus))
        return combine(plus, minus), pictures

    def _vectors(
        self, images: Sequence[ImageLike], regions: Sequence[Region | None]
    ) -> tuple[Vectors, tuple[RGB, ...]]:
        if not images:
            return np.zeros((0, self.card.dim), np.float32), ()
        rows = {i: self._row(i) for i in map(parse_id, images) if i is not None}
        side = max(self.card.preprocessing.size)
        pictures = [self._query_image(image, rows, side, region) for image, region in zip(images, regions, strict=True)]
        # A whole image of the collection has a stored vector.
        stored = [
            None if region else rows.get(parse_id(image) or "") for image, region in zip(images, regions, strict=True)
        ]
        fresh = [picture for picture, row in zip(pictures, stored, strict=True) if row is None]
        embedded = iter(self.embedder.embed(fresh) if fresh else ())
        return np.stack([next(embedded) if row is None else row.vector for row in stored]), tuple(pictures)

    def _row(self, image_id: str) -> Row:
        (row,) = self._store.get([image_id], ["path", "thumbnail"])
        if row is None:
            reason, hint = f"no image has the id {image_id!r}", "ids are in the results of a search"
            raise UnknownId(reason, subject=self.uri, location=self.uri, hint=hint)
        return row

    def _query_image(self, image: ImageLike, rows: Mapping[str, Row], side: int, region: Region | None) -> RGB:
        """Return the pixels of one query image.

        For an id these are its thumbnail's, or its file's where a region is set or there is no thumbnail.
        """
        image_id = parse_id(image)
        if image_id is None:
            return load_query_image(image, side=side, limits=self.limits, region=region)
        path, jpeg = (rows[image_id].metadata.get(c) for c in ("path", "thumbnail"))
        use_file = (
            isinstance(path, str)
            and (region is not None or jpeg is None)
            and os.path.isfile(to_path(path.split("!/")[0]))
        )
        source: Any = path if use_file else jpeg
        if source is None:
            raise UnknownId(
                f"the file of {image_id!r} is not available ({path!s}); connect its drive, or search with another file"
            )
        return load_query_image(source, side=side, limits=self.limits, region=region)

    def _nearest(
        self, vectors: Vectors, k: int, excluded: Sequence[set[str]], where: str | None, min_score: float | None
    ) -> list[tuple[Hit, ...]]:
        if k < 1:
            raise BadQuery(f"k is {k}; ask for at least one image")
        extra = max(map(len, excluded), default=0)
        nearest = self._store.search(vectors, k + extra, where=where)
        floor = -2.0 if min_score is None else min_score
        return [
            tuple([hit for hit in hits if hit.id not in ids and hit.score >= floor][:k])
            for hits, ids in zip(nearest, excluded, strict=True)
        ]


def open_collection(
    uri: str | Path | None = None,
    *,
    model: str | Path | Embedder | None = None,
    create: bool = True,
    read_only: bool = False,
    limits: Limits | None = None,
) -> Collection:
    """Open a collection, by default the default one, and create it if it does not exist. See `Collection.open`."""
    location = default_uri() if uri is None else uri
    return Collection.open(location, model=model, create=create and not read_only, read_only=read_only, limits=limits)


def _embedder_of(model: str | Path | Embedder) -> Embedder:
    return get_embedder(model) if isinstance(model, str | Path) else model


def _model_reference(model: str | Path | Embedder, card: Card) -> str:
    """The text by which the model is opened again: the full path of a folder, else the name."""
    if isinstance(model, str | Path):
        folder = Path(model).expanduser()
        return str(folder.resolve()) if folder.is_dir() else str(model)
    return card.name
