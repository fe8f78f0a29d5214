"""A query: images, ids and words that are added or subtracted, and the region of each image that counts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, ImageError
from lookalike.image import Limits, crop, decode, decode_side, fit, read, to_rgb, to_text
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region, check_region
from lookalike.search.arguments import image_tuple
from lookalike.similarity import normalize
from lookalike.text import expanded
from lookalike.types import RGB, Embedder, Vectors

TEXT_PREFIX = "text:"
NO_PIXELS = "words have no pixels to compare; relations, verification, regions and parts need an image as the query"
MAX_WEIGHT = 100
_WEIGHTED = re.compile(r"(.*\S)\s+\*\s*(\d+(?:\.\d*)?|\.\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Words:
    """A text of a query, and how much it counts beside the other terms."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """One query: the sum of the vectors of `images` and `text` less those of `minus`.

    An image is a path, the bytes of a file, an array, a PIL image, "id:ID" for one in the collection, or "text:WORDS",
    which may end with its weight ("text:at night *0.5"). `regions` belong to `images` in order; a missing one means the
    whole image. `text`: words, added to `images` as "text:WORDS". One image or text needs no list. Raises BadQuery.
    """

    images: Sequence[ImageLike] = ()
    minus: Sequence[ImageLike] = ()
    regions: Sequence[Region] = ()
    text: Sequence[str] | str = ()

    def __post_init__(self) -> None:
        # A str is a sequence of letters, and an array one of rows: neither is a list of images.
        texts = [self.text] if isinstance(self.text, str) else self.text
        object.__setattr__(self, "images", (*image_tuple(self.images), *(f"{TEXT_PREFIX}{text}" for text in texts)))
        object.__setattr__(self, "minus", image_tuple(self.minus))
        object.__setattr__(self, "text", ())
        if not self.images:
            raise BadQuery("a query needs at least one image; name a file, '-' for stdin, id:ID, or text:WORDS")
        for image in (*self.images, *self.minus):
            parse_words(image)
        if len(self.regions) > len(self.images):
            raise BadQuery(
                f"{len(self.regions)} regions for {len(self.images)} images; give at most one region for each image"
            )
        for image, region in zip(self.images, self.regions, strict=False):
            check_region(region)
            if parse_words(image):
                raise BadQuery(f"{image_name(image)!r} has no regions; give images with regions first")

    @property
    def has_words(self) -> bool:
        """Whether a text is among what is added or subtracted."""
        return any(parse_words(image) for image in (*self.images, *self.minus))


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


def parse_words(image: ImageLike) -> Words | None:
    """Return the words in "text:WORDS" or "text:WORDS *WEIGHT", None for anything else. Raises BadQuery."""
    if not isinstance(image, str) or not image.startswith(TEXT_PREFIX):
        return None
    text, weight = image.removeprefix(TEXT_PREFIX).strip(), 1.0
    if match := _WEIGHTED.fullmatch(text):
        text, weight = match[1], float(match[2])
    if not text:
        raise BadQuery("no words follow 'text:'; write what the image shows, such as 'text:a red bicycle'")
    if not 0 < weight <= MAX_WEIGHT:
        raise BadQuery(f"the weight {weight:g} is not above 0 and at most {MAX_WEIGHT}; subtract with minus")
    return Words(text, weight)


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
    if parse_words(image):
        raise BadQuery(NO_PIXELS)
    if isinstance(image, str | Path):
        return decode(read(to_text(expanded(image)), limits), side=side, limits=limits).image
    if isinstance(image, bytes):
        return decode(image, side=side, limits=limits).image
    return to_rgb(image)


def embed_images(images: Sequence[ImageLike], embedder: Embedder, *, limits: Limits | None = None) -> Vectors:
    """Return the vectors (n, dim) of paths, bytes, arrays or PIL images. Raises ImageError for the first bad one."""
    side = decode_side(embedder.card.preprocessing)
    loaded = (load_query_image(image, side=side, limits=limits or Limits()) for image in images)
    # Fitted one by one: a list of full-size images would fill the memory.
    return embedder.embed([fit(rgb, embedder.card.preprocessing) for rgb in loaded])


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One image or text of a query: its vector (dim,), and its weight, negative if it is subtracted."""

    vector: NDArray[np.float32]
    weight: float = 1.0
    is_text: bool = False


def query_term(image: ImageLike, vector: NDArray[np.float32], sign: float = 1.0) -> QueryTerm:
    """Return the term of an image or a text with its vector (dim,). `sign`: -1 if it is subtracted."""
    words = parse_words(image)
    return QueryTerm(vector, sign * words.weight if words else sign, is_text=words is not None)


def combine(terms: Sequence[QueryTerm]) -> Vectors:
    """Return the weighted sum of the unit vectors of a query's terms, normalized (1, dim). Raises BadQuery at zero."""
    total = np.sum(np.stack([term.weight * term.vector for term in terms]), axis=0).astype(np.float32)
    if float(np.linalg.norm(total)) < 1e-3:
        raise BadQuery("the images cancel each other out; subtract an image that is not among those added")
    return normalize(total)
