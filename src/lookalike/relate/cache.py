"""Local features of a collection's images, found once and kept in the collection beside the vectors."""

from collections.abc import Sequence

from lookalike.errors import ImageError, ReadOnly
from lookalike.image import Limits, decode, read
from lookalike.relate.features import SIDE, Features, find_features, readable
from lookalike.search import Collection
from lookalike.types import Row

COLUMN = "features"  # bytes, about 85 kB an image; a changed file is a new row, so that they go with the old pixels
_COMMIT = 256


def features_of(photos: Collection, ids: Sequence[str], *, keep: bool = True) -> list[Features | None]:
    """Features of images, read from the collection or found in their files; None for an unknown id or a lost picture.

    New ones are kept in the collection, unless `keep` is false or it is open for reading only. Where the file is out
    of reach, the thumbnail serves.
    """
    wanted = list(dict.fromkeys(ids))
    rows: dict[str, Features | None] = {}
    for start in range(0, len(wanted), _COMMIT):
        part = wanted[start : start + _COMMIT]
        rows.update(zip(part, _of_rows(photos, part, keep=keep), strict=True))
    return [rows[i] for i in ids]


def features_of_file(path: str, limits: Limits | None = None) -> Features:
    """Features of a picture file. Raises ImageError."""
    used = limits or Limits()
    return features_of_bytes(read(path, used), used)


def features_of_bytes(data: bytes, limits: Limits | None = None, *, frame: int = 0) -> Features:
    """Features of a picture file's bytes. Raises ImageError."""
    picture = decode(data, side=SIDE, frame=frame, limits=limits or Limits())
    return find_features(picture.image, size=(picture.width, picture.height))


def _of_rows(photos: Collection, ids: Sequence[str], *, keep: bool) -> list[Features | None]:
    columns = [name for name in (COLUMN, "path", "frame", "thumbnail") if name in photos.store.columns()]
    found: list[Features | None] = []
    fresh: dict[str, bytes] = {}
    for row in photos.get(ids, columns):
        kept = row.metadata.get(COLUMN) if row else None
        if isinstance(kept, bytes) and readable(kept):
            found.append(Features.from_bytes(kept))
            continue
        features, whole = _fresh(photos, row) if row else (None, False)
        if row and features and whole:
            fresh[row.id] = features.to_bytes()
        found.append(features)
    if fresh and keep:
        _store(photos, fresh)
    return found


def _fresh(photos: Collection, row: Row) -> tuple[Features | None, bool]:
    """Features of the file, or else of the thumbnail; and whether it was the file."""
    path, frame = row.metadata.get("path"), row.metadata.get("frame")
    if isinstance(path, str):
        try:
            number = int(frame) if isinstance(frame, int) else 0
            return features_of_bytes(read(path, photos.limits), photos.limits, frame=number), True
        except ImageError:
            pass  # an unplugged drive: the thumbnail is better than nothing
    jpeg = row.metadata.get("thumbnail")
    if isinstance(jpeg, bytes):
        return features_of_bytes(jpeg, photos.limits), not isinstance(path, str)
    return None, False


def _store(photos: Collection, fresh: dict[str, bytes]) -> None:
    try:
        photos.store.update(list(fresh), [{COLUMN: data} for data in fresh.values()])
    except ReadOnly:
        return  # they are found again next time
