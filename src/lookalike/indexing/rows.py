"""Ids and columns of the rows of a file."""

from collections.abc import Sequence

from lookalike.image import SourceFile
from lookalike.indexing.plan import manifest_columns
from lookalike.text import now
from lookalike.types import Scalar


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


def indexed_columns(file: SourceFile, sha256: str) -> dict[str, Scalar]:
    """The columns of a file that was just read; `image_columns` adds those of each image."""
    return file_columns(file) | {"sha256": sha256, "indexed": now()}
