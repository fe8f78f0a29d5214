"""Find image files in folders, manifests, archives, lists and globs, without opening the images."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lookalike.errors import SourceError
from lookalike.image.sources.archive import ARCHIVES, find_members
from lookalike.image.sources.manifest import WEB_ADDRESS, find_rows, named_file
from lookalike.image.sources.object_store import find_objects, has_objects, is_object, object_state, object_uri
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_path, to_text
from lookalike.image.sources.source_types import (
    NotListed,
    SkippedFiles,
    SourceFile,
    is_candidate,
    is_hidden,
    is_raw_name,
    source_file,
)
from lookalike.image.sources.system_folders import LIBRARY_ORIGINALS, is_system_folder, system_folder_kind

MANIFESTS = (".csv", ".tsv", ".parquet")


def find(
    sources: Iterable[str | Path],
    *,
    follow_links: bool = True,
    report_missing: bool = False,
    skipped: SkippedFiles | None = None,
) -> Iterator[SourceFile | NotListed]:
    """List the image files of folders, files, globs, manifests and archives, in a repeatable order.

    Every source is checked before the first file is listed. A source that does not exist raises SourceError or, with
    `report_missing`, yields a NotListed. Failures below a source yield NotListed among the files. Files that folders
    contain but the walk skips on purpose are recorded in `skipped`.
    """
    resolved = [_Source.resolve(source) for source in sources]
    if not report_missing:
        for source in resolved:
            if source.kind == "missing":
                raise SourceError(f"{source.text}: {_missing(source.path)}")
    return _list(resolved, SkippedFiles() if skipped is None else skipped, follow_links=follow_links)


def read_list(stream: BinaryIO) -> Iterator[str]:
    """Read paths from a stream such as stdin, separated by newlines, or by NUL if there is one (find -print0)."""
    read = getattr(stream, "read1", stream.read)
    rest, separator = b"", b""
    while chunk := read(1 << 16):
        rest += chunk
        separator = separator or (b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b"")
        if separator:
            *lines, rest = rest.split(separator)
            yield from _decode_names(lines, separator)
    yield from _decode_names([rest], separator)


def _decode_names(lines: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for line in lines:
        name = line if separator == b"\0" else line.removesuffix(b"\r")
        if name.strip():
            yield os.fsdecode(name)


@dataclass(frozen=True, slots=True)
class _Source:
    """A resolved source: its kind and path."""

    kind: str  # folder, objects, file, manifest, archive, glob, special or missing
    path: str

    @property
    def text(self) -> str:
        return self.path if is_object(self.path) else to_text(self.path)

    @classmethod
    def resolve(cls, source: str | Path) -> "_Source":
        if is_object(name := os.fsdecode(source)):
            return cls(_object_kind(uri := object_uri(name)), uri)
        name = os.path.expanduser(name)
        for path in (name, to_path(name)):  # the caller may pass a source's text form
            status = _status(os.path.abspath(path))
            if status is not None:
                return cls(_kind(path, status), os.path.abspath(path))
        if glob.has_magic(name) and next(glob.iglob(name, recursive=True), None) is not None:
            return cls("glob", name)
        return cls("missing", name)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except PermissionError as error:
        raise SourceError(f"{to_text(path)}: {os_reason(error)}; make it readable, or name another folder") from error
    except (OSError, ValueError):
        return None


def _kind(path: str, status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    if not stat.S_ISREG(status.st_mode):
        return "special"
    return _kind_by_name(path)


def _kind_by_name(path: str) -> str:
    lower = path.lower()
    return "manifest" if lower.endswith(MANIFESTS) else "archive" if lower.endswith(ARCHIVES) else "file"


def _object_kind(uri: str) -> str:
    if object_state(uri) is not None:
        return _kind_by_name(uri)
    return "objects" if has_objects(uri) else "missing"


def _list(sources: Iterable[_Source], skipped: SkippedFiles, *, follow_links: bool) -> Iterator[SourceFile | NotListed]:
    for source in sources:
        match source.kind:
            case "folder":
                yield from _Walk(source.path, skipped, follow_links=follow_links).run()
            case "objects":
                yield from find_objects(source.path, skipped)
            case "manifest":
                yield from find_rows(source.text)
            case "archive":
                yield from find_members(source.text)
            case "glob":
                yield from _expand_glob(source.path, skipped, follow_links=follow_links)
            case "file":
                yield named_file(source.text)
            case "special":
                yield NotListed(source.text, "is a pipe or a device, not a file")
            case _:
                yield NotListed(source.text, _missing(source.path).partition(";")[0])


def _missing(path: str) -> str:
    if is_object(path):
        return "no such object, and none below it; check the spelling and that its credentials see the bucket"
    if WEB_ADDRESS.match(path):
        return "is a web address; put addresses into a table with a column url, and name the table"
    return "no such file or folder; check the spelling and that the drive is connected"


def _expand_glob(pattern: str, skipped: SkippedFiles, *, follow_links: bool) -> Iterator[SourceFile | NotListed]:
    """List matched files (of a known extension, unless the pattern names one) and, without "**", matched folders.

    A system folder is matched only by its own name, not by a wildcard.
    """
    absolute = os.path.abspath(pattern)
    fixed = absolute[: min(absolute.find(sign) for sign in "*?[" if sign in absolute)]
    root = fixed if os.path.isdir(fixed) and fixed.endswith(os.sep) else os.path.dirname(fixed)
    root = root.rstrip(os.sep) or root
    has_extension = glob.has_magic(absolute) and not glob.has_magic(os.path.splitext(absolute)[1] or "*")
    named = set(absolute.split(os.sep))
    for path in sorted(glob.iglob(absolute, recursive=True)):
        folder = os.path.isdir(path)
        names = path[len(root) :].split(os.sep)[: None if folder else -1]
        if any(is_system_folder(name) and name not in named for name in names):
            continue
        if folder:
            if "**" not in pattern:
                yield from _Walk(path, skipped, follow_links=follow_links).run()
        elif has_extension or is_candidate(os.path.basename(path)):
            yield source_file(path, root)


class _Walk:
    """A walk over a folder and its subfolders: files in order, then links to files not listed yet."""

    def __init__(self, root: str, skipped: SkippedFiles, *, follow_links: bool) -> None:
        self.root = root
        self.text = to_text(root)
        self.follow_links = follow_links
        self.skipped = skipped
        self.folders: set[tuple[int, int]] = set()  # (device, inode), to end loops of links
        self.files: set[tuple[int, int]] = set()  # (device, inode) of linked files only, to bound memory
        self.linked_folders: list[str] = []
        self.linked_files: list[str] = []

    def run(self) -> Iterator[SourceFile | NotListed]:
        yield from self._folder(self.root)
        while self.linked_folders:
            yield from self._folder(self.linked_folders.pop(0))
        for path in self.linked_files:
            yield from self._linked_file(path)

    def _folder(self, top: str) -> Iterator[SourceFile | NotListed]:
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in self.folders:
                    continue
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except FileNotFoundError:
                continue  # removed after it was listed
            except OSError as error:
                yield self._refused(folder, error)
                continue
            identity = (status.st_dev, status.st_ino)
            self.folders.add(identity)
            if system_folder_kind(os.path.basename(folder)) == "library":  # the library itself is a source
                entries = [entry for entry in entries if entry.name.lower() in LIBRARY_ORIGINALS]
            below: list[str] = []
            yield from self._entries(entries, below)
            pending.extend(reversed(below))
            if raw := sum(is_raw_name(entry.name) for entry in entries):
                self.skipped.raw_files[identity] = raw

    def _refused(self, folder: str, error: OSError) -> NotListed:
        if folder == self.root:
            raise SourceError(f"{self.text}: {os_reason(error)}; make it readable, or name another folder") from error
        return NotListed(to_text(folder), os_reason(error))

    def _entries(self, entries: "list[os.DirEntry[str]]", below: list[str]) -> Iterator[SourceFile | NotListed]:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_symlink():
                    yield from self._link(entry)
                elif entry.is_dir():
                    self._add_folder(entry, below)
                elif is_candidate(entry.name) and entry.is_file():
                    status = entry.stat()
                    yield self._source_file(entry.path, status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                continue  # removed during the walk
            except OSError as error:
                yield NotListed(to_text(entry.path), os_reason(error))

    def _add_folder(self, entry: "os.DirEntry[str]", below: list[str]) -> None:
        """Add a folder to those to walk, unless it belongs to the system or a program."""
        if not is_hidden(entry.name):
            below.append(entry.path)
        elif (
            system_folder_kind(entry.name) == "library" and (text := to_text(entry.path)) not in self.skipped.libraries
        ):
            self.skipped.libraries.append(text)

    def _link(self, entry: "os.DirEntry[str]") -> Iterator[NotListed]:
        if not self.follow_links:
            return
        if entry.is_dir():
            self._add_folder(entry, self.linked_folders)
        elif entry.is_file() and is_candidate(entry.name):
            self.linked_files.append(entry.path)
        elif is_candidate(entry.name) and not os.path.exists(entry.path):
            yield NotListed(to_text(entry.path), "is a link to a missing file")

    def _linked_file(self, path: str) -> Iterator[SourceFile]:
        """List a linked file, unless the file itself or another link to it is listed."""
        try:
            status = os.stat(path)
            target = os.path.realpath(path)
            folder = os.stat(os.path.dirname(target))
        except OSError:
            return
        inside = (folder.st_dev, folder.st_ino) in self.folders and is_candidate(os.path.basename(target))
        if not inside and (status.st_dev, status.st_ino) not in self.files:
            self.files.add((status.st_dev, status.st_ino))
            yield self._source_file(path, status.st_size, status.st_mtime_ns)

    def _source_file(self, path: str, size: int, mtime_ns: int) -> SourceFile:
        text = to_text(path)
        name = text[len(self.text) :].lstrip(os.sep)
        return SourceFile(text, self.text, name.replace(os.sep, "/") if os.sep != "/" else name, size, mtime_ns)
