"""The model card and the roots of a collection, stored in the settings of its store.

Each root is a separate setting, so two processes that add two roots do not overwrite each other.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from lookalike import schema
from lookalike.embed import card_from_json, card_to_json
from lookalike.errors import BrokenModel
from lookalike.text import expanded
from lookalike.types import Card, Embedder, Store

Kind = Literal["folder", "archive", "manifest", "file"]

LOCATION_COLUMNS = ("latitude", "longitude")
_ROOT_PREFIX = schema.ROOT.name.format(path="")


@dataclass(frozen=True, slots=True)
class Root:
    """A source of images: a folder, archive, manifest or file. The ids of its images begin with `prefix`."""

    path: str
    kind: Kind
    prefix: str


def save_card(store: Store, card: Card, model: str) -> None:
    """Store the card, and the name or folder from which the model can be opened again."""
    store.set_settings({schema.CARD.name: card_to_json(card), schema.MODEL.name: model})


def model_reference(model: str | Path | Embedder, card: Card) -> str:
    """Return the text by which the model is opened again: the full path of a folder, else the name."""
    if isinstance(model, str | Path):
        folder = expanded(model)
        return str(folder.resolve()) if folder.is_dir() else str(model)
    return card.name


def load_card(settings: Mapping[str, str], uri: str) -> tuple[Card, str]:
    """The card and the model's name or folder, as `save_card` stored them."""
    try:
        card = card_from_json(settings.get(schema.CARD.name, "{}"), where="the collection's card")
    except BrokenModel as error:
        raise BrokenModel(error.reason, subject=uri, location=uri, hint=error.hint) from None
    return card, settings.get(schema.MODEL.name, "")


def load_photo_columns(store: Store) -> frozenset[str]:
    """Return which columns are filled from what files say about themselves.

    A collection that has none of these yet gets all but those that its user has already: these stay the user's.
    """
    stored = store.settings.get(schema.PHOTO.name)
    if not stored:  # an empty value deletes a setting
        known = store.columns()
        stored = ",".join(name for name in schema.PHOTO_COLUMNS if name not in known) or ","
        store.set_settings({schema.PHOTO.name: stored})
    return frozenset(filter(None, stored.split(",")))


def release_location(store: Store, names: Iterable[str]) -> frozenset[str]:
    """Leave the columns of positions to the user where `names` has them: `keep_location` drops only our own.

    Returns the columns that are filled from what files say. Values that a user has of the others simply come first.
    """
    columns = load_photo_columns(store)
    remaining = columns - {*LOCATION_COLUMNS}.intersection(names)
    if remaining != columns:
        store.set_settings({schema.PHOTO.name: ",".join(sorted(remaining)) or ","})
    return remaining


def keep_location(store: Store, *, keep: bool) -> None:
    """Have latitude and longitude of photographs kept from now on, or dropped; a user's own columns stay."""
    columns = load_photo_columns(store)
    if not keep:
        store.drop_columns([name for name in LOCATION_COLUMNS if name in columns])
        columns -= {*LOCATION_COLUMNS}
    else:
        columns |= {name for name in LOCATION_COLUMNS if name not in store.columns()}
    store.set_settings({schema.PHOTO.name: ",".join(sorted(columns)) or ","})


def load_roots(settings: Mapping[str, str]) -> dict[str, Root]:
    """All roots by path, ordered by path."""
    roots = {}
    for key, value in sorted(settings.items()):
        if key.startswith(_ROOT_PREFIX) and value:
            path = key.removeprefix(_ROOT_PREFIX)
            roots[path] = Root(path=path, **json.loads(value))
    return roots


def ensure_root(store: Store, path: str, kind: Kind) -> Root:
    """The root with this path; a new one is registered with a prefix that no other root has."""
    roots = load_roots(store.settings)
    if path not in roots:
        prefix = _free_prefix(_base(path, kind), {r.prefix for r in roots.values()})
        roots[path] = Root(path, kind, prefix)
        store.set_settings({_ROOT_PREFIX + path: json.dumps({"kind": kind, "prefix": prefix})})
    return roots[path]


def forget_root(store: Store, path: str) -> None:
    """Remove a root. An empty value deletes a setting."""
    store.set_settings({_ROOT_PREFIX + path: ""})


def _base(path: str, kind: Kind) -> str:
    pure = PurePath(path)
    name = pure.parent.name if kind in ("file", "manifest") else pure.name
    return name or "root"


def _free_prefix(base: str, used: set[str]) -> str:
    numbered = (base if n == 1 else f"{base}~{n}" for n in range(1, len(used) + 2))
    return next(p for p in numbered if p not in used)
