"""The plan of a sync: the files on disk compared with the indexed ones, without opening any."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from lookalike import schema
from lookalike._version import __version__
from lookalike.errors import SourceError
from lookalike.image import NotListed, SkippedFiles, SourceFile, find, is_hidden, to_path, to_text
from lookalike.indexing.roots import Kind, Root, ensure_root, load_roots
from lookalike.text import now
from lookalike.types import Failure, Metadata, Scalar, Store

FAILURES = schema.FAILURES.name
STAMP_PREFIX = schema.STAMP.name.format(path="")


@dataclass(slots=True)
class KnownFile:
    """An indexed file; an animation has several ids.

    `root`: the root that lists it; "" for a file that was named by itself, None for one that a program added.
    """

    ids: list[str]
    root: str | None
    size: int
    mtime_ns: int
    frames: int


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file to read: new or changed."""

    file: SourceFile
    id: str
    known: KnownFile | None = None


@dataclass(slots=True, kw_only=True)
class SyncPlan:
    """What a sync does.

    `known`: all indexed files by path. `paths_by_hash`: paths of indexed files by content hash, to recognize moves and
    copies. `deleted`: indexed files that are gone. `relabeled`: unchanged files with their new manifest columns.
    `failed`: files that fail again or cannot be listed; `not_listed`: the rows of the latter for the table of failures.
    `failures`: all paths with a recorded failure; `obsolete_failures`: those whose file is gone or as it was indexed.
    """

    jobs: list[FileJob] = field(default_factory=list)
    known: dict[str, KnownFile] = field(default_factory=dict)
    paths_by_hash: dict[str, list[str]] = field(default_factory=dict)
    deleted: dict[str, KnownFile] = field(default_factory=dict)
    unchanged: int = 0
    relabeled: list[tuple[KnownFile, dict[str, Scalar]]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    not_listed: list[dict[str, Scalar]] = field(default_factory=list)
    failures: set[str] = field(default_factory=set)
    obsolete_failures: list[str] = field(default_factory=list)
    missing_roots: list[str] = field(default_factory=list)
    manifest_stamps: dict[str, str] = field(default_factory=dict)
    skipped_raw: int = 0
    skipped_libraries: list[str] = field(default_factory=list)
    renamed_columns: dict[str, str] = field(default_factory=dict)


def make_plan(store: Store, sources: Iterable[str | Path] | None, *, frames: int, prune: bool) -> SyncPlan:
    """Compare the files of `sources` (None: the roots of earlier runs) with the indexed ones."""
    return _Planner(store, frames=frames, prune=prune).run(sources)


class _Planner:
    def __init__(self, store: Store, *, frames: int, prune: bool) -> None:
        self._store, self._frames, self._prune = store, frames, prune
        self._roots = load_roots(store.settings)
        self._known = known_files(store)
        self._used_ids = {i for file in self._known.values() for i in file.ids}
        self._failures = {str(row["path"]): row for row in store.table(FAILURES).all()}
        self._listed_files: set[str] = set()
        self._unreadable: list[str] = []
        self._recovered: set[str] = set()
        self._deleted_named: set[str] = set()
        self._all_roots = False
        self._listed_roots: set[str] = set()
        self._jobs: dict[str, FileJob] = {}
        self._manifest_ids: dict[str, str] = {}
        self._skipped = SkippedFiles()
        self._plan = SyncPlan(known=self._known, failures=set(self._failures))

    def run(self, sources: Iterable[str | Path] | None) -> SyncPlan:
        self._all_roots = sources is None
        named = list(self._roots) if sources is None else list(sources)
        for source in named:
            self._source(source, alone=len(named) == 1)
        self._plan.jobs = list(self._jobs.values())
        self._protect_missing_roots()
        self._plan.deleted = {
            p: f for p, f in self._known.items() if p not in self._listed_files and self._is_covered(p, f.root)
        }
        self._plan.obsolete_failures = self._obsolete_failures()
        self._plan.paths_by_hash = self._paths_by_hash({job.file.size for job in self._plan.jobs})
        self._plan.skipped_raw = sum(self._skipped.raw_files.values())
        self._plan.skipped_libraries = [p for p in self._skipped.libraries if not self._followed(p)]
        return self._plan

    def _obsolete_failures(self) -> list[str]:
        """Recorded failures whose file is gone, or is as it was indexed, and sources that are now listed."""
        still = self._listed_files | {failure.path for failure in self._plan.failed}
        return [
            path
            for path, row in self._failures.items()
            if path in self._recovered
            or path in self._listed_roots
            or (path not in still and self._is_covered(path, str(row.get("root") or "")))
        ]

    def _followed(self, library: str) -> bool:
        """Whether a photo library, or a folder inside it, is itself a root."""
        return any(root == library or _is_under(root, library) for root in self._roots)

    def _source(self, source: str | Path, *, alone: bool) -> None:
        path = absolute_text(source)
        if path in self._roots and not os.path.lexists(to_path(path)):
            self._plan.missing_roots.append(path)
            return
        try:
            self._list(source, path, alone=alone)
        except SourceError as error:
            # One source that cannot be listed does not stop the others; its indexed images stay.
            if alone and not self._all_roots:
                raise
            self._listed_roots.discard(path)
            root = path if path in self._roots else ""
            self._not_listed(NotListed(path, str(error).removeprefix(f"{path}: ")), root)

    def _list(self, source: str | Path, path: str, *, alone: bool) -> None:
        # A single name that does not exist is a typing error; one of many is a file deleted since it was listed.
        listing = find([source], report_missing=not alone or path in self._known, skipped=self._skipped)
        first = next(listing, None)
        if first is None and not os.path.isdir(to_path(path)):
            return
        kind = _kind_of(path, first)
        root = ensure_root(self._store, path, kind) if kind != "file" else None
        if root is not None:
            self._roots[path] = root
            self._listed_roots.add(path)
        relabel = kind == "manifest" and self._stamp_changed(path)
        for item in chain([] if first is None else [first], listing):
            self._item(item, root, relabel=relabel)

    def _stamp_changed(self, path: str) -> bool:
        """Whether a manifest has changed since its columns were last stored."""
        status = os.stat(to_path(path))
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        self._plan.manifest_stamps[path] = stamp
        return self._store.settings.get(STAMP_PREFIX + path) != stamp

    def _item(self, item: SourceFile | NotListed, root: Root | None, *, relabel: bool) -> None:
        if isinstance(item, NotListed):
            self._not_listed(item, root.path if root else "")
            return
        if item.path in self._listed_files:
            return
        self._listed_files.add(item.path)
        item = replace(item, root=root.path if root else "")
        known = self._known.get(item.path)
        if item.id is not None:
            self._last_wins(item)
        if known is not None and self._unchanged(item, known):
            self._plan.unchanged += len(known.ids)
            self._recovered.add(item.path)
            if relabel:
                self._plan.relabeled.append((known, manifest_columns(item)))
                self._plan.renamed_columns |= renamed_columns(item.metadata)
        elif known is None and self._failed_before(item):
            self._plan.failed.append(Failure(item.path, str(self._failures[item.path]["reason"])))
        else:
            self._plan.renamed_columns |= renamed_columns(item.metadata)
            self._jobs[item.path] = FileJob(
                item, item.id or (known.ids[0] if known else self._new_id(item, root)), known
            )

    def _not_listed(self, item: NotListed, root: str) -> None:
        if item.path in self._known and _is_deleted(item.path):
            self._deleted_named.add(item.path)
            return
        self._unreadable.append(item.path)
        # A name that does not exist is a typing error, and no file to list among the failures.
        self._fail(item.path, item.reason, root, record=bool(root) or os.path.lexists(to_path(item.path)))

    def _fail(self, path: str, reason: str, root: str, *, record: bool) -> None:
        """Report a file that is not read. `record`: also in the table of failures; it is tried again in each run."""
        self._plan.failed.append(Failure(path, reason))
        recorded = self._failures.get(path)
        if record and (recorded is None or recorded["reason"] != reason):
            self._plan.not_listed.append(failure_row(path, reason, root=root, retry=True))

    def _last_wins(self, item: SourceFile) -> None:
        """Promise 5: of two manifest rows with the same id, the later one wins."""
        earlier = self._manifest_ids.get(str(item.id))
        self._manifest_ids[str(item.id)] = item.path
        if earlier is not None:
            self._jobs.pop(earlier, None)
            reason = f"its id {item.id!r} is used again further down in {item.root}; the last one wins"
            self._fail(earlier, reason, item.root, record=True)

    def _unchanged(self, item: SourceFile, known: KnownFile) -> bool:
        same = item.size == known.size and item.mtime_ns == known.mtime_ns and item.id in (None, known.ids[0])
        return same and len(known.ids) == min(max(known.frames, 1), self._frames)

    def _failed_before(self, item: SourceFile) -> bool:
        row = self._failures.get(item.path)
        return (
            row is not None
            and not row["retry"]
            and (row["size"], row["mtime_ns"], row["version"]) == (item.size, item.mtime_ns, __version__)
        )

    def _new_id(self, item: SourceFile, root: Root | None) -> str:
        base = f"{root.prefix}/{item.name}" if root else item.path
        candidates = (base if n == 1 else f"{base}~{n}" for n in range(1, len(self._used_ids) + 2))
        free = next(c for c in candidates if c not in self._used_ids)
        self._used_ids.add(free)
        return free

    def _protect_missing_roots(self) -> None:
        """Treat an empty root that has indexed images as missing: it is the mount point of an unmounted drive."""
        plan = self._plan
        for path in sorted(self._listed_roots):
            has_images = any(f.root == path for f in self._known.values())
            if has_images and not any(_is_under(p, path) or self._known_root(p) == path for p in self._listed_files):
                plan.missing_roots.append(path)
        if not self._prune:
            self._listed_roots -= set(plan.missing_roots)
        else:
            self._listed_roots |= set(plan.missing_roots)

    def _known_root(self, path: str) -> str | None:
        known = self._known.get(path)
        return known.root if known else None

    def _is_covered(self, path: str, root: str | None) -> bool:
        """Whether this run listed the file's root or folder and could read it, so that its absence means deletion."""
        if root is None or any(_is_under(path, folder) for folder in self._unreadable):
            return False
        if root == "":
            return path in self._deleted_named or (self._all_roots and _is_deleted(path))
        if root in self._listed_roots:
            return True
        kind = self._roots[root].kind if root in self._roots else "file"
        if kind == "file":
            return False
        return kind == "folder" and any(
            self._roots[r].kind == "folder" and _is_walked(path, r) for r in self._listed_roots
        )

    def _paths_by_hash(self, sizes: set[int]) -> dict[str, list[str]]:
        """Paths by content hash of the indexed files with one of these sizes: no others can have the same content."""
        paths: dict[str, list[str]] = {}
        parts = self._store.scan(["path", "sha256", "size"]) if sizes and self._known else ()
        for part in parts:
            for path, sha256, size in zip(part["path"], part["sha256"], part["size"], strict=True):
                # Another process may have added rows since `known_files` ran.
                if size in sizes and path in self._known:
                    paths.setdefault(sha256, []).append(path)
        return paths


def known_files(store: Store) -> dict[str, KnownFile]:
    """All indexed files by path; images added from memory have no file."""
    files: dict[str, KnownFile] = {}
    for part in store.scan(["id", "path", "root", "size", "mtime_ns", "frame", "frames"]):
        roots: dict[str, str] = {}  # one string object per root instead of one per file
        for row_id, path, root, size, mtime, _frame, frames in zip(*(c.tolist() for c in part.values()), strict=True):
            if path is None:
                continue
            if path in files:
                files[path].ids.append(row_id)
            else:
                shared = None if root is None else roots.setdefault(root, root)
                files[path] = KnownFile([row_id], shared, size or 0, mtime or 0, frames or 1)
    for file in files.values():
        file.ids.sort(key=lambda i: (len(i), i))
    return files


def failure_row(
    path: str, reason: str, *, root: str, retry: bool, size: int = 0, mtime_ns: int = 0
) -> dict[str, Scalar]:
    """A row of the table of failures. `retry`: the file is tried again, even if it does not change."""
    facts: dict[str, Scalar] = {"path": path, "root": root, "size": size, "mtime_ns": mtime_ns}
    return facts | {"reason": reason, "retry": retry, "version": __version__, "when": now()}


def manifest_columns(item: SourceFile) -> dict[str, Scalar]:
    """Label and columns of a manifest row; a name that is one of BUILTIN_COLUMNS gets a trailing `_`."""
    return user_columns(item.metadata) | ({"label": item.label} if item.label is not None else {})


def user_columns(metadata: Metadata) -> dict[str, Scalar]:
    """A user's metadata with a trailing `_` on names of BUILTIN_COLUMNS, except `label`, which users may set."""
    renamed = renamed_columns(metadata)
    return {renamed.get(name, name): value for name, value in metadata.items()}


def renamed_columns(metadata: Metadata) -> dict[str, str]:
    """The names under which `user_columns` stores a column, where they differ."""
    return {name: f"{name}_" for name in metadata if name in BUILTIN_COLUMNS and name != "label"}


def superseded(path: str, image_id: str) -> Failure:
    """The report of an image that is not stored, since a later one has its id."""
    return Failure(path, f"its id {image_id!r} is used again further on; the last one wins")


BUILTIN_COLUMNS: Mapping[str, type] = {name: column.type for name, column in schema.COLUMNS.items()}
"""The columns that Lookalike itself stores for each image, with their types."""


def absolute_text(source: str | Path) -> str:
    """The absolute path of a source, in text form."""
    return to_text(os.path.abspath(os.path.expanduser(to_path(str(source)))))


def _kind_of(path: str, first: SourceFile | NotListed | None) -> Kind:
    if os.path.isdir(to_path(path)):
        return "folder"
    if isinstance(first, SourceFile) and first.root == path and first.path != path:
        return "archive" if first.path.startswith(path + "!/") else "manifest"
    return "file"


def _is_deleted(path: str) -> bool:
    """Whether a file is missing while its folder exists: a missing drive does not count as deletion."""
    file = to_path(path.split("!/", maxsplit=1)[0])
    return not os.path.lexists(file) and os.path.isdir(os.path.dirname(file))


def _is_walked(path: str, folder: str) -> bool:
    """Whether a walk of `folder` reaches the file: not through a hidden or system folder."""
    if not _is_under(path, folder):
        return False
    between = os.path.dirname(to_path(path))[len(to_path(folder)) :]
    return not any(is_hidden(name) for name in between.replace("\\", "/").split("/") if name)


def _is_under(path: str, folder: str) -> bool:
    return path.startswith((folder.rstrip("/\\") + "/", folder.rstrip("/\\") + "\\"))
