"""A file that a sync reads."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from lookalike.image import SourceFile
from lookalike.indexing.known_files import KnownFile


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file to read: new or changed.

    `new_id`: no image has the id, so that its rows can be appended. `content`: its bytes, where they are being read.
    `sha256`: the content that it must have, "" for any.
    """

    file: SourceFile
    id: str
    known: KnownFile | None = None
    new_id: bool = False
    content: Future[bytes] | None = field(default=None, compare=False, repr=False)
    sha256: str = ""
