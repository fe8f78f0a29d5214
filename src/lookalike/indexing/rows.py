"""Ids and columns of the rows of a file."""

from collections.abc import Sequence

from lookalike.image import SourceFile
from lookalike.indexing.plan import manifest_columns
from lookalike.indexing.worker import Columns, EmbeddedFile
from lookalike.text import now
from lookalike.types import Scalar


def rows_of(embedded: EmbeddedFile) -> tuple[list[str], list[Columns]]:
    """The ids and the columns of the rows of an embedded file, one for each of its vectors."""
    file = embedded.job.file
    shared = embedded.photo | file_columns(file) | {"sha256": embedded.sha256, "indexed": now()}
    ids = frame_ids(embedded.job.id, [int(columns["frame"] or 0) for columns in embedded.columns])
    return ids, [shared | columns for columns in embedded.columns]


def frame_ids(base: str, frames: Sequence[int]) -> list[str]:
    """One id per frame: the first has the file's id, the others add #number."""
    return [base if n == 0 else f"{base}#{frame}" for n, frame in enumerate(frames)]


def file_columns(file: SourceFile) -> dict[str, Scalar]:
    """The columns that describe a file on disk, with those of its manifest row."""
    columns: dict[str, Scalar] = {
        "path": file.path,
        "root": file.root,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
    }
    return columns | manifest_columns(file)
