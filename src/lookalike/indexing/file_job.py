"""A file that a sync reads."""

from dataclasses import dataclass

from lookalike.image import SourceFile
from lookalike.indexing.known_files import KnownFile


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file to read: new or changed."""

    file: SourceFile
    id: str
    known: KnownFile | None = None
