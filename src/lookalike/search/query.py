"""What is asked: pictures and ids that are added, others that are subtracted, and the region of each that counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from lookalike.errors import BadQuery, ImageError
from lookalike.image import Limits, crop, decode, fit, read, to_rgb, to_text
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region, check_region
from lookalike.similarity import normalize
from lookalike.types import RGB, Embedder, Vectors


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `regions` go with `images` in order; a missing one means the whole picture.

    An image is a path, bytes of a file, an array, a PIL image, or "id:ID" for one that is in the collection.
    """

    images: Sequence[ImageLike]
    minus: Sequence[ImageLike] = ()
    regions: Sequence[Region] = ()

    def __post_init__(self) -> None:
        if not self.images:
            raise BadQuery("a query needs at least one picture; name a file, '-' for stdin, or id:ID")
        if len(self.regions) > len(self.images):
            raise BadQuery(
                f"{len(self.regions)} regions for {len(self.images)} pictures; give at most one region a picture"
            )
        for region in self.regions:
            check_region(region)


def as_query(query: "Query | ImageLike | Sequence[ImageLike]") -> Query:
    """A Query of what a caller gave: itself, one picture, or several that are combined."""
    if isinstance(query, Query):
        return query
    if isinstance(query, list | tuple):
        return Query(tuple(query))
    return Query((cast("ImageLike", query),))


def asked_id(image: ImageLike) -> str | None:
    """The id in "id:ID", None for anything else."""
    return image.removeprefix("id:") if isinstance(image, str) and image.startswith("id:") else None


def load_picture(image: ImageLike, *, side: int | None, limits: Limits, region: Region | None = None) -> RGB:
    """The upright RGB picture of whatever was given, cut to its region. Raises ImageError."""
    # A region's pixels must suffice by themselves, so the whole is read larger by as much as the region is smaller.
    wanted = None if side is None else round(side / min(region[2:])) if region else side
    try:
        picture = _open(image, wanted, limits)
    except ImageError as error:
        raise type(error)(f"{image_name(image)}: {error}") from error
    return crop(picture, region) if region else picture


def _open(image: ImageLike, side: int | None, limits: Limits) -> RGB:
    if isinstance(image, str | Path):
        return decode(read(to_text(Path(image).expanduser()), limits), side=side, limits=limits).image
    if isinstance(image, bytes):
        return decode(image, side=side, limits=limits).image
    return to_rgb(image)


def embed_images(images: Sequence[ImageLike], embedder: Embedder, *, limits: Limits | None = None) -> Vectors:
    """Vectors (n, dim) of paths, bytes, arrays or PIL images. Raises ImageError at the first that cannot be used."""
    side = max(embedder.card.preprocessing.size)
    pictures = (load_picture(image, side=side, limits=limits or Limits()) for image in images)
    # Fitted one by one: a list of full-size pictures would fill the memory.
    return embedder.embed([fit(picture, embedder.card.preprocessing) for picture in pictures])


def combine(plus: Vectors, minus: Vectors) -> Vectors:
    """Sum of unit vectors less the subtracted ones, as one unit vector (1, dim)."""
    total = plus.sum(axis=0) - minus.sum(axis=0)
    if float(np.linalg.norm(total)) < 1e-3:
        raise BadQuery("the pictures cancel each other out; subtract a picture that is not among those added")
    return normalize(total)
