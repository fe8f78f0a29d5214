"""A collection of images: indexed once, searched ever after. Its verbs are few; the rest are functions that take it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lookalike.embed import DEFAULT_MODEL, get_embedder, same_model
from lookalike.errors import BadQuery, ModelMismatch, NoCollection, UnknownId
from lookalike.image import Limits, to_path
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region
from lookalike.indexing.plan import FACTS, FAILURES, absolute_text
from lookalike.indexing.roots import Root, forget_root, load_card, load_roots, save_card
from lookalike.search.default_location import default_uri
from lookalike.search.query import Query, as_query, asked_id, combine, load_picture
from lookalike.search.results import Results
from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.types import RGB, AddReport, Card, Embedder, Failure, Hit, Metadata, Row, Store, Vectors

if TYPE_CHECKING:
    from lookalike.indexing.sync import SyncOptions

DEFAULT_K = 12


class Collection:
    """Embedder, store and manifest. Open one with `Collection.open`; close it, or use it as a context manager."""

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
        """Open the collection at `uri` (a folder, an object store, or "memory:"), or make it when `create` is true
        ("memory:" is always new).

        `model`: a name, a folder, or an Embedder; where the collection exists it must be the one that made it.
        Raises NoCollection, ModelMismatch, FormatMismatch, StoreFailed.
        """
        place = str(uri) if "://" in str(uri) or str(uri) == "memory:" else str(Path(uri).expanduser())
        if place == "memory:":
            return cls._create(place, DEFAULT_MODEL if model is None else model, limits)
        try:
            store = open_store(place, read_only=read_only)
        except NoCollection:
            if not create:
                raise
            return cls._create(place, DEFAULT_MODEL if model is None else model, limits)
        if "card" not in store.settings:
            return cls._finish(store, place, model, limits, create=create)
        collection = cls(store, place, limits=limits)
        if model is not None:
            collection._use(_embedder_of(model))
        return collection

    @classmethod
    def _finish(
        cls, store: Store, uri: str, model: str | Path | Embedder | None, limits: Limits | None, *, create: bool
    ) -> Self:
        """Take over a collection whose maker was killed between its first commit and the one that names its model."""
        if not create:
            raise NoCollection(
                f"the collection at {uri} was begun and never filled; fill it with: lookalike index FOLDER -c {uri}"
            )
        chosen = DEFAULT_MODEL if model is None else model
        embedder = _embedder_of(chosen)
        if store.dim != embedder.card.dim:
            raise ModelMismatch(
                f"the collection at {uri} was begun for vectors of {store.dim} numbers, and {embedder.card.name} makes "
                f"{embedder.card.dim}; delete that empty folder, or name the model it was begun with"
            )
        save_card(store, embedder.card, _name_to_find_again(chosen, embedder.card))
        return cls(store, uri, embedder=embedder, limits=limits)

    @classmethod
    def _create(cls, uri: str, model: str | Path | Embedder, limits: Limits | None) -> Self:
        embedder = _embedder_of(model)
        store = open_store(uri, dim=embedder.card.dim, columns=FACTS, create=True)
        save_card(store, embedder.card, _name_to_find_again(model, embedder.card))
        return cls(store, uri, embedder=embedder, limits=limits)

    # -- taking in

    def sync(
        self,
        sources: Iterable[str | Path] | str | Path | None = None,
        *,
        frames: int | None = None,
        options: SyncOptions | None = None,
    ) -> AddReport:
        """Bring the collection up to date with folders, files, globs, manifests or archives (None: those of before).

        New files are embedded, changed ones again, moved ones recognised, deleted ones dropped; under a root that is
        missing as a whole nothing is dropped. `frames`: how many of each animation (remembered; 1 at first).
        """
        from lookalike.indexing.pipeline import default_workers
        from lookalike.indexing.sync import SyncOptions, sync
        from lookalike.indexing.worker import Intake

        wanted = [sources] if isinstance(sources, str | Path) else sources
        intake = Intake(self.embedder, self.limits, self._frames(frames))
        folder = self.uri if os.path.isdir(self.uri) else None
        return sync(self._store, intake, wanted, options or SyncOptions(workers=default_workers()), folder=folder)

    def add(
        self,
        images: Sequence[ImageLike],
        ids: Sequence[str] | None = None,
        metadata: Sequence[Metadata] | None = None,
    ) -> AddReport:
        """Add pictures (paths, bytes, arrays, PIL images) under ids of your own; an id that exists is replaced.

        Without `ids` a path is its own id, and anything else is called by the hash of its bytes. Pictures that cannot
        be used are skipped and listed in the report.
        """
        from lookalike.indexing.add import add_pictures

        return add_pictures(self._store, self.embedder, images, ids, metadata, self.limits)

    def remove(self, ids: Iterable[str]) -> int:
        """Take images out; their files stay. Unknown ids are ignored. Returns how many went."""
        return self._store.delete(list(ids))

    def ids_beneath(self, path: str) -> list[str]:
        """The ids of a file's images, or of all that lie in a folder, archive or manifest (text form, absolute)."""
        quoted = path.rstrip("/").replace("'", "''")
        # What begins with "x/" sorts from "x/" to before "x0", since 0 is the character after /.
        beneath = " or ".join(f"(path >= '{quoted}{mark}/' and path < '{quoted}{mark}0')" for mark in ("", "!"))
        condition = f"path = '{quoted}' or root = '{quoted}' or {beneath}"
        return [str(i) for part in self._store.scan(["id"], where=condition) for i in part["id"]]

    def forget_roots(self, sources: Iterable[str | Path]) -> list[str]:
        """No longer follow these folders, manifests or archives. Returns those that were followed."""
        known = load_roots(self._store.settings)
        gone = [path for path in map(absolute_text, sources) if path in known]
        for path in gone:
            forget_root(self._store, path)
        return gone

    # -- finding

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
        """The k images most like one picture, or like several combined (the sum of their unit vectors).

        `region`: the part of the first picture that counts. `where`: a SQL condition over metadata, such as
        "width > 1000 and label = 'cat'". An image asked by "id:ID" is left out of its own result.
        """
        asked = as_query(query)
        if minus or region:
            asked = Query(asked.images, tuple(asked.minus) + tuple(minus), (region,) if region else asked.regions)
        return self.search_many([asked], k, where=where, min_score=min_score)[0]

    def search_many(
        self,
        queries: Sequence[Query | ImageLike],
        k: int = DEFAULT_K,
        *,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[Results]:
        """`search` for a batch of queries, each with a result of its own."""
        asked = [as_query(query) for query in queries]
        answers = [self._answer(query) for query in asked]
        vectors = (
            np.concatenate([vector for vector, _ in answers]) if answers else np.zeros((0, self.card.dim), np.float32)
        )
        without = [{i for i in map(asked_id, query.images) if i is not None} for query in asked]
        found = self._nearest(vectors, k, without, where, min_score)
        return [
            Results(tuple(map(image_name, query.images)), hits, pictures, self.thumbnails)
            for query, (_, pictures), hits in zip(asked, answers, found, strict=True)
        ]

    def search_by_id(self, image_id: str, k: int = DEFAULT_K, *, where: str | None = None) -> Results:
        """The k images most like one of the collection, which is left out itself. Raises UnknownId."""
        return self.search(f"id:{image_id}", k, where=where)

    def search_by_vector(
        self, vectors: Vectors, k: int = DEFAULT_K, *, where: str | None = None, min_score: float | None = None
    ) -> list[Results]:
        """The k images nearest to each of (n, dim) vectors, which need not have length 1."""
        queries = normalize(vectors)
        if queries.shape[1] != self.card.dim:
            raise BadQuery(f"vectors of {queries.shape[1]} numbers were given; {self.card.name} makes {self.card.dim}")
        found = self._nearest(queries, k, [set()] * len(queries), where, min_score)
        return [Results((f"vector {n}",), hits, (), self.thumbnails) for n, hits in enumerate(found)]

    # -- looking

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> list[Row | None]:
        """Stored images in the order asked, None where there is none. Thumbnails come when asked for by name."""
        return self._store.get(ids, columns)

    def thumbnails(self, ids: Sequence[str]) -> list[bytes | None]:
        """JPEG thumbnails of at most 256 pixels a side, None where there is none."""
        rows = self._store.get(ids, ["thumbnail"])
        found = (row.metadata.get("thumbnail") if row else None for row in rows)
        return [jpeg if isinstance(jpeg, bytes) else None for jpeg in found]

    def failures(self) -> list[Failure]:
        """Files that could not be used, with the reason of each."""
        return [Failure(str(row["path"]), str(row["reason"])) for row in self._store.table(FAILURES).all()]

    def roots(self) -> list[Root]:
        """The places that the collection's pictures came from."""
        return list(load_roots(self._store.settings).values())

    @property
    def store(self) -> Store:
        """The rows themselves, for functions that take a collection."""
        return self._store

    @property
    def embedder(self) -> Embedder:
        """The model that made the collection, loaded when first wanted."""
        if self._embedder is None:
            self._use(get_embedder(self.model))
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
        """Let the store go."""
        self._store.close()

    # -- within

    def _use(self, embedder: Embedder) -> None:
        if not same_model(embedder.card, self.card):
            sources = " ".join(root.path for root in self.roots()) or "FOLDER"
            raise ModelMismatch(
                f"{self.uri} was made by {self.card.name} ({self.card.sha256[:8]}), not by {embedder.card.name} "
                f"({embedder.card.sha256[:8]}), and their scores cannot be compared; make a new one with: "
                f"lookalike index {sources} -c {self.uri}-2 --model {embedder.card.name}"
            )
        self._embedder = embedder

    def _frames(self, wanted: int | None) -> int:
        remembered = int(self._store.settings.get("frames", "1"))
        if wanted is None or wanted == remembered:
            return remembered
        self._store.set_settings({"frames": str(wanted)})
        return wanted

    def _answer(self, query: Query) -> tuple[Vectors, tuple[RGB, ...]]:
        """A query's vector (1, dim) and the pictures that were asked."""
        regions: list[Region | None] = [*query.regions, *[None] * (len(query.images) - len(query.regions))]
        plus, pictures = self._vectors(query.images, regions)
        minus, _ = self._vectors(query.minus, [None] * len(query.minus))
        return combine(plus, minus), pictures

    def _vectors(
        self, images: Sequence[ImageLike], regions: Sequence[Region | None]
    ) -> tuple[Vectors, tuple[RGB, ...]]:
        if not images:
            return np.zeros((0, self.card.dim), np.float32), ()
        rows = {i: self._row(i) for i in map(asked_id, images) if i is not None}
        side = max(self.card.preprocessing.size)
        pictures = [self._picture(image, rows, side, region) for image, region in zip(images, regions, strict=True)]
        # The whole of an image that is in the collection was embedded long ago.
        stored = [
            None if region else rows.get(asked_id(image) or "") for image, region in zip(images, regions, strict=True)
        ]
        fresh = [picture for picture, row in zip(pictures, stored, strict=True) if row is None]
        embedded = iter(self.embedder.embed(fresh) if fresh else ())
        return np.stack([next(embedded) if row is None else row.vector for row in stored]), tuple(pictures)

    def _row(self, image_id: str) -> Row:
        (row,) = self._store.get([image_id], ["path", "thumbnail"])
        if row is None:
            raise UnknownId(f"no image has the id {image_id!r} in {self.uri}; ids are what a search prints")
        return row

    def _picture(self, image: ImageLike, rows: Mapping[str, Row], side: int, region: Region | None) -> RGB:
        """The picture asked: of an id its file, or its thumbnail where the file is out of reach."""
        wanted = asked_id(image)
        if wanted is None:
            return load_picture(image, side=side, limits=self.limits, region=region)
        path, jpeg = (rows[wanted].metadata.get(c) for c in ("path", "thumbnail"))
        at_hand = (
            isinstance(path, str)
            and (region is not None or jpeg is None)
            and os.path.isfile(to_path(path.split("!/")[0]))
        )
        source: Any = path if at_hand else jpeg
        if source is None:
            raise UnknownId(
                f"the picture of {wanted!r} is not at hand ({path!s}); plug its drive in, or search with a file"
            )
        return load_picture(source, side=side, limits=self.limits, region=region)

    def _nearest(
        self, vectors: Vectors, k: int, without: Sequence[set[str]], where: str | None, min_score: float | None
    ) -> list[tuple[Hit, ...]]:
        if k < 1:
            raise BadQuery(f"k is {k}; ask for at least one image")
        spare = max(map(len, without), default=0)
        found = self._store.search(vectors, k + spare, where=where)
        floor = -2.0 if min_score is None else min_score
        return [
            tuple([hit for hit in hits if hit.id not in left_out and hit.score >= floor][:k])
            for hits, left_out in zip(found, without, strict=True)
        ]


def open_collection(
    uri: str | Path | None = None,
    *,
    model: str | Path | Embedder | None = None,
    create: bool = True,
    read_only: bool = False,
    limits: Limits | None = None,
) -> Collection:
    """`Collection.open`, of the default collection where none is named; made when it is not there."""
    place = default_uri() if uri is None else uri
    return Collection.open(place, model=model, create=create and not read_only, read_only=read_only, limits=limits)


def _embedder_of(model: str | Path | Embedder) -> Embedder:
    return get_embedder(model) if isinstance(model, str | Path) else model


def _name_to_find_again(model: str | Path | Embedder, card: Card) -> str:
    """A folder is remembered by its full path; anything else by its name."""
    if isinstance(model, str | Path):
        folder = Path(model).expanduser()
        return str(folder.resolve()) if folder.is_dir() else str(model)
    return card.name
