"""The exceptions that Lookalike raises.

    LookalikeError
    ├── ImageError               one image cannot be used
    │   ├── UnreadableImage      missing, forbidden, removed, or not an image
    │   └── ImageTooLarge        beyond the limits, by its header
    ├── SourceError              a folder, list, manifest or archive cannot be listed
    ├── ModelError               a model cannot be used
    │   ├── UnknownModel         no model has this name
    │   └── BrokenModel          missing files, wrong checksum, inconsistent shapes
    ├── CollectionError          a collection cannot be used
    │   ├── NoCollection         no collection at this location
    │   ├── ModelMismatch        built with another model
    │   ├── FormatMismatch       written by a newer Lookalike
    │   ├── ReadOnly             the collection is read-only
    │   └── StoreFailed          the engine failed: full disk, lost network, damaged files
    ├── UnknownId                no image in the collection has this id
    ├── BadFilter                an invalid `where` condition
    ├── BadQuery                 an invalid or empty query, or an invalid argument
    └── JournalError             a journal of file operations cannot be written, read or followed

Each message names the object, the reason and the remedy.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LookalikeError(Exception):
    """Base class of all exceptions of Lookalike."""


class ImageError(LookalikeError):
    """One image cannot be used."""


class UnreadableImage(ImageError):
    """The file is missing, forbidden, removed, or not an image."""


class ImageTooLarge(ImageError):
    """The image exceeds the limits; its header is checked before any pixel is decoded."""


class SourceError(LookalikeError):
    """A folder, list, manifest or archive cannot be listed."""


class ModelError(LookalikeError):
    """A model cannot be used."""


class UnknownModel(ModelError):
    """No model has this name."""


class BrokenModel(ModelError):
    """A model's files are missing, modified, or inconsistent."""


class CollectionError(LookalikeError):
    """A collection cannot be used."""


class NoCollection(CollectionError):
    """There is no collection at this location."""


class ModelMismatch(CollectionError):
    """The collection was built with another model; scores between the two have no meaning."""


class FormatMismatch(CollectionError):
    """The collection was written by a newer Lookalike."""


class ReadOnly(CollectionError):
    """The collection is read-only."""


class StoreFailed(CollectionError):
    """The storage engine failed: full disk, lost network, damaged files."""


class UnknownId(LookalikeError):
    """No image in the collection has this id."""


class BadFilter(LookalikeError):
    """A `where` condition is invalid."""


class BadQuery(LookalikeError):
    """A query or an argument is empty, invalid or impossible to fulfill."""


class JournalError(LookalikeError):
    """A journal of file operations cannot be written, read or followed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the three known names nearest to a mistyped one."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.0) if names else []
    return f"nearest: {', '.join(near)}" if near else "none is known"
