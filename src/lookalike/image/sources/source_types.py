"""What a search for picture files gives, and which names it takes for pictures."""

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
class Found:
    """A picture file found, not opened yet.

    `path`: text form, absolute; an archive's member is "/abs/a.zip!/inner/x.jpg". `root`: the folder, manifest or
    archive it was found under. `name`: the path relative to root, with slashes. `size` in bytes. `mtime_ns` since 1970.
    Only manifests give `id`, `label` and `metadata`.
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
    """What could not be listed, and why: a folder that may not be read, a manifest's row that names no file."""

    path: str
    reason: str


@dataclass(slots=True)
class SkippedFiles:
    """What a walk over folders leaves out on purpose, for whoever wants to tell it.

    `raw_files`: camera raw files by folder (device, inode), so that sources that overlap count each once. `libraries`:
    paths of photo libraries, in text form.
    """

    raw_files: dict[tuple[int, int], int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def found_file(path: str, root: str) -> Found | NotListed:
    """One file named by the user, whatever its extension. `path` and `root` as the operating system takes them."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return NotListed(to_text(path), os_reason(error))
    if not stat.S_ISREG(status.st_mode):
        return NotListed(to_text(path), "is a folder, a pipe or a device, not a file")
    text, under = to_text(path), to_text(root)
    name = text[len(under) :].lstrip(os.sep) if text.startswith(os.path.join(under, "")) else text
    return Found(text, under, name.replace(os.sep, "/"), status.st_size, status.st_mtime_ns)


def is_candidate(name: str) -> bool:
    """Whether a file of this name, met in a folder or an archive, is a picture by its extension and not hidden."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in EXTENSIONS and "." in name


def is_raw_name(name: str) -> bool:
    """Whether a file of this name is a camera's raw file by its extension, and not hidden."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in RAW_EXTENSIONS and "." in name


def is_hidden(name: str) -> bool:
    """Whether a folder is one that people do not put their pictures in (.git, @eaDir, $RECYCLE.BIN, __MACOSX)."""
    return name.startswith(".") or is_system_folder(name)
