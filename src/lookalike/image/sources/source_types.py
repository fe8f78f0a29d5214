"""Results of listing sources, and the file names that count as images."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.image.decoding.formats import EXTENSIONS, RAW_EXTENSIONS
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_text
from lookalike.image.sources.system_folders import is_system_folder
from lookalike.types import Scalar


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An image file of a source, not opened yet.

    `path`: text form, absolute; an archive member is "/abs/a.zip!/inner/x.jpg". `root`: the folder, manifest or archive
    that contains it. `name`: the path relative to root, with slashes. `size`: bytes. `mtime_ns`: since 1970. Only
    manifests set `id`, `label` and `metadata`.
    """

    path: str
    root: str
    name: str
    size: int
    mtime_ns: int
    id: str | None = None
    label: str | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotListed:
    """An entry that cannot be listed, and why: an unreadable folder, a manifest row without a file."""

    path: str
    reason: str


@dataclass(slots=True)
class SkippedFiles:
    """Files that a walk over folders skips on purpose, for a summary.

    `raw_files`: the number of camera raw files by folder (device, inode), so that overlapping sources count each once.
    `libraries`: paths of photo libraries, in text form.
    """

    raw_files: dict[tuple[int, int], int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def source_file(path: str, root: str) -> SourceFile | NotListed:
    """Return a file named by the user, whatever its extension. `path` and `root`: for the operating system."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return NotListed(to_text(path), os_reason(error))
    if not stat.S_ISREG(status.st_mode):
        return NotListed(to_text(path), "is a folder, a pipe or a device, not a file")
    text, root_text = to_text(path), to_text(root)
    name = text[len(root_text) :].lstrip(os.sep) if text.startswith(os.path.join(root_text, "")) else text
    return SourceFile(text, root_text, name.replace(os.sep, "/"), status.st_size, status.st_mtime_ns)


def is_candidate(name: str) -> bool:
    """Return whether a file name in a folder or archive has an image extension and is not hidden."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in EXTENSIONS and "." in name


def is_raw_name(name: str) -> bool:
    """Return whether a file name has a camera raw extension and is not hidden."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in RAW_EXTENSIONS and "." in name


def is_hidden(name: str) -> bool:
    """Return whether a folder name is hidden or a system folder (.git, @eaDir, $RECYCLE.BIN, __MACOSX)."""
    return name.startswith(".") or is_system_folder(name)
