"""Local features of a collection's images, from their thumbnails, and of files."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lookalike.errors import ImageError
from lookalike.image import Limits, decode, read
from lookalike.image.sources.web import is_web
from lookalike.relate.geometry.features import SIDE, Features, find_features, preview_features
from lookalike.search import Collection
from lookalike.types import RGB, Row

Loader = Callable[[int], RGB | None]
_COLUMNS = ("thumbnail", "width", "height", "path", "frame")


def features_of(photos: Collection, ids: Sequence[str]) -> list[Features | None]:
    """Return features of images, from their thumbnails; None for an unknown id or an unavailable image.

    If there is no thumbnail, the file is read. Nothing is stored in the collection.
    """
    unique_ids = list(dict.fromkeys(ids))
    columns = [name for name in _COLUMNS if name in photos.store.columns()]
    rows = photos.get(unique_ids, columns)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        features_by_id = dict(zip(unique_ids, pool.map(partial(_features_of_row, photos), rows), strict=True))
    return [features_by_id[i] for i in ids]


def loader_of(photos: Collection, row: Row | None) -> Loader | None:
    """Return a function that reads an image's file at about a given side; None if the row has no path, or a URL.

    The function returns None if the file is unavailable. `row` has the columns "path" and "frame".
    """
    path = None if row is None else row.metadata.get("path")
    if row is None or not isinstance(path, str) or is_web(path):  # a look at a hit must not send requests
        return None
    frame = row.metadata.get("frame")
    return file_loader(path, frame if isinstance(frame, int) else 0, photos.limits)


def file_loader(path: str, frame: int = 0, limits: Limits | None = None) -> Loader:
    """Return a function that reads an image file at about a given side, and returns None if it cannot be read."""
    limits_used = limits or Limits()

    def load(side: int) -> RGB | None:
        try:
            return decode(read(path, limits_used), side=side, frame=frame, limits=limits_used).image
        except ImageError:
            return None

    return load


def bytes_loader(data: bytes, limits: Limits | None = None) -> Loader:
    """Return a function that decodes an image file's bytes at about a given side."""
    limits_used = limits or Limits()
    return lambda side: decode(data, side=side, limits=limits_used).image


def features_of_file(path: str, limits: Limits | None = None) -> Features:
    """Return the features of an image file. Raises ImageError."""
    limits_used = limits or Limits()
    return features_of_bytes(read(path, limits_used), limits_used)


def features_of_bytes(data: bytes, limits: Limits | None = None, *, frame: int = 0) -> Features:
    """Return the features of an image file's bytes. Raises ImageError."""
    decoded = decode(data, side=SIDE, frame=frame, limits=limits or Limits())
    return find_features(decoded.image, size=(decoded.width, decoded.height))


def stored_features(
    thumbnail: bytes | None, size: tuple[int, int], load: Loader | None, limits: Limits | None = None
) -> Features | None:
    """Return the features of an image of (width, height), from its thumbnail or else its file; None without either."""
    if thumbnail is not None:
        image = decode(thumbnail, limits=limits or Limits()).image
        return preview_features(image, size if min(size) > 0 else (image.shape[1], image.shape[0]))
    loaded = None if load is None else load(SIDE)
    return None if loaded is None else find_features(loaded)


def _features_of_row(photos: Collection, row: Row | None) -> Features | None:
    if row is None:
        return None
    jpeg = row.metadata.get("thumbnail")
    width, height = (row.metadata.get(name) for name in ("width", "height"))
    size = (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)
    return stored_features(jpeg if isinstance(jpeg, bytes) else None, size, loader_of(photos, row), photos.limits)
