"""A collection: pictures that were embedded once and are searched ever after."""

from lookalike.search.collection import Collection, open_collection
from lookalike.search.place import COLLECTION_VARIABLE, default_uri
from lookalike.search.query import ImageLike, Query, embed_images, parse_region
from lookalike.search.results import Results

__all__ = [
    "COLLECTION_VARIABLE",
    "Collection",
    "ImageLike",
    "Query",
    "Results",
    "default_uri",
    "embed_images",
    "open_collection",
    "parse_region",
]
