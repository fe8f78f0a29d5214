"""Vectors of further models in a collection, beside its own: a model for words, say, beside one for copies.

Each added model has a store of its own in `models/` beside the images, with a vector for each id. The collection's own
model stays that of every search that names no other; words go to the first added model that reads them if it does not.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from lookalike import schema
from lookalike.embed import get_embedder, same_model
from lookalike.errors import BadQuery, CollectionError, LookalikeError, ModelMismatch, NoCollection, ReadOnly, nearest
from lookalike.indexing.plan import BUILTIN_COLUMNS, FAILURES
from lookalike.indexing.roots import model_reference, save_card
from lookalike.part_names import BOTH, COPY, WEIGHINGS
from lookalike.store import MODELS, open_store
from lookalike.store.model_store import ModelStore
from lookalike.types import AddReport, Embedder, Failure, Store

if TYPE_CHECKING:
    from lookalike.image.convert import ImageLike
    from lookalike.indexing.sync import SyncOptions
    from lookalike.search.collection import Collection

_PREFIX = schema.ADDED_MODEL.name.format(name="")
_NAME = re.compile(r"[\w.+-]+")  # of a model, and neither a path nor hub:owner/name
_UNUSED_SECONDS = 3600
_HASH = 16  # characters of a model's hash in the name of its folder


class AddedModels:
    """The further models of one collection, by name."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._opened: dict[str, tuple[str, Collection]] = {}  # by name: the folder, and the view
        self._lock = Lock()

    def names(self) -> tuple[str, ...]:
        """Return the names of the added models, in order."""
        settings = self._photos.store.settings
        return tuple(sorted(key.removeprefix(_PREFIX) for key, value in settings.items() if _is_entry(key, value)))

    def add(self, model: str | Path | Embedder) -> str:
        """Add a model: a name, a folder, or an Embedder. Returns its name.

        The next `Collection.sync` embeds the images. A model that was added before keeps its vectors and its name; an
        Embedder of it is used from now on. Raises BadQuery if the name has another meaning here, ModelMismatch if
        another model was added under it, ReadOnly.
        """
        photos = self._photos
        self._check_writable()
        embedder = get_embedder(model) if isinstance(model, str | Path) else model
        card, reference = embedder.card, model_reference(model, embedder.card)
        name = reference if _NAME.fullmatch(reference) else card.name
        if same_model(card, photos.card):
            raise BadQuery(f"{name} is the model of this collection already; add another")
        for known, view, _ in self._views():
            if same_model(view.card, card):
                if not isinstance(model, str | Path):
                    view.use_embedder(embedder)
                return known
        if name in (*WEIGHINGS, photos.card.name, photos.model):
            raise BadQuery(f"{name!r} has another meaning in searches of this collection; add it under another name")
        if name in self.names():
            raise ModelMismatch(
                f"another model was added as {name}",
                subject=photos.uri,
                location=photos.uri,
                hint="remove its vectors first",
                command=f"remove --model {name} -c {photos.uri}",
            )
        # A folder of its own each time: what an open process has of an earlier one is never taken for this one.
        folder = f"{MODELS}/{card.sha256[:_HASH]}-{secrets.token_hex(4)}"
        columns = {column: kind for column, kind in BUILTIN_COLUMNS.items() if column != "thumbnail"}
        store = open_store(_child(photos.uri, folder), dim=card.dim, columns=columns, create=True)
        save_card(store, card, reference)
        self._opened[name] = folder, self._view(name, store, embedder)
        photos.store.set_settings({_PREFIX + name: json.dumps({"folder": folder})})
        self._remove_unused_folders()
        return name

    def remove(self, name: str) -> None:
        """Remove an added model and its vectors; in an object store their files stay. Raises BadQuery, ReadOnly."""
        self._check_writable()
        folder = self._folder(name)
        self._photos.store.set_settings({_PREFIX + name: ""})
        if name in self._opened:
            self._opened.pop(name)[1].close()
        if os.path.isdir(self._photos.uri):
            shutil.rmtree(_child(self._photos.uri, folder), ignore_errors=True)
        self._remove_unused_folders()

    def open(self, name: str) -> Collection:
        """Return the same images with the vectors of an added model. Raises BadQuery for an unknown name."""
        photos, folder = self._photos, self._folder(name)
        with self._lock:
            known = self._opened.get(name)
            if known is not None and known[0] == folder:
                return known[1]
            try:
                store = open_store(_child(photos.uri, folder), read_only=photos.read_only)
            except NoCollection:
                raise CollectionError(
                    f"the vectors of its model {name} are missing",
                    subject=photos.uri,
                    location=photos.uri,
                    hint="remove the model, then add it again",
                    command=f"remove --model {name} -c {photos.uri}",
                ) from None
            view = self._view(name, store, None)
            self._opened[name] = folder, view
        if known is not None:  # it was removed and added again, by another process
            known[1].close()
        return view

    def for_words(self) -> Collection:
        """Return the collection as its words are searched: by its own model, or the first added one that reads them."""
        name, _ = self.resolve(BOTH, has_words=True)
        return self._photos if name is None else self.open(name)

    def views(self) -> list[tuple[str, Collection]]:
        """Return each added model's name, and the images with its vectors; those without their files are left out."""
        return [(name, view) for name, view, _ in self._views()]

    def update(self, options: SyncOptions) -> dict[str, AddReport]:
        """Embed the images that have no vector of an added model, and drop the vectors of removed ones.

        A model that cannot be used is the only failure in its report.
        """
        from lookalike.indexing.embed_again import embed_again
        from lookalike.indexing.worker import FileWorker

        reports: dict[str, AddReport] = {}
        frames = int(self._photos.store.settings.get(schema.FRAMES.name, "1"))
        for name in self.names():
            try:
                view = self.open(name)
                worker = FileWorker(view.embedder, self._photos.limits, frames)
            except LookalikeError as error:
                reports[name] = AddReport(failed=[Failure(name, str(error))])
                continue
            assert isinstance(view.store, ModelStore)
            folder = _child(self._photos.uri, self._folder(name))
            engine = None if options.engine is None else options.engine.for_collection(folder)
            local = None if "://" in folder or folder.startswith("memory:") else folder
            own = replace(options, engine=engine)
            reports[name] = embed_again(view.store.images, view.store.vectors, worker, own, folder=local)
            if options.stop.is_set():
                break
        return reports

    def add_images(self, images: Sequence[ImageLike], ids: Sequence[str] | None) -> dict[str, AddReport]:
        """Embed images that were just added to the collection, under the same ids; see `update`."""
        from lookalike.indexing.add import add_images

        reports: dict[str, AddReport] = {}
        for name, view, store in self._views():
            if ids is not None:
                store.vectors.delete(ids)  # they may belong to other content
            try:
                reports[name] = add_images(store.vectors, view.embedder, images, ids, None, self._photos.limits)
            except LookalikeError as error:
                reports[name] = AddReport(failed=[Failure(name, str(error))])
        return reports

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the vectors of images."""
        for _, _, store in self._views():
            store.vectors.delete(ids)

    def optimize(self) -> None:
        """See `Collection.optimize`."""
        for _, _, store in self._views():
            store.vectors.optimize()

    def failures(self) -> list[Failure]:
        """Return the files that an added model could not embed, each with the model and the reason."""
        return [
            Failure(str(row["path"]), f"{name}: {row['reason']!s}")
            for name, _, store in self._views()
            for row in store.vectors.table(FAILURES).all()
        ]

    def close(self) -> None:
        """Close what was opened."""
        for _, view in self._opened.values():
            view.store.close()
        self._opened = {}

    def resolve(self, by: str, *, has_words: bool) -> tuple[str | None, str]:
        """Return the added model that a search is for, None for the collection's own, and the parts that count.

        `by`: "both", "alike" or "copy", or the name of a model. Raises BadQuery for anything else.
        """
        photos = self._photos
        if by in WEIGHINGS:
            if has_words and photos.card.text is None and by != COPY:
                return next((name for name in self.names() if self.open(name).card.text is not None), None), by
            return None, by
        if by in (photos.card.name, photos.model):
            return None, BOTH
        names = self.names()
        if by not in names:
            raise BadQuery(
                f"{by!r} is neither a part of the vectors nor a model of this collection; "
                f"{nearest(by, (*WEIGHINGS, *names))}"
            )
        return by, BOTH

    def _folder(self, name: str) -> str:
        uri, value = self._photos.uri, self._photos.store.settings.get(_PREFIX + name)
        if not value:
            known, reason = self.names(), f"no model {name!r} was added to it"
            if known:
                raise BadQuery(reason, subject=uri, location=uri, hint=nearest(name, known))
            hint, command = "add one with added_models.add(model)", f"index --model MODEL --add -c {uri}"
            raise BadQuery(reason, subject=uri, location=uri, hint=hint, command=command)
        return str(json.loads(value)["folder"])

    def _views(self) -> Iterator[tuple[str, Collection, ModelStore]]:
        for name in self.names():
            try:
                view = self.open(name)
            except CollectionError:
                continue
            assert isinstance(view.store, ModelStore)
            yield name, view, view.store

    def _view(self, name: str, store: Store, embedder: Embedder | None) -> Collection:
        photos = self._photos
        return type(photos)(
            ModelStore(photos.store, store), photos.uri, embedder=embedder, limits=photos.limits,
            read_only=photos.read_only, added_as=name,
        )  # fmt: skip

    def _check_writable(self) -> None:
        photos = self._photos
        if photos.read_only:
            reason, hint = "it was opened for reading only", "open it without read_only"
            raise ReadOnly(reason, subject=photos.uri, location=photos.uri, hint=hint)

    def _remove_unused_folders(self) -> None:
        """Remove what a process that was killed, or wrote while its model was removed, has left for an hour."""
        folder = Path(self._photos.uri) / MODELS
        if self._photos.uri == "memory:" or not folder.is_dir():
            return
        used = {Path(self._folder(name)).name for name in self.names()}
        for child in folder.iterdir():
            if child.name not in used and time.time() - child.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(child, ignore_errors=True)


def _is_entry(key: str, value: str) -> bool:
    return key.startswith(_PREFIX) and bool(value)


def _child(uri: str, folder: str) -> str:
    return uri if uri == "memory:" else f"{uri.rstrip('/')}/{folder}"
