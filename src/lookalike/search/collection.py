"""A collection of indexed images. It has few methods; other functions take it as their first argument."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike import schema
from lookalike.deprecation import renamed_property
from lookalike.embed import DEFAULT_MODEL, get_embedder, same_model
from lookalike.errors import BadQuery, ModelMismatch, NoCollection
from lookalike.image import Limits, absolute_text
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region
from lookalike.indexing.plan import BUILTIN_COLUMNS, FAILURES, PHOTO_COLUMNS
from lookalike.indexing.roots import (
    Root,
    forget_root,
    keep_location,
    load_card,
    load_photo_columns,
    load_roots,
    model_reference,
    release_location,
    save_card,
)
from lookalike.parts import BOTH, normalize_row_parts, scale_scores, weigh
from lookalike.search.added_models import AddedModels
from lookalike.search.arguments import (
    check_count,
    check_id,
    check_recall,
    check_score,
    column_list,
    id_list,
    image_list,
    metadata_list,
    source_list,
)
from lookalike.search.conditions import Parameters, Where, as_condition
from lookalike.search.default_location import default_uri
from lookalike.search.embed_queries import embed_queries
from lookalike.search.query import Query, as_query, parse_id, with_options
from lookalike.search.results import Results
from lookalike.search.tables import add_vectors, read_arrow, read_ids, read_vectors, to_data_frame, update_rows
from lookalike.search.text_search import TextSearch, weighing_of_words
from lookalike.store import open_store, optimize_by
from lookalike.store.where import quote_text
from lookalike.tasks import TaskPool
from lookalike.text import expanded
from lookalike.types import AddReport, Embedder, Failure, Hit, Metadata, Row, Store, Vectors

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from lookalike.indexing.engine import Engine
    from lookalike.indexing.sync import SyncOptions

DEFAULT_K = 12


@dataclass(frozen=True, slots=True)
class _Selection:
    """The hits that count: they meet the condition `where` and have `min_score`, `by` the chosen parts.

    `recall`: the share of them that has to be found.
    """

    where: str | None
    min_score: float | None
    by: str
    recall: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_score", check_score(self.min_score))
        object.__setattr__(self, "recall", check_recall(self.recall))


class Collection:
    """An embedder, a store and the collection's settings.

    Open one with `Collection.open`; close it, or use it as a context manager. `added_as`: the name of the added model
    whose vectors it has, for what `by_model` returns.
    """

    def __init__(
        self,
        store: Store,
        uri: str,
        *,
        embedder: Embedder | None = None,
        limits: Limits | None = None,
        read_only: bool = False,
        added_as: str = "",
    ) -> None:
        self._store, self.uri, self._embedder = store, uri, embedder
        self.read_only, self.added_as = read_only, added_as
        self.limits = limits or Limits()
        self._text_search: TextSearch | None = None
        self._added_models: AddedModels | None = None
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

        Unlike `lookalike.open`, it does not create one unless requested: programs and servers open what exists.
        "memory:" is always a new collection. `model`: a name, a folder, or an Embedder; for an existing collection it
        must be the one that created it.
        Raises NoCollection, ModelMismatch, FormatMismatch, StoreFailed.
        """
        location = str(uri) if "://" in str(uri) or str(uri) == "memory:" else str(expanded(uri))
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
        collection = cls(store, location, limits=limits, read_only=read_only)
        if model is not None:
            collection.use_embedder(_embedder_of(model))
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
        save_card(store, embedder.card, model_reference(model, embedder.card))
        return cls(store, uri, embedder=embedder, limits=limits)

    @classmethod
    def _create(cls, uri: str, model: str | Path | Embedder, limits: Limits | None) -> Self:
        embedder = _embedder_of(model)
        store = open_store(uri, dim=embedder.card.dim, columns={**BUILTIN_COLUMNS, **PHOTO_COLUMNS}, create=True)
        store.set_settings({schema.PHOTO.name: ",".join(PHOTO_COLUMNS)})
        save_card(store, embedder.card, model_reference(model, embedder.card))
        return cls(store, uri, embedder=embedder, limits=limits)

    # -- indexing

    def sync(
        self,
        sources: Iterable[str | Path] | str | Path | None = None,
        *,
        frames: int | None = None,
        location: bool | None = None,
        engine: Engine | None = None,
        options: SyncOptions | None = None,
    ) -> AddReport:
        """Bring the collection up to date with folders, files, globs, manifests or archives.

        `sources` None: all earlier ones. New and changed files are embedded, moved ones recognized, deleted ones
        removed; nothing is removed under a root that is missing as a whole. `frames`: how many of each animation; None:
        as in the last call, at first 1. `location`: whether latitude and longitude of photographs are kept; None: as in
        the last call, at first yes. `engine`: who reads and embeds the files, such as `engine.RayEngine`; None: the
        cores of this machine. `options` has all of these settings and more.
        """
        if self.added_as:
            raise BadQuery("these are the vectors of an added model; sync the collection itself, which updates them")
        from lookalike.indexing.pipeline import default_workers
        from lookalike.indexing.sync import SyncOptions, sync
        from lookalike.indexing.worker import FileWorker

        listed = None if sources is None else source_list(sources)
        if location is not None:
            keep_location(self._store, keep=location)
        photo_columns = load_photo_columns(self._store)
        worker = FileWorker(self.embedder, self.limits, self._frames(frames), photo_columns=photo_columns)
        folder = self.uri if os.path.isdir(self.uri) else None
        options = options or SyncOptions(workers=default_workers(), engine=engine)
        report = sync(self._store, worker, listed, options, folder=folder)
        if not report.interrupted:
            report.by_model = self.added_models.update(options)
            report.interrupted = options.stop.is_set()
        return report

    def add(
        self,
        images: Sequence[ImageLike] | ImageLike | None = None,
        ids: Sequence[str] | str | None = None,
        metadata: Sequence[Metadata] | Metadata | None = None,
        *,
        vectors: ArrayLike | None = None,
    ) -> AddReport:
        """Add images (paths, bytes, arrays, PIL images) under ids of your own; an existing id is replaced.

        Without `ids`, the id is the path, or the hash of the bytes for other images. Images that cannot be used are
        skipped and listed in the report. `metadata`: one mapping for each image, or one for all. `vectors`: (n, dim),
        computed elsewhere by the collection's model, instead of images; they need ids and are scaled to length 1. Of
        several with one id the last is stored; `report.failed` has the others. `report.renamed_columns`: names of
        Lookalike's own columns, which are stored with a trailing `_`.
        Raises BadQuery, and ModelMismatch for vectors of another size.
        """
        if (images is None) == (vectors is None):
            raise BadQuery("pass either images or vectors to add")
        listed_ids = None if ids is None else id_list(ids)
        if vectors is not None:
            if listed_ids is None:
                raise BadQuery("vectors have no ids of their own; pass ids, one for each vector")
            report = add_vectors(self._store, self.card, listed_ids, vectors, metadata)
            self.added_models.delete(listed_ids)  # what they were computed from is unknown
            return report
        from lookalike.indexing.add import add_images

        listed = image_list(images)
        facts = None if metadata is None else metadata_list(metadata, len(listed), of="images")
        photo = release_location(self._store, {name for one in facts or () for name in one})
        report = add_images(self._store, self.embedder, listed, listed_ids, facts, self.limits, photo=photo)
        report.by_model = self.added_models.add_images(listed, listed_ids)
        return report

    def update(self, ids: Iterable[str] | str, metadata: Sequence[Metadata] | Metadata) -> int:
        """Change the named metadata of images, in one commit; vectors and other columns stay.

        `metadata`: one mapping for each id, or one for all. Unknown ids are ignored. Returns the number of
        images changed. Raises BadQuery for a name of Lookalike's own columns other than `label`.
        """
        return update_rows(self._store, id_list(ids), metadata)

    def remove(self, ids: Iterable[str] | str) -> int:
        """Remove images; their files stay. Unknown ids are ignored. Returns the number removed."""
        listed = id_list(ids)
        removed = self._store.delete(listed)
        self.added_models.delete(listed)
        return removed

    def optimize(self, *, tasks: TaskPool | None = None) -> None:
        """Merge small files, drop old versions, and build or extend the index, as `sync` does at its end.

        For programs that `add` many images: a search of 100,000 or more is fast when the index has them. `tasks`: what
        merges files and encodes rows, such as a `RayTasks`; None: this machine. Raises CollectionError for a
        collection in memory, which other processes cannot read.
        """
        if tasks is None:
            self._store.optimize()
        else:
            optimize_by(self._store, tasks)
        self.added_models.optimize()

    def ids_under(self, path: str) -> list[str]:
        """Return the ids of the images in a file, folder, archive or manifest. `path`: absolute, in text form."""
        path = path.rstrip("/")
        # The texts that start with "x/" sort from "x/" to before "x0", since 0 is the character after /.
        starts = [(quote_text(f"{path}{mark}/"), quote_text(f"{path}{mark}0")) for mark in ("", "!")]
        inside = " or ".join(f"(path >= {start} and path < {end})" for start, end in starts)
        condition = f"path = {quote_text(path)} or root = {quote_text(path)} or {inside}"
        return [str(i) for part in self._store.scan(["id"], where=condition) for i in part["id"]]

    ids_beneath = renamed_property("ids_beneath", "ids_under")

    def forget_roots(self, sources: Iterable[str | Path] | str | Path) -> list[str]:
        """Stop following these folders, manifests or archives. Returns those that were followed."""
        known = load_roots(self._store.settings)
        followed = [path for path in map(absolute_text, source_list(sources)) if path in known]
        for path in followed:
            forget_root(self._store, path)
        return followed

    # -- search

    def search(  # noqa: PLR0913 - two positional, the rest by keyword
        self,
        query: Query | ImageLike | Sequence[ImageLike],
        k: int = DEFAULT_K,
        *,
        minus: Sequence[ImageLike] | ImageLike = (),
        region: Region | None = None,
        where: Where | None = None,
        parameters: Parameters | None = None,
        min_score: float | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> Results:
        """Return the k images most similar to one image, or to several combined (the sum of their unit vectors).

        "text:WORDS" searches by what an image shows, if the collection's model reads words; see `Query`.
        `minus`: images whose vectors are subtracted. `region`: the part of the first image that counts. `where`: a SQL
        condition over metadata, such as "width > 1000 and label = 'cat'"; its `?` are replaced by `parameters`, as
        values. It may also be a mapping: {"width": 640, "format": ["PNG", "GIF"], "label": None} means equal, one of
        these, and missing. An image queried as "id:ID" is left out of its own results. `by`: the parts of the model's
        vectors that count: "alike" (the same kind of thing), "copy" (the same image, edited) or "both"; it changes
        nothing if the model has one part. Or the name of an added model, whose vectors are then searched (see
        `by_model`); words are searched by the first one that reads them if the collection's own does not. `recall`:
        the share of the k most similar that has to be found on average; 1 compares all images, None is .99 in a
        collection with an index (docs/store.md). Raises BadQuery, BadFilter, ImageError, UnknownId.
        """
        full = with_options(query, minus, region)
        selection = _Selection(as_condition(where, parameters), min_score, by, recall)
        return self._search([full], k, selection, keep_images=True)[0]

    def search_many(  # noqa: PLR0913 - two positional, the rest by keyword
        self,
        queries: Sequence[Query | ImageLike] | Query | ImageLike,
        k: int = DEFAULT_K,
        *,
        where: Where | None = None,
        parameters: Parameters | None = None,
        min_score: float | None = None,
        by: str = BOTH,
        recall: float | None = None,
        keep_images: bool = False,
    ) -> list[Results]:
        """`search` for a batch of queries, embedded on all cores; each has its own results.

        `keep_images`: the results hold the pixels of their query images, for figures, which takes memory.
        """
        parsed = [as_query(query) for query in image_list(queries)]
        selection = _Selection(as_condition(where, parameters), min_score, by, recall)
        return self._search(parsed, k, selection, keep_images=keep_images)

    def search_by_id(
        self,
        image_id: str,
        k: int = DEFAULT_K,
        *,
        where: Where | None = None,
        parameters: Parameters | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> Results:
        """Return the k images most similar to one of the collection, which is left out. Raises UnknownId."""
        return self.search(f"id:{check_id(image_id)}", k, where=where, parameters=parameters, by=by, recall=recall)

    def search_by_vector(
        self,
        vectors: ArrayLike,
        k: int = DEFAULT_K,
        *,
        where: Where | None = None,
        parameters: Parameters | None = None,
        min_score: float | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> list[Results]:
        """Return the k images nearest to each of (n, dim) vectors, which need not have length 1. `by`: see `search`."""
        name, by = self.added_models.resolve(by, has_words=False)
        if name is not None:
            view = self.added_models.open(name)
            return view.search_by_vector(
                vectors, k, where=where, parameters=parameters, min_score=min_score, recall=recall
            )
        rows = np.atleast_2d(np.asarray(vectors))
        if rows.shape[1] != self.card.dim:
            raise BadQuery(f"the vectors have {rows.shape[1]} numbers; {self.card.name} makes {self.card.dim}")
        queries = normalize_row_parts(rows, self.card)
        selection = _Selection(as_condition(where, parameters), min_score, by, recall)
        nearest = self._nearest(queries, k, [set()] * len(queries), selection)
        return [
            Results((f"vector {n}",), hits, (), self.thumbnails, vector)
            for n, (vector, hits) in enumerate(zip(queries, nearest, strict=True))
        ]

    # -- stored images

    def get(self, ids: Iterable[str] | str, columns: Sequence[str] | str | None = None) -> list[Row | None]:
        """Return stored images in the order of `ids`, None for unknown ones; thumbnails only if `columns` has them."""
        return self._store.get(id_list(ids), column_list(columns))

    def ids(self, where: Where | None = None, parameters: Parameters | None = None) -> list[str]:
        """Return all ids, or those of the images that meet a condition (see `search`), in order."""
        return read_ids(self._store, as_condition(where, parameters))

    def vectors(
        self, where: Where | None = None, parameters: Parameters | None = None, *, part: str | None = None
    ) -> tuple[list[str], Vectors]:
        """Return ids and their vectors (n, dim), of all images or of those that meet a condition, ordered by id.

        `part`: "alike" or "copy", only that part of them, as unit vectors; the same as all of them if the model's
        vectors have no parts. More than 1 GB of vectors are mapped from a temporary file, which takes no memory.
        """
        return read_vectors(self._store, as_condition(where, parameters), self.card, part, self.uri)

    def to_arrow(
        self,
        where: Where | None = None,
        columns: Sequence[str] | str | None = None,
        *,
        parameters: Parameters | None = None,
    ) -> pyarrow.Table:
        """Return ids and metadata as an Arrow table, ordered by id.

        `columns`: the columns besides `id`, by default all metadata; "vector" and "thumbnail" only by name.
        """
        return read_arrow(self._store, as_condition(where, parameters), column_list(columns))

    def to_pandas(
        self,
        where: Where | None = None,
        columns: Sequence[str] | str | None = None,
        *,
        parameters: Parameters | None = None,
    ) -> pandas.DataFrame:
        """Return `to_arrow` as a DataFrame. Raises LookalikeError if pandas is not installed."""
        return to_data_frame(self.to_arrow(where, columns, parameters=parameters))

    def thumbnails(self, ids: Iterable[str] | str) -> list[bytes | None]:
        """Return JPEG thumbnails of at most 256 pixels a side, None where there is none."""
        rows = self._store.get(id_list(ids), ["thumbnail"])
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
            self.use_embedder(get_embedder(self.model))
        assert self._embedder is not None
        return self._embedder

    @property
    def text_search(self) -> TextSearch:
        """What searches by words need, for functions that take a collection."""
        if self._text_search is None:
            self._text_search = TextSearch(self)
        return self._text_search

    @property
    def added_models(self) -> AddedModels:
        """The further models with vectors of the images; `lookalike index --model MODEL --add` adds one."""
        if self._added_models is None:
            self._added_models = AddedModels(self)
        return self._added_models

    def by_model(self, name: str) -> Collection:
        """Return the same images with the vectors of an added model, for any function that takes a collection.

        It reads and writes the metadata of this collection, and is closed with it. Images that the model has not
        embedded yet are absent. Raises BadQuery for an unknown name.
        """
        return self.added_models.open(name)

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        """Return True: a collection without images is still a collection."""
        return True

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and self._store.get([image_id], [])[0] is not None

    def __repr__(self) -> str:
        return f"<Collection {self.uri}: {len(self)} images by {self.card.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        if self._added_models is not None:
            self._added_models.close()
        self._store.close()

    def use_embedder(self, embedder: Embedder) -> None:
        """Embed with this object of the collection's model. Raises ModelMismatch for another model."""
        if not same_model(embedder.card, self.card) and self.added_as:
            raise ModelMismatch(
                f"its added model {self.added_as} was {self.card.sha256[:8]}, and is now {embedder.card.sha256[:8]} "
                "or reads images in another way",
                subject=self.uri,
                location=self.uri,
                hint="remove it, then add it again",
                command=f"remove --model {self.added_as} -c {self.uri}",
            )
        if not same_model(embedder.card, self.card):
            sources = " ".join(root.path for root in self.roots()) or "FOLDER"
            raise ModelMismatch(
                f"it was created by {self.card.name} ({self.card.sha256[:8]}), not by {embedder.card.name} "
                f"({embedder.card.sha256[:8]}), and their scores cannot be compared",
                subject=self.uri,
                location=self.uri,
                hint="create a new collection with that model, or keep its vectors as well with --add",
                command=f"index {sources} -c {self.uri} --model {embedder.card.name} --add",
            )
        self._embedder = embedder

    # -- private

    def _frames(self, frames: int | None) -> int:
        stored = int(self._store.settings.get(schema.FRAMES.name, "1"))
        if frames is None or frames == stored:
            return stored
        self._store.set_settings({schema.FRAMES.name: str(frames)})
        return frames

    def _search(self, queries: Sequence[Query], k: int, selection: _Selection, *, keep_images: bool) -> list[Results]:
        """Search each query by the model and the parts of its vectors that it is for: words have others than images."""
        k = check_count(k)  # before the images are embedded, as is the selection
        results: dict[int, Results] = {}
        for has_words in sorted({query.has_words for query in queries} or {False}):
            own = {n: query for n, query in enumerate(queries) if query.has_words == has_words}
            name, by = self.added_models.resolve(selection.by, has_words=has_words)
            photos = self if name is None else self.by_model(name)
            by = weighing_of_words(photos.card, by) if has_words else by
            answers = photos._search_own(list(own.values()), k, replace(selection, by=by), keep_images=keep_images)
            results |= zip(own, (replace(one, model=name or "") for one in answers), strict=True)
        return [results[n] for n in range(len(queries))]

    def _search_own(
        self, queries: Sequence[Query], k: int, selection: _Selection, *, keep_images: bool
    ) -> list[Results]:
        """Search by this collection's own model and the parts of its vectors that the selection names."""
        embedded = embed_queries(self, queries, keep_images=keep_images)
        vectors = np.concatenate([np.zeros((0, self.card.dim), np.float32), *(query.vector for query in embedded)])
        excluded = [{i for i in map(parse_id, query.images) if i is not None} for query in queries]
        nearest = self._nearest(vectors, k, excluded, selection)
        return [
            Results(
                tuple(map(image_name, query.images)), hits, one.images, self.thumbnails, one.vector[0],
                self._percentiles(one.vector[0], hits) if query.has_words else {},
            )
            for query, one, hits in zip(queries, embedded, nearest, strict=True)
        ]  # fmt: skip

    def _percentiles(self, vector: NDArray[np.float32], hits: Sequence[Hit]) -> dict[str, float]:
        values = self.text_search.percentiles(vector, [hit.score for hit in hits])
        return dict(zip((hit.id for hit in hits), values, strict=True))

    def _nearest(
        self, vectors: Vectors, k: int, excluded: Sequence[set[str]], selection: _Selection
    ) -> list[tuple[Hit, ...]]:
        k = check_count(k)
        extra = max(map(len, excluded), default=0)
        weighed, factor = weigh(vectors, self.card, selection.by)
        if selection.recall is None:  # a store of an extension may not know of it
            hits = self._store.search(weighed, k + extra, where=selection.where)
        else:
            hits = self._store.search(weighed, k + extra, where=selection.where, recall=selection.recall)
        nearest = scale_scores(hits, factor)
        floor = -2.0 if selection.min_score is None else selection.min_score
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
    """Open a collection, by default the default one, and create it if it does not exist. See `Collection.open`.

    This is `lookalike.open`. It creates because a first session begins with it, in a notebook or a script. A program
    that must not mistake a mistyped path for an empty collection passes `create=False` or calls `Collection.open`.
    """
    location = default_uri() if uri is None else uri
    return Collection.open(location, model=model, create=create and not read_only, read_only=read_only, limits=limits)


def _embedder_of(model: str | Path | Embedder) -> Embedder:
    return get_embedder(model) if isinstance(model, str | Path) else model
