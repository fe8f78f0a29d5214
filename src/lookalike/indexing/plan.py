"""The plan of a sync: the files on disk compared with the indexed ones, without opening any."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike import schema
from lookalike._version import __version__
from lookalike.errors import LookalikeError, SourceError
from lookalike.image import NotListed, SkippedFiles, SourceFile, absolute_text, find, is_hidden, to_path
from lookalike.image.sources.files import exists, file_state, is_deleted, is_folder, is_remote
from lookalike.image.sources.object_store import is_object
from lookalike.image.sources.web import is_web
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.job_queue import JobQueue
from lookalike.indexing.known_files import KnownFile, KnownFiles
from lookalike.indexing.roots import Kind, Root, ensure_root, load_roots
from lookalike.store import remove_repeated
from lookalike.text import now
from lookalike.types import Failure, Metadata, Scalar, Store

FAILURES = schema.FAILURES.name
STAMP_PREFIX = schema.STAMP.name.format(path="")
_LOOKED_UP = 1024  # files of a listing looked up together


@dataclass(slots=True, kw_only=True)
class SyncPlan:
    """What a sync does.

    `known`: all indexed files by path; None if no content is recognized. `paths_by_hash`: paths of indexed files by
    content hash, to recognize moves and copies. `deleted`: indexed files that are gone. `relabeled`: unchanged files
    with their new manifest columns. `failed`: files that fail again or cannot be listed; `not_listed`: the rows of the
    latter for the table of failures. `failures`: all paths with a recorded failure; `obsolete_failures`: those whose
    file is gone or as it was indexed. `manifest_columns`: names of columns that manifests have.
    """

    known: KnownFiles | None = None
    jobs: JobQueue = field(default_factory=JobQueue)
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
    manifest_columns: set[str] = field(default_factory=set)


def make_plan(store: Store, sources: Iterable[str | Path] | None, *, frames: int, prune: bool) -> SyncPlan:
    """Compare the files of `sources` (None: the roots of earlier runs) with the indexed ones."""
    return _Planner(store, frames=frames, prune=prune).run(sources)


class _Planner:
    def __init__(self, store: Store, *, frames: int, prune: bool) -> None:
        self._store, self._frames, self._prune = store, frames, prune
        self._roots = load_roots(store.settings)
        self._known = KnownFiles(store)
        if self._known.repeated:
            remove_repeated(store)
            self._known = KnownFiles(store)
        self._new_ids: set[str] = set()  # that could occur twice: those of a walk of a folder cannot
        self._failures = {str(row["path"]): row for row in store.table(FAILURES).all()}
        self._listed = np.zeros(int(self._known.rows.max(initial=-1)) + 1, np.bool_)  # known files, by row
        self._listed_new: set[str] = set()
        self._listed_failures: set[str] = set()
        self._roots_with_files: set[str] = set()
        self._unreadable: list[str] = []
        self._recovered: set[str] = set()
        self._deleted_named: set[str] = set()
        self._all_roots = self._alone = False
        self._listed_roots: set[str] = set()
        self._manifest_ids: dict[str, str] = {}
        self._manifest_jobs: set[str] = set()
        self._skipped = SkippedFiles()
        self._plan = SyncPlan(known=self._known, failures=set(self._failures))

    def run(self, sources: Iterable[str | Path] | None) -> SyncPlan:
        self._all_roots = sources is None
        named = list(self._roots) if sources is None else list(sources)
        self._alone = len(named) == 1
        for source in named:
            self._source(source, alone=self._alone)
        self._protect_missing_roots()
        self._plan.deleted = self._deleted()
        self._plan.obsolete_failures = self._obsolete_failures()
        self._plan.paths_by_hash = self._paths_by_hash(self._plan.jobs.sizes())
        self._plan.skipped_raw = sum(self._skipped.raw_files.values())
        self._plan.skipped_libraries = [p for p in self._skipped.libraries if not self._followed(p)]
        return self._plan

    def _obsolete_failures(self) -> list[str]:
        """Recorded failures whose file is gone, or is as it was indexed, and sources that are now listed."""
        still = self._listed_failures | {failure.path for failure in self._plan.failed}
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
        try:
            if path in self._roots and not exists(path):
                self._plan.missing_roots.append(path)
            else:
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
        listing = find([source], report_missing=not alone or self._known.get(path) is not None, skipped=self._skipped)
        first = next(listing, None)
        if first is None and not is_folder(path):
            return
        kind = _kind_of(path, first)
        root = ensure_root(self._store, path, kind) if kind != "file" else None
        if root is not None:
            self._roots[path] = root
            self._listed_roots.add(path)
        relabel = kind == "manifest" and self._stamp_changed(path)
        # The walk of one folder yields each file once; a manifest, or another source, may name it again.
        once = alone and kind == "folder"
        for items in _blocks(chain([] if first is None else [first], listing)):
            for item, known in zip(items, self._known.lookup([item.path for item in items]), strict=True):
                self._item(item, known, root, relabel=relabel, once=once)

    def _stamp_changed(self, path: str) -> bool:
        """Whether a manifest has changed since its columns were last stored."""
        size, mtime_ns = file_state(path)
        stamp = f"{size}:{mtime_ns}"
        self._plan.manifest_stamps[path] = stamp
        return self._store.settings.get(STAMP_PREFIX + path) != stamp

    def _item(
        self, item: SourceFile | NotListed, known: KnownFile | None, root: Root | None, *, relabel: bool, once: bool
    ) -> None:
        if isinstance(item, NotListed):
            self._not_listed(item, root.path if root else "")
            return
        if root is not None:
            self._roots_with_files.add(root.path)
        if not self._is_first(item.path, known, once=once):
            return
        item = replace(item, root=root.path if root else "")
        self._plan.manifest_columns.update(item.metadata)
        if item.id is not None:
            self._last_wins(item)
        if known is not None and self._unchanged(item, known):
            self._plan.unchanged += len(known.ids)
            if item.path in self._failures:
                self._recovered.add(item.path)
            if relabel:
                self._plan.relabeled.append((known, manifest_columns(item)))
                self._plan.renamed_columns |= renamed_columns(item.metadata)
        elif known is None and self._failed_before(item):
            self._plan.failed.append(Failure(item.path, str(self._failures[item.path]["reason"])))
        else:
            self._plan.renamed_columns |= renamed_columns(item.metadata)
            self._add_job(item, known, root)

    def _is_first(self, path: str, known: KnownFile | None, *, once: bool) -> bool:
        """Note that a file is listed; whether it was not before."""
        if path in self._failures:
            self._listed_failures.add(path)
        if known is not None:
            first = not self._listed[known.row]
            self._listed[known.row] = True
            return bool(first)
        if once:
            return True
        count = len(self._listed_new)
        self._listed_new.add(path)
        return len(self._listed_new) > count

    def _add_job(self, item: SourceFile, known: KnownFile | None, root: Root | None) -> None:
        if item.id is not None:
            self._manifest_jobs.add(item.path)
        image_id = item.id or (known.ids[0] if known else self._new_id(item, root))
        try:
            new_id = known is None and self._is_new_id(item, image_id)
            self._plan.jobs.append(FileJob(item, image_id, known, new_id))
        except OSError as error:
            raise LookalikeError(
                f"the list of files to index cannot be written to {tempfile.gettempdir()} ({error.strerror}); "
                "free some space"
            ) from error

    def _is_new_id(self, item: SourceFile, image_id: str) -> bool:
        """Whether no image has an id, and no other file of this run gets it.

        Which ids the files of folders get is not remembered; so an id of a table counts as one where there are others.
        """
        if self._known.has_id_without_path(image_id):
            return False
        if item.id is None:
            return image_id not in self._manifest_ids
        return self._alone and not self._known.has_id(image_id)

    def _not_listed(self, item: NotListed, root: str) -> None:
        if is_deleted(item.path) and self._known.get(item.path) is not None:
            self._deleted_named.add(item.path)
            return
        self._unreadable.append(item.path)
        # A name that does not exist is a typing error, and no file to list among the failures.
        self._fail(item.path, item.reason, root, record=bool(root) or is_remote(item.path) or exists(item.path))

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
            if earlier in self._manifest_jobs:
                self._manifest_jobs.remove(earlier)
                self._plan.jobs.drop(earlier)
            reason = f"its id {item.id!r} is used again further down in {item.root}; the last one wins"
            self._fail(earlier, reason, item.root, record=True)

    def _unchanged(self, item: SourceFile, known: KnownFile) -> bool:
        same = is_web(item.path) or (item.size == known.size and item.mtime_ns == known.mtime_ns)
        same = same and item.id in (None, known.ids[0])
        return same and len(known.ids) == min(max(known.frames, 1), self._frames)

    def _failed_before(self, item: SourceFile) -> bool:
        row = self._failures.get(item.path)
        if row is None or row["retry"] or row["version"] != __version__:
            return False
        return is_web(item.path) or (row["size"], row["mtime_ns"]) == (item.size, item.mtime_ns)

    def _new_id(self, item: SourceFile, root: Root | None) -> str:
        base = f"{root.prefix}/{item.name}" if root else item.path
        numbered = chain([base], (f"{base}~{n}" for n in count(2)))
        free = next(name for name in numbered if name not in self._new_ids and not self._known.has_id(name))
        if free != base or root is None or root.kind != "folder":
            self._new_ids.add(free)
        return free

    def _protect_missing_roots(self) -> None:
        """Treat an empty root that has indexed images as missing: it is the mount point of an unmounted drive."""
        plan = self._plan
        with_images = {self._known.roots[n] for n in np.unique(self._known.root_of[self._known.rows]).tolist()}
        plan.missing_roots += sorted((self._listed_roots & with_images) - self._roots_with_files)
        if not self._prune:
            self._listed_roots -= set(plan.missing_roots)
        else:
            self._listed_roots |= set(plan.missing_roots)

    def _deleted(self) -> dict[str, KnownFile]:
        """Return the files that were not listed although a source was that would list them."""
        rows = self._known.rows
        rows = rows[~self._listed[rows]]
        possible = np.array([self._may_be_covered(root) for root in self._known.roots], np.bool_)
        files = self._known.files(rows[possible[self._known.root_of[rows]]] if len(rows) else rows)
        return {file.path: file for file in files if self._is_covered(file.path, file.root)}

    def _may_be_covered(self, root: str | None) -> bool:
        """Whether any file of a root can be covered: spares a look at each of millions."""
        if root is None or root in self._listed_roots:
            return root is not None
        if root == "":
            return self._all_roots or bool(self._deleted_named)
        listed = [path for path in self._listed_roots if self._roots[path].kind == "folder"]
        return any(_is_under(root, path) or _is_under(path, root) for path in listed)

    def _is_covered(self, path: str, root: str | None) -> bool:
        """Whether this run listed the file's root or folder and could read it, so that its absence means deletion."""
        if root is None or any(_is_under(path, folder) for folder in self._unreadable):
            return False
        if root == "":
            return path in self._deleted_named or (self._all_roots and is_deleted(path))
        if root in self._listed_roots:
            return True
        kind = self._roots[root].kind if root in self._roots else "file"
        if kind == "file":
            return False
        return kind == "folder" and any(
            self._roots[r].kind == "folder" and _is_walked(path, r) for r in self._listed_roots
        )

    def _paths_by_hash(self, sizes: NDArray[np.int64]) -> dict[str, list[str]]:
        """Paths by content hash of the indexed files with one of these sizes: no others can have the same content."""
        paths: dict[str, list[str]] = {}
        parts = self._store.scan(["path", "sha256", "size"]) if len(sizes) and len(self._known) else ()
        for part in parts:
            with_size = np.flatnonzero(np.isin([size or -1 for size in part["size"].tolist()], sizes))
            same = [row for row in with_size.tolist() if part["path"][row] is not None]
            # Another process may have added rows since these files were read.
            for row, file in zip(same, self._known.lookup([part["path"][row] for row in same]), strict=True):
                if file is not None:
                    paths.setdefault(part["sha256"][row], []).append(file.path)
        return paths


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

