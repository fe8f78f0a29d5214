"""Local features of a collection's images, from the thumbnails that it keeps; of files, from the files."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lookalike.errors import ImageError
from lookalike.image import Limits, decode, read
from lookalike.relate.geometry.features import SIDE, Features, find_features, preview_features
from lookalike.search import Collection
from lookalike.types import RGB, Row

Loader = Callable[[int], RGB | None]
_COLUMNS = ("thumbnail", "width", "height", "path", "frame")


def features_of(photos: Collection, ids: Sequence[str]) -> list[Features | None]:
    """Features of images by their thumbnails; None for an unknown id or a lost picture.

    Where there is no thumbnail the file is read. Nothing is kept in the collection.
    """
    wanted = list(dict.fromkeys(ids))
    columns = [name for name in _COLUMNS if name in photos.store.columns()]
    rows = photos.get(wanted, columns)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = dict(zip(wanted, pool.map(partial(_of_row, photos), rows), strict=True))
    return [found[i] for i in ids]


def loader_of(photos: Collection, row: Row | None) -> Loader | None:
    """What reads an image's picture at about a side, from its file: None where the file is out of reach.

    `row` has the columns "path" and "frame".
    """
    path = None if row is None else row.metadata.get("path")
    if row is None or not isinstance(path, str):
        return None
    frame = row.metadata.get("frame")
    return file_loader(path, frame if isinstance(frame, int) else 0, photos.limits)


def file_loader(path: str, frame: int = 0, limits: Limits | None = None) -> Loader:
    """What reads a file's picture at about a side; None where it cannot be read now."""
    used = limits or Limits()

    def load(side: int) -> RGB | None:
        try:
            return decode(read(path, used), side=side, frame=frame, limits=used).image
        except ImageError:
            return None

    return load


def bytes_loader(data: bytes, limits: Limits | None = None) -> Loader:
    """The same for a file's bytes."""
    used = limits or Limits()
    return lambda side: decode(data, side=side, limits=used).image


def features_of_file(path: str, limits: Limits | None = None) -> Features:
    """Features of a picture file. Raises ImageError."""
    used = limits or Limits()
    return features_of_bytes(read(path, used), used)


def features_of_bytes(data: bytes, limits: Limits | None = None, *, frame: int = 0) -> Features:
    """Features of a picture file's bytes. Raises ImageError."""
    picture = decode(data, side=SIDE, frame=frame, limits=limits or Limits())
    return find_features(picture.image, size=(picture.width, picture.height))


def stored_features(
    thumbnail: bytes | None, size: tuple[int, int], load: Loader | None, limits: Limits | None = None
) -> Features | None:
    """Features of an image of (width, height) by its thumbnail, else by its file; None where both are out of reach."""
    if thumbnail is not None:
        image = decode(thumbnail, limits=limits or Limits()).image
        return preview_features(image, size if min(size) > 0 else (image.shape[1], image.shape[0]))
    picture = None if load is None else load(SIDE)
    return None if picture is None else find_features(picture)


def _of_row(photos: Collection, row: Row | None) -> Features | None:
    if row is None:
        return None
    jpeg = row.metadata.get("thumbnail")
    width, height = (row.metadata.get(name) for name in ("width", "height"))
    size = (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)
    return stored_features(jpeg if isinstance(jpeg, bytes) else None, size, loader_of(photos, row), photos.limits)
