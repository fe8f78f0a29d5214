"""A query: images and ids that are added, others that are subtracted, and the region of each image that counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from lookalike.errors import BadQuery, ImageError
from lookalike.image import Limits, crop, decode, decode_side, fit, read, to_rgb, to_text
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region, check_region
from lookalike.search.arguments import image_tuple
from lookalike.similarity import normalize
from lookalike.types import RGB, Embedder, Vectors


@dataclass(frozen=True, slots=True)
class Query:
    """One query: the sum of the vectors of `images` less those of `minus`.

    An image is a path, the bytes of a file, an array, a PIL image, or "id:ID" for one in the collection. `regions`
    belong to `images` in order; a missing one means the whole image. One image needs no list. Raises BadQuery.
    """

    images: Sequence[ImageLike]
    minus: Sequence[ImageLike] = ()
    regions: Sequence[Region] = ()

    def __post_init__(self) -> None:
        # A str is a sequence of letters, and an array one of rows: neither is a list of images.
        object.__setattr__(self, "images", image_tuple(self.images))
        object.__setattr__(self, "minus", image_tuple(self.minus))
        if not self.images:
            raise BadQuery("a query needs at least one image; name a file, '-' for stdin, or id:ID")
        if len(self.regions) > len(self.images):
            raise BadQuery(
                f"{len(self.regions)} regions for {len(self.images)} images; give at most one region for each image"
            )
        for region in self.regions:
            check_region(region)


def as_query(query: "Query | ImageLike | Sequence[ImageLike]") -> Query:
    """Return a Query as it is, or make one from an image or from several that are combined."""
    if isinstance(query, Query):
        return query
    if isinstance(query, list | tuple):
        return Query(tuple(query))
    return Query((cast("ImageLike", query),))


def with_options(
    query: "Query | ImageLike | Sequence[ImageLike]", minus: Sequence[ImageLike] | ImageLike, region: Region | None
) -> Query:
    """Return the query with further subtracted images, and the region of its first image. Raises BadQuery."""
    full, subtracted = as_query(query), image_tuple(minus)
    if not subtracted and region is None:
        return full
    return Query(full.images, (*full.minus, *subtracted), full.regions if region is None else (region,))


def parse_id(image: ImageLike) -> str | None:
    """Return the id in "id:ID", None for anything else."""
    return image.removeprefix("id:") if isinstance(image, str) and image.startswith("id:") else None


def load_query_image(
    image: ImageLike, *, side: int | None, limits: Limits, region: Region | None = None, name: str = ""
) -> RGB:
    """Return the upright RGB image, cropped to its region. Raises ImageError.

    `side`: pixels that the longer side of the result needs; a larger image may be decoded at a reduced size. `name`:
    what errors call the image, by default its path.
    """
    # The region alone must have enough pixels, so the whole image is decoded larger by the inverse of its size.
    decode_side = None if side is None else round(side / min(region[2:])) if region else side
    try:
        rgb = _open(image, decode_side, limits)
    except ImageError as error:
        raise type(error)(f"{name or image_name(image)}: {error}") from error
    return crop(rgb, region) if region else rgb


def _open(image: ImageLike, side: int | None, limits: Limits) -> RGB:
    if isinstance(image, str | Path):
        return decode(read(to_text(Path(image).expanduser()), limits), side=side, limits=limits).image
    if isinstance(image, bytes):
        return decode(image, side=side, limits=limits).image
    return to_rgb(image)


def embed_images(images: Sequence[ImageLike], embedder: Embedder, *, limits: Limits | None = None) -> Vectors:
    """Return the vectors (n, dim) of paths, bytes, arrays or PIL images. Raises ImageError for the first bad one."""
    side = decode_side(embedder.card.preprocessing)
    loaded = (load_query_image(image, side=side, limits=limits or Limits()) for image in images)
    # Fitted one by one: a list of full-size images would fill the memory.
    return embedder.embed([fit(rgb, embedder.card.preprocessing) for rgb in loaded])


def combine(plus: Vectors, minus: Vectors) -> Vectors:
    """Return the sum of the unit vectors `plus` less those of `minus`, normalized (1, dim). Raises BadQuery at zero."""
    total = plus.sum(axis=0) - minus.sum(axis=0)
    if float(np.linalg.norm(total)) < 1e-3:
        raise BadQuery("the images cancel each other out; subtract an image that is not among those added")
    return normalize(total)
