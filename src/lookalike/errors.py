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
    │   ├── ShardUnavailable     no machine answers for a part of the collection
    │   └── StoreFailed          the engine failed: full disk, lost network, damaged files
    ├── UnknownId                no image in the collection has this id
    ├── BadFilter                an invalid `where` condition
    ├── BadQuery                 an invalid or empty query, or an invalid argument
    └── JournalError             a journal of file operations cannot be written, read or followed

An error carries facts, and its sentence is composed of them: `subject`, what it is about; `reason`; `hint`, what to do
about it in Python; `command`, what to type instead on the command line; `location`, the path or URI on this machine
that the subject names, which a server does not disclose.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


class LookalikeError(Exception):
    """Base class of all exceptions of Lookalike.

    `str(error)` is "subject: reason; hint". `for_command_line()` ends with the command instead of the hint;
    `without_location()` says `subject` in general terms.
    """

    general_subject = ""
    """What `without_location` calls a subject with a location."""

    def __init__(
        self, reason: str = "", *, subject: str = "", hint: str = "", command: str = "", location: str = ""
    ) -> None:
        super().__init__(reason)
        self.subject, self.reason, self.hint, self.command, self.location = subject, reason, hint, command, location

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: getattr(self, name) for name in ("subject", "hint", "command", "location")}
        return _rebuilt, (type(self), self.reason, facts, self.__dict__)

    def __str__(self) -> str:
        return self._sentence(self.subject, self.hint)

    def for_command_line(self) -> str:
        """Return the sentence with `command` as its remedy, or else the hint."""
        return self._sentence(self.subject, f"run: lookalike {self.command}" if self.command else self.hint)

    def without_location(self) -> str:
        """Return the sentence without `location`."""
        return self._sentence(self.general_subject if self.location else self.subject, self.hint)

    def _sentence(self, subject: str, hint: str) -> str:
        # "memory:" ends with a colon of its own.
        return (f"{subject.removesuffix(':')}: " if subject else "") + self.reason + (f"; {hint}" if hint else "")


def _rebuilt(
    kind: type[LookalikeError], reason: str, facts: Mapping[str, str], attributes: Mapping[str, Any]
) -> LookalikeError:
    error = kind.__new__(kind)
    LookalikeError.__init__(error, reason, **facts)
    error.__dict__.update(attributes)
    return error


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

    general_subject = "the collection"


class NoCollection(CollectionError):
    """There is no collection at this location."""


class ModelMismatch(CollectionError):
    """The collection was built with another model; scores between the two have no meaning."""


class FormatMismatch(CollectionError):
    """The collection was written by a newer Lookalike."""


class ReadOnly(CollectionError):
    """The collection is read-only."""


class ShardUnavailable(CollectionError):
    """No machine of the cluster answers for a part of the collection at present."""


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