PHOTO_COLUMNS: Mapping[str, type] = {name: column.type for name, column in schema.PHOTO_COLUMNS.items()}
"""The columns that are filled from what a file says about itself, with their types; a user may have them instead."""


def _kind_of(path: str, first: SourceFile | NotListed | None) -> Kind:
    if is_folder(path):
        return "folder"
    if isinstance(first, SourceFile) and first.root == path and first.path != path:
        return "archive" if first.path.startswith(path + "!/") else "manifest"
    return "file"


def _blocks(listing: Iterable[SourceFile | NotListed]) -> Iterator[list[SourceFile | NotListed]]:
    remaining = iter(listing)
    while items := list(islice(remaining, _LOOKED_UP)):
        yield items


def _is_walked(path: str, folder: str) -> bool:
    """Whether a walk of `folder` reaches the file: not through a hidden or system folder."""
    if not _is_under(path, folder):
        return False
    between = path.removeprefix(folder).rpartition("/")[0] if is_object(path) else _folders_between(path, folder)
    return not any(is_hidden(name) for name in between.replace("\\", "/").split("/") if name)


def _folders_between(path: str, folder: str) -> str:
    return os.path.dirname(to_path(path))[len(to_path(folder)) :]


def _is_under(path: str, folder: str) -> bool:
    return path.startswith((folder.rstrip("/\\") + "/", folder.rstrip("/\\") + "\\"))
