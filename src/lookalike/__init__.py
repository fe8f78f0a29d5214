"""Lookalike finds images that look alike.

    import lookalike

    photos = lookalike.open("photos.lookalike")
    photos.sync("~/Pictures")
    photos.search("query.jpg", k=12)

Importing this loads numpy and nothing heavy; each name below loads its room when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookalike._version import __version__

if TYPE_CHECKING:
    from lookalike.client import RemoteCollection, connect
    from lookalike.embed import get_embedder, known_models
    from lookalike.errors import LookalikeError
    from lookalike.image import Limits
    from lookalike.image.decoding.decode import decode
    from lookalike.search import Collection, Query, Results, embed_images
    from lookalike.search import open_collection as open
    from lookalike.types import AddReport, Card, Embedder, Failure, Hit, Row, Store, Vectors

_HOMES = {
    "AddReport": "types",
    "Card": "types",
    "Collection": "search",
    "Embedder": "types",
    "Failure": "types",
    "Hit": "types",
    "Limits": "image",
    "LookalikeError": "errors",
    "Query": "search",
    "RemoteCollection": "client",
    "Results": "search",
    "Row": "types",
    "Store": "types",
    "Vectors": "types",
    "connect": "client",
    "decode": "image",
    "embed_images": "search",
    "get_embedder": "embed",
    "known_models": "embed",
}

__all__ = [
    "AddReport",
    "Card",
    "Collection",
    "Embedder",
    "Failure",
    "Hit",
    "Limits",
    "LookalikeError",
    "Query",
    "RemoteCollection",
    "Results",
    "Row",
    "Store",
    "Vectors",
    "__version__",
    "connect",
    "decode",
    "embed_images",
    "get_embedder",
    "known_models",
    "open",
    "plot",
]


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("lookalike.plot")
    if name == "open":
        return import_module("lookalike.search").open_collection
    if name not in _HOMES:
        raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
    return getattr(import_module(f"lookalike.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
