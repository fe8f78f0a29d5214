"""A collection of images, embedded once and then searched."""

from lookalike.image.convert import ImageLike
from lookalike.image.region import parse_region
from lookalike.search.collection import Collection, open_collection
from lookalike.search.conditions import Parameters, Where
from lookalike.search.default_location import COLLECTION_VARIABLE, default_uri
from lookalike.search.query import Query, embed_images
from lookalike.search.results import Results

__all__ = [
    "COLLECTION_VARIABLE",
    "Collection",
    "ImageLike",
    "Parameters",
    "Query",
    "Results",
    "Where",
    "default_uri",
    "embed_images",
    "open_collection",
    "parse_region",
]
