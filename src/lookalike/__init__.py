"""Lookalike finds images that look alike.

    import lookalike

    photos = lookalike.open("photos.lookalike")
    photos.sync("~/Pictures")
    photos.search("query.jpg", k=12)

Importing this loads nothing heavy: each name below, and each package such as `lookalike.cluster`, is loaded when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookalike._version import __version__

if TYPE_CHECKING:
    from lookalike import cluster, duplicates, errors, evaluate, plot, relate, types  # noqa: F401
    from lookalike.client import RemoteCollection, connect
    from lookalike.cluster import propagate_labels
    from lookalike.duplicates import find_duplicates
    from lookalike.embed import get_embedder, known_models
    from lookalike.errors import LookalikeError
    from lookalike.image import Limits
    from lookalike.image.convert import ImageLike
    from lookalike.image.decoding.decode import decode
    from lookalike.relate import compare_images, judge_hits
    from lookalike.search import Collection, Query, Results, embed_images
    from lookalike.search import open_collection as open
    from lookalike.types import (
        RGB,
        AddReport,
        Card,
        DuplicateGroup,
        Embedder,
        Failure,
        Hit,
        Relation,
        Row,
        Store,
        Vectors,
    )

_PACKAGES = frozenset({"cluster", "duplicates", "errors", "evaluate", "plot", "relate", "types"})

_HOMES = {
    "AddReport": "types",
    "Card": "types",
    "Collection": "search",
    "DuplicateGroup": "types",
    "Embedder": "types",
    "Failure": "types",
    "Hit": "types",
    "ImageLike": "search",
    "Limits": "image",
    "LookalikeError": "errors",
    "Query": "search",
    "RGB": "types",
    "Relation": "types",
    "RemoteCollection": "client",
    "Results": "search",
    "Row": "types",
    "Store": "types",
    "Vectors": "types",
    "compare_images": "relate",
    "connect": "client",
    "decode": "image",
    "embed_images": "search",
    "find_duplicates": "duplicates",
    "get_embedder": "embed",
    "judge_hits": "relate",
    "known_models": "embed",
    "propagate_labels": "cluster",
}

__all__ = [
    "RGB",
    "AddReport",
    "Card",
    "Collection",
    "DuplicateGroup",
    "Embedder",
    "Failure",
    "Hit",
    "ImageLike",
    "Limits",
    "LookalikeError",
    "Query",
    "Relation",
    "RemoteCollection",
    "Results",
    "Row",
    "Store",
    "Vectors",
    "__version__",
    "cluster",
    "compare_images",
    "connect",
    "decode",
    "duplicates",
    "embed_images",
    "evaluate",
    "find_duplicates",
    "get_embedder",
    "judge_hits",
    "known_models",
    "open",
    "plot",
    "propagate_labels",
    "relate",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"lookalike.{name}")
    if name == "open":
        return import_module("lookalike.search").open_collection
    if name not in _HOMES:
        raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
    return getattr(import_module(f"lookalike.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES})
