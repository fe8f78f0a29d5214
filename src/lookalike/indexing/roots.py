"""What a collection remembers of itself, as settings of its store: its model and the roots it was made from.

Each root is a setting of its own, so that two processes that add two roots do not overwrite each other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from lookalike.embed import card_from_json, card_to_json
from lookalike.types import Card, Store

Kind = Literal["folder", "archive", "manifest", "file"]

_ROOT = "root:"


@dataclass(frozen=True, slots=True)
class Root:
    """A place that pictures came from. `prefix` begins the ids of its pictures."""

    path: str
    kind: Kind
    prefix: str


def save_card(store: Store, card: Card, model: str) -> None:
    """Remember the card, and the name or folder by which the model is found again."""
    store.set_settings({"card": card_to_json(card), "model": model})


def load_card(settings: Mapping[str, str], uri: str) -> tuple[Card, str]:
    """The card and the model's name, as the collection's first run wrote them."""
    return card_from_json(settings.get("card", "{}"), where=f"the card in {uri}"), settings.get("model", "")


def load_roots(settings: Mapping[str, str]) -> dict[str, Root]:
    """All roots by path, in the order of their paths: an engine's settings come in any order."""
    found = {}
    for key, value in sorted(settings.items()):
        if key.startswith(_ROOT) and value:
            path = key.removeprefix(_ROOT)
            found[path] = Root(path=path, **json.loads(value))
    return found


def ensure_root(store: Store, path: str, kind: Kind) -> Root:
    """The root of that path, registered with a prefix that no other root has when it is new."""
    roots = load_roots(store.settings)
    if path not in roots:
        prefix = _free_prefix(_base(path, kind), {r.prefix for r in roots.values()})
        roots[path] = Root(path, kind, prefix)
        store.set_settings({_ROOT + path: json.dumps({"kind": kind, "prefix": prefix})})
    return roots[path]


def forget_root(store: Store, path: str) -> None:
    """Remove a root; an empty value is how a setting goes."""
    store.set_settings({_ROOT + path: ""})


def _base(path: str, kind: Kind) -> str:
    pure = PurePath(path)
    named = pure.parent.name if kind in ("file", "manifest") else pure.name
    return named or "root"


def _free_prefix(base: str, taken: set[str]) -> str:
    numbered = (base if n == 1 else f"{base}~{n}" for n in range(1, len(taken) + 2))
    return next(p for p in numbered if p not in taken)
