"""Find picture files in folders, manifests, archives, lists and globs, without opening any of the pictures."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lookalike.errors import SourceError
from lookalike.image.sources.archive import find_members
from lookalike.image.sources.manifest import find_rows
from lookalike.image.sources.os_errors import os_reason
from lookalike.image.sources.path_text import to_path, to_text
from lookalike.image.sources.source_types import (
    Found,
    NotListed,
    SkippedFiles,
    found_file,
    is_candidate,
    is_hidden,
    is_raw_name,
)
from lookalike.image.sources.system_folders import LIBRARY_ORIGINALS, is_system_folder, system_folder_kind

MANIFESTS = (".csv", ".tsv", ".parquet")
ARCHIVES = (".zip", ".cbz", ".tar", ".tgz", ".tbz2", ".txz", ".cbt", ".tar.gz", ".tar.bz2", ".tar.xz")


def find(
    sources: Iterable[str | Path],
    *,
    follow_links: bool = True,
    report_missing: bool = False,
    skipped: SkippedFiles | None = None,
) -> Iterator[Found | NotListed]:
    """List the picture files of folders, files, globs, manifests and archives, in a repeatable order.

    Every source is checked before the first file is listed. A source that does not exist raises SourceError, or is
    listed as NotListed with `report_missing`. What goes wrong below a source is a NotListed among the files.
    `skipped` is told what folders hold that is left out on purpose.
    """
    places = [_Place.of(source) for source in sources]
    if not report_missing:
        for place in places:
            if place.kind == "missing":
                raise SourceError(
                    f"{place.text}: no such file or folder; check the spelling and that the drive is there"
                )
    return _listed(places, SkippedFiles() if skipped is None else skipped, follow_links=follow_links)


def read_list(stream: BinaryIO) -> Iterator[str]:
    """Paths from a stream such as stdin, separated by newlines or, where there is one, by NUL (find -print0)."""
    read = getattr(stream, "read1", stream.read)
    rest, separator = b"", b""
    while chunk := read(1 << 16):
        rest += chunk
        separator = separator or (b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b"")
        if separator:
            *lines, rest = rest.split(separator)
            yield from _named(lines, separator)
    yield from _named([rest], separator)


def _named(lines: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for line in lines:
        name = line if separator == b"\0" else line.removesuffix(b"\r")
        if name.strip():
            yield os.fsdecode(name)


@dataclass(frozen=True, slots=True)
class _Place:
    """One source, understood: what kind it is, and where."""

    kind: str  # folder, file, manifest, archive, glob, special or missing
    path: str

    @property
    def text(self) -> str:
        return to_text(self.path)

    @classmethod
    def of(cls, source: str | Path) -> "_Place":
        given = os.path.expanduser(os.fsdecode(source))
        for path in (given, to_path(given)):  # a source may come back in its text form
            status = _status(os.path.abspath(path))
            if status is not None:
                return cls(_kind(path, status), os.path.abspath(path))
        if glob.has_magic(given) and next(glob.iglob(given, recursive=True), None) is not None:
            return cls("glob", given)
        return cls("missing", given)


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
    lower = path.lower()
    return "manifest" if lower.endswith(MANIFESTS) else "archive" if lower.endswith(ARCHIVES) else "file"


def _listed(places: Iterable[_Place], skipped: SkippedFiles, *, follow_links: bool) -> Iterator[Found | NotListed]:
    for place in places:
        match place.kind:
            case "folder":
                yield from _Walk(place.path, skipped, follow_links=follow_links).run()
            case "manifest":
                yield from find_rows(place.path)
            case "archive":
                yield from find_members(place.path)
            case "glob":
                yield from _globbed(place.path, skipped, follow_links=follow_links)
            case "file":
                yield found_file(place.path, os.path.dirname(place.path))
            case "special":
                yield NotListed(place.text, "is a pipe or a device, not a file")
            case _:
                yield NotListed(place.text, "no such file or folder")


def _globbed(pattern: str, skipped: SkippedFiles, *, follow_links: bool) -> Iterator[Found | NotListed]:
    """Matched files (of a known extension, unless the pattern spells one out) and, without "**", matched folders.

    A system folder is matched only by its own name, not by a wildcard.
    """
    absolute = os.path.abspath(pattern)
    fixed = absolute[: min(absolute.find(sign) for sign in "*?[" if sign in absolute)]
    root = fixed if os.path.isdir(fixed) and fixed.endswith(os.sep) else os.path.dirname(fixed)
    root = root.rstrip(os.sep) or root
    spelled_out = glob.has_magic(absolute) and not glob.has_magic(os.path.splitext(absolute)[1] or "*")
    named = set(absolute.split(os.sep))
    for path in sorted(glob.iglob(absolute, recursive=True)):
        folder = os.path.isdir(path)
        names = path[len(root) :].split(os.sep)[: None if folder else -1]
        if any(is_system_folder(name) and name not in named for name in names):
            continue
        if folder:
            if "**" not in pattern:
                yield from _Walk(path, skipped, follow_links=follow_links).run()
        elif spelled_out or is_candidate(os.path.basename(path)):
            yield found_file(path, root)


class _Walk:
    """One folder and all below it. Real files first, in order; links last, if they lead to anything new."""

    def __init__(self, root: str, skipped: SkippedFiles, *, follow_links: bool) -> None:
        self.root = root
        self.text = to_text(root)
        self.follow_links = follow_links
        self.skipped = skipped
        self.folders: set[tuple[int, int]] = set()  # (device, inode): a loop of links ends here
        self.files: set[tuple[int, int]] = set()  # of linked files only, so that memory stays flat
        self.linked_folders: list[str] = []
        self.linked_files: list[str] = []

    def run(self) -> Iterator[Found | NotListed]:
        yield from self._folder(self.root)
        while self.linked_folders:
            yield from self._folder(self.linked_folders.pop(0))
        for path in self.linked_files:
            yield from self._linked_file(path)

    def _folder(self, top: str) -> Iterator[Found | NotListed]:
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
                continue  # gone between the listing and now
            except OSError as error:
                yield self._refused(folder, error)
                continue
            identity = (status.st_dev, status.st_ino)
            self.folders.add(identity)
            if system_folder_kind(os.path.basename(folder)) == "library":  # named as a source
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

    def _entries(self, entries: "list[os.DirEntry[str]]", below: list[str]) -> Iterator[Found | NotListed]:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_symlink():
                    yield from self._link(entry)
                elif entry.is_dir():
                    self._below(entry, below)
                elif is_candidate(entry.name) and entry.is_file():
                    status = entry.stat()
                    yield self._found(entry.path, status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                continue  # a file may vanish while we list
            except OSError as error:
                yield NotListed(to_text(entry.path), os_reason(error))

    def _below(self, entry: "os.DirEntry[str]", below: list[str]) -> None:
        """A folder to be walked; one of a system's or a program's own files is passed by."""
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
            self._below(entry, self.linked_folders)
        elif entry.is_file() and is_candidate(entry.name):
            self.linked_files.append(entry.path)
        elif is_candidate(entry.name) and not os.path.exists(entry.path):
            yield NotListed(to_text(entry.path), "is a link that leads nowhere")

    def _linked_file(self, path: str) -> Iterator[Found]:
        """A link to a file, unless the file itself was listed, or another link to it."""
        try:
            status = os.stat(path)
            target = os.path.realpath(path)
            folder = os.stat(os.path.dirname(target))
        except OSError:
            return
        inside = (folder.st_dev, folder.st_ino) in self.folders and is_candidate(os.path.basename(target))
        if not inside and (status.st_dev, status.st_ino) not in self.files:
            self.files.add((status.st_dev, status.st_ino))
            yield self._found(path, status.st_size, status.st_mtime_ns)

    def _found(self, path: str, size: int, mtime_ns: int) -> Found:
        text = to_text(path)
        name = text[len(self.text) :].lstrip(os.sep)
        return Found(text, self.text, name.replace(os.sep, "/") if os.sep != "/" else name, size, mtime_ns)
