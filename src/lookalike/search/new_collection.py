"""Open a collection to index into. A new one leaves nothing behind if nothing could be indexed."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookalike.errors import LookalikeError
from lookalike.image import Limits, absolute_text
from lookalike.search.collection import Collection, open_collection
from lookalike.search.default_location import default_uri
from lookalike.store import delete_store
from lookalike.text import expanded
from lookalike.types import Embedder


@contextmanager
def open_to_index(
    uri: str | Path | None,
    sources: Iterable[str | Path],
    *,
    model: str | Path | Embedder | None = None,
    limits: Limits | None = None,
) -> Iterator[Collection]:
    """Open a collection, or create it for `sources`.

    A collection created here is removed again, with the folders created for it, if it holds no image when the block
    ends with an error, or when it follows no source either. One in an object store stays.
    """
    location = default_uri() if uri is None else uri
    folder = _new_folder(location)
    missing = [] if folder is None else [path for path in (folder, *folder.parents) if not path.exists()]
    unused = False
    try:
        with open_collection(location, model=model, limits=limits) as photos:
            try:
                yield photos
            except BaseException:
                with suppress(LookalikeError):
                    # A root of another source means that another process indexes into it as well.
                    unused = not len(photos) and _roots(photos) <= set(map(absolute_text, sources))
                raise
            unused = not len(photos) and not _roots(photos)
    finally:
        if unused and folder is not None:
            delete_store(str(folder))
            for path in missing:
                with suppress(OSError):  # something else lies in it
                    path.rmdir()


def _roots(photos: Collection) -> set[str]:
    return {root.path for root in photos.roots()}


def _new_folder(location: str | Path) -> Path | None:
    """Return the folder in which a collection will be created; None if something is there, or if it is no folder."""
    if "://" in str(location) or str(location) == "memory:":
        return None
    folder = Path(os.path.abspath(expanded(location)))
    try:
        is_free = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
    except OSError:
        return None
    return folder if is_free else None
