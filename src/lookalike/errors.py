"""Everything that Lookalike raises on purpose.

    LookalikeError
    ├── ImageError               one picture cannot be used
    │   ├── UnreadableImage      missing, forbidden, vanished, or not a picture
    │   └── ImageTooLarge        beyond the limits, told by its header
    ├── SourceError              a folder, list, manifest or archive cannot be listed
    ├── ModelError               a model cannot be used
    │   ├── UnknownModel         no model of that name
    │   └── BrokenModel          files missing, checksum wrong, shapes that do not fit
    ├── CollectionError          a collection cannot be used
    │   ├── NoCollection         there is none at that place
    │   ├── ModelMismatch        made by another model
    │   ├── FormatMismatch       written by a newer Lookalike
    │   ├── ReadOnly             may not be written to
    │   └── StoreFailed          the engine failed: disk full, network gone, files damaged
    ├── UnknownId                no image of that id in the collection
    ├── BadFilter                a `where` that cannot be understood
    ├── BadQuery                 a query that asks for nothing, or for the impossible
    └── JournalError             what was done to files cannot be noted, or a journal cannot be followed

Each message names the thing, the reason and the way out.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LookalikeError(Exception):
    """The root of the tree: catch this to catch all of it."""


class ImageError(LookalikeError):
    """One picture cannot be used."""


class UnreadableImage(ImageError):
    """The file is missing, forbidden, vanished, or not a picture."""


class ImageTooLarge(ImageError):
    """The picture is beyond the limits, which its header tells before a pixel is decoded."""


class SourceError(LookalikeError):
    """A folder, list, manifest or archive cannot be listed."""


class ModelError(LookalikeError):
    """A model cannot be used."""


class UnknownModel(ModelError):
    """No model of that name."""


class BrokenModel(ModelError):
    """A model's files are missing, altered, or do not fit each other."""


class CollectionError(LookalikeError):
    """A collection cannot be used."""


class NoCollection(CollectionError):
    """There is no collection at that place."""


class ModelMismatch(CollectionError):
    """The collection was made by another model: scores between the two mean nothing."""


class FormatMismatch(CollectionError):
    """The collection was written by a newer Lookalike."""


class ReadOnly(CollectionError):
    """The collection may not be written to."""


class StoreFailed(CollectionError):
    """The storage engine failed: disk full, network gone, files damaged."""


class UnknownId(LookalikeError):
    """No image of that id in the collection."""


class BadFilter(LookalikeError):
    """A `where` that cannot be understood."""


class BadQuery(LookalikeError):
    """A query that asks for nothing, or for the impossible."""


class JournalError(LookalikeError):
    """What is done to files cannot be noted, or a journal cannot be read or followed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the three known names nearest to a mistyped one."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.0) if names else []
    return f"nearest: {', '.join(near)}" if near else "none is known"
