"""Vectors of further models in a collection, beside its own: a model for words, say, beside one for copies.

Each added model has a store of its own in `models/` beside the images, with a vector for each id. The collection's own
model stays that of every search that names no other; words go to the first added model that reads them if it does not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike import schema
from lookalike.embed import get_embedder, same_model
from lookalike.errors import BadQuery, ModelMismatch, nearest
from lookalike.indexing.plan import BUILTIN_COLUMNS
from lookalike.indexing.roots import model_reference, save_card
from lookalike.part_names import BOTH, COPY, WEIGHINGS
from lookalike.store import MODELS, open_store
from lookalike.store.model_store import ModelStore
from lookalike.types import AddReport, Embedder, Store

if TYPE_CHECKING:
    from lookalike.image.convert import ImageLike
    from lookalike.indexing.sync import SyncOptions
    from lookalike.search.collection import Collection

_PREFIX = schema.ADDED_MODEL.name.format(name="")
_NAME = re.compile(r"[\w.+-]+")  # of a model, and neither a path nor hub:owner/name
_HASH = 16  # characters of a model's hash in the name of its folder


class AddedModels:
    """The further models of one collection, by name."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._opened: dict[str, Collection] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of the added models, in order."""
        settings = self._photos.store.settings
        return tuple(sorted(key.removeprefix(_PREFIX) for key, value in settings.items() if _is_entry(key, value)))

    def add(self, model: str | Path | Embedder) -> str:
        """Add a model: a name, a folder, or an Embedder. Returns its name.

        The next `Collection.sync` embeds the images. Nothing happens if it was added before. Raises BadQuery if its
        name has another meaning here, ModelMismatch if another model was added under it.
        """
        photos = self._photos
        embedder = get_embedder(model) if isinstance(model, str | Path) else model
        card, reference = embedder.card, model_reference(model, embedder.card)
        name = reference if _NAME.fullmatch(reference) else card.name
        if same_model(card, photos.card):
            raise BadQuery(f"{name} is the model of this collection already; add another")
        if name in (*WEIGHINGS, photos.card.name, photos.model):
            raise BadQuery(f"{name!r} has another meaning in searches of this collection; add it under another name")
        if name in self.names():
            if not same_model(self.open(name).card, card):
                raise ModelMismatch(
                    f"another model was added as {name}",
                    subject=photos.uri,
                    location=photos.uri,
                    hint="remove its vectors first",
                    command=f"remove --model {name} -c {photos.uri}",
                )
            return name
        folder = f"{MODELS}/{card.sha256[:_HASH]}"
        columns = {column: kind for column, kind in BUILTIN_COLUMNS.items() if column != "thumbnail"}
        store = open_store(_child(photos.uri, folder), dim=card.dim, columns=columns, create=True)
        save_card(store, card, reference)
        self._opened[name] = self._view(store, embedder)
        photos.store.set_settings({_PREFIX + name: json.dumps({"folder": folder})})
        return name

    def remove(self, name: str) -> None:
        """Remove an added model and its vectors; in an object store their files stay. Raises BadQuery."""
        folder = self._folder(name)
        self._photos.store.set_settings({_PREFIX + name: ""})
        if name in self._opened:
            self._opened.pop(name).close()
        if os.path.isdir(self._photos.uri):
            shutil.rmtree(_child(self._photos.uri, folder), ignore_errors=True)

    def open(self, name: str) -> Collection:
        """Return the same images with the vectors of an added model. Raises BadQuery for an unknown name."""
        folder = self._folder(name)
        if name not in self._opened:
            self._opened[name] = self._view(open_store(_child(self._photos.uri, folder)), None)
        return self._opened[name]

    def for_words(self) -> Collection:
        """Return the collection as its words are searched: by its own model, or the first added one that reads them."""
        name, _ = self.resolve(BOTH, has_words=True)
        return self._photos if name is None else self.open(name)

    def views(self) -> list[tuple[str, Collection]]:
        """Return each added model's name, and the images with its vectors."""
        return [(name, self.open(name)) for name in self.names()]

    def update(self, options: SyncOptions) -> dict[str, AddReport]:
        """Embed the images that have no vector of an added model, and drop the vectors of removed ones."""
        from lookalike.indexing.embed_again import embed_again
        from lookalike.indexing.worker import FileWorker

        reports = {}
        frames = int(self._photos.store.settings.get(schema.FRAMES.name, "1"))
        for name, view, store in self._views():
            worker = FileWorker(view.embedder, self._photos.limits, frames)
            folder = _child(self._photos.uri, self._folder(name))
            engine = None if options.engine is None else options.engine.for_collection(folder)
            local = None if "://" in folder or folder.startswith("memory:") else folder
            own = replace(options, engine=engine)
            reports[name] = embed_again(store.images, store.vectors, worker, own, folder=local)
            if options.stop.is_set():
                break
        return reports

    def add_images(self, images: Sequence[ImageLike], ids: Sequence[str] | None) -> None:
        """Embed images that were just added to the collection, under the same ids."""
        from lookalike.indexing.add import add_images

        for _, view, store in self._views():
            add_images(store.vectors, view.embedder, images, ids, None, self._photos.limits, with_thumbnails=False)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the vectors of images."""
        for _, _, store in self._views():
            store.vectors.delete(ids)

    def optimize(self) -> None:
        """See `Collection.optimize`."""
        for _, _, store in self._views():
            store.vectors.optimize()

    def close(self) -> None:
        """Close what was opened."""
        for view in self._opened.values():
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
        value = self._photos.store.settings.get(_PREFIX + name)
        if not value:
            known = self.names()
            hint = nearest(name, known) if known else "add one with: lookalike index --model MODEL --add"
            raise BadQuery(f"no model {name!r} was added to {self._photos.uri}; {hint}")
        return str(json.loads(value)["folder"])

    def _views(self) -> Iterator[tuple[str, Collection, ModelStore]]:
        for name in self.names():
            view = self.open(name)
            assert isinstance(view.store, ModelStore)
            yield name, view, view.store

    def _view(self, store: Store, embedder: Embedder | None) -> Collection:
        photos = self._photos
        return type(photos)(ModelStore(photos.store, store), photos.uri, embedder=embedder, limits=photos.limits)


def _is_entry(key: str, value: str) -> bool:
    return key.startswith(_PREFIX) and bool(value)


def _child(uri: str, folder: str) -> str:
    return uri if uri == "memory:" else f"{uri.rstrip('/')}/{folder}"
