"""What a sync has to do: the files that are there against the files that are known, without opening any."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from lookalike._version import __version__
from lookalike.errors import SourceError
from lookalike.image import NotListed, SkippedFiles, SourceFile, find, is_hidden, to_path, to_text
from lookalike.indexing.roots import Kind, Root, ensure_root, load_roots
from lookalike.types import Failure, Metadata, Scalar, Store

FAILURES = "failures"
STAMP = "stamp:"


@dataclass(slots=True)
class KnownFile:
    """A file as the collection knows it; an animation has several ids.

    `root`: where it was found; "" when it was named by itself, None when a program added it.
    """

    ids: list[str]
    root: str | None
    size: int
    mtime_ns: int
    frames: int


@dataclass(frozen=True, slots=True)
class Job:
    """A file to look into: new, or not as it was."""

    found: SourceFile
    id: str
    known: KnownFile | None = None


@dataclass(slots=True, kw_only=True)
class Plan:
    """`twins`: paths of known files by content hash, for files that may have moved or are copies."""

    jobs: list[Job] = field(default_factory=list)
    known: dict[str, KnownFile] = field(default_factory=dict)
    twins: dict[str, list[str]] = field(default_factory=dict)
    gone: dict[str, KnownFile] = field(default_factory=dict)
    unchanged: int = 0
    relabelled: list[tuple[KnownFile, dict[str, Scalar]]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    failures: set[str] = field(default_factory=set)
    forgotten_failures: list[str] = field(default_factory=list)
    missing_roots: list[str] = field(default_factory=list)
    stamps: dict[str, str] = field(default_factory=dict)
    skipped_raw: int = 0
    skipped_libraries: list[str] = field(default_factory=list)


def make_plan(store: Store, sources: Iterable[str | Path] | None, *, frames: int, prune: bool) -> Plan:
    """Compare what `sources` hold (None: the roots of earlier runs) with what the store knows."""
    return _Planner(store, frames=frames, prune=prune).run(sources)


class _Planner:
    def __init__(self, store: Store, *, frames: int, prune: bool) -> None:
        self._store, self._frames, self._prune = store, frames, prune
        self._roots = load_roots(store.settings)
        self._known = known_files(store)
        self._taken = {i for file in self._known.values() for i in file.ids}
        self._failures = {str(row["path"]): row for row in store.table(FAILURES).all()}
        self._seen: set[str] = set()
        self._unreadable: list[str] = []
        self._named_and_gone: set[str] = set()
        self._everything = False
        self._listed: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._given_ids: dict[str, str] = {}
        self._skipped = SkippedFiles()
        self._plan = Plan(known=self._known, failures=set(self._failures))

    def run(self, sources: Iterable[str | Path] | None) -> Plan:
        self._everything = sources is None
        named = list(self._roots) if sources is None else list(sources)
        for source in named:
            self._source(source, alone=len(named) == 1)
        self._plan.jobs = list(self._jobs.values())
        self._spare_missing_roots()
        self._plan.gone = {p: f for p, f in self._known.items() if p not in self._seen and self._covered(p, f.root)}
        self._plan.forgotten_failures = [
            p
            for p, row in self._failures.items()
            if p not in self._seen and self._covered(p, str(row.get("root") or ""))
        ]
        self._plan.twins = self._twins({job.found.size for job in self._plan.jobs})
        self._plan.skipped_raw = sum(self._skipped.raw_files.values())
        self._plan.skipped_libraries = [p for p in self._skipped.libraries if not self._followed(p)]
        return self._plan

    def _followed(self, library: str) -> bool:
        """Whether a folder that other folders pass by, or one inside, is itself a source."""
        return any(root == library or _beneath(root, library) for root in self._roots)

    def _source(self, source: str | Path, *, alone: bool) -> None:
        path = absolute_text(source)
        if path in self._roots and not os.path.lexists(to_path(path)):
            self._plan.missing_roots.append(path)
            return
        try:
            self._list(source, path, alone=alone)
        except SourceError as error:
            # One that cannot be listed must not hold up the others; what is known of it stays.
            if alone and not self._everything:
                raise
            self._listed.discard(path)
            self._not_listed(NotListed(path, str(error).removeprefix(f"{path}: ")))

    def _list(self, source: str | Path, path: str, *, alone: bool) -> None:
        # One name that does not exist is a mistyped command; one of many is a file that has gone since it was listed.
        listing = find([source], report_missing=not alone or path in self._known, skipped=self._skipped)
        first = next(listing, None)
        if first is None and not os.path.isdir(to_path(path)):
            return
        kind = _kind_of(path, first)
        root = ensure_root(self._store, path, kind) if kind != "file" else None
        if root is not None:
            self._roots[path] = root
            self._listed.add(path)
        relabel = kind == "manifest" and self._stamp_changed(path)
        for item in chain([] if first is None else [first], listing):
            self._item(item, root, relabel=relabel)

    def _stamp_changed(self, path: str) -> bool:
        """Whether a manifest was written to since its labels were taken over."""
        status = os.stat(to_path(path))
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        self._plan.stamps[path] = stamp
        return self._store.settings.get(STAMP + path) != stamp

    def _item(self, item: SourceFile | NotListed, root: Root | None, *, relabel: bool) -> None:
        if isinstance(item, NotListed):
            self._not_listed(item)
            return
        if item.path in self._seen:
            return
        self._seen.add(item.path)
        item = replace(item, root=root.path if root else "")
        known = self._known.get(item.path)
        if item.id is not None:
            self._last_wins(item)
        if known is not None and self._unchanged(item, known):
            self._plan.unchanged += len(known.ids)
            if relabel:
                self._plan.relabelled.append((known, facts_of_manifest(item)))
        elif known is None and self._failed_before(item):
            self._plan.failed.append(Failure(item.path, str(self._failures[item.path]["reason"])))
        else:
            self._jobs[item.path] = Job(item, item.id or (known.ids[0] if known else self._new_id(item, root)), known)

    def _not_listed(self, item: NotListed) -> None:
        if item.path in self._known and _deleted(item.path):
            self._named_and_gone.add(item.path)
            return
        self._unreadable.append(item.path)
        self._plan.failed.append(Failure(item.path, item.reason))

    def _last_wins(self, item: SourceFile) -> None:
        """Promise 5: of two rows of a manifest with the same id, the later one counts."""
        earlier = self._given_ids.get(str(item.id))
        self._given_ids[str(item.id)] = item.path
        if earlier is not None:
            self._jobs.pop(earlier, None)
            reason = f"its id {item.id!r} is given again further down in {item.root}; the last one wins"
            self._plan.failed.append(Failure(earlier, reason))

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
        wanted = f"{root.prefix}/{item.name}" if root else item.path
        tries = (wanted if n == 1 else f"{wanted}~{n}" for n in range(1, len(self._taken) + 2))
        free = next(t for t in tries if t not in self._taken)
        self._taken.add(free)
        return free

    def _spare_missing_roots(self) -> None:
        """A folder that is there but empty where pictures were is an unmounted drive's mount point."""
        plan = self._plan
        for path in sorted(self._listed):
            holds = any(f.root == path for f in self._known.values())
            if holds and not any(_beneath(p, path) or self._known_root(p) == path for p in self._seen):
                plan.missing_roots.append(path)
        if not self._prune:
            self._listed -= set(plan.missing_roots)
        else:
            self._listed |= set(plan.missing_roots)

    def _known_root(self, path: str) -> str | None:
        known = self._known.get(path)
        return known.root if known else None

    def _covered(self, path: str, root: str | None) -> bool:
        """Whether this run listed the place that answers for the file, and could read it."""
        if root is None or any(_beneath(path, folder) for folder in self._unreadable):
            return False
        if root == "":
            return path in self._named_and_gone or (self._everything and _deleted(path))
        if root in self._listed:
            return True
        kind = self._roots[root].kind if root in self._roots else "file"
        if kind == "file":
            return False
        return kind == "folder" and any(self._roots[r].kind == "folder" and _reached(path, r) for r in self._listed)

    def _twins(self, sizes: set[int]) -> dict[str, list[str]]:
        """Paths by content hash of the known files that have one of these sizes: the only ones that can be the same."""
        twins: dict[str, list[str]] = {}
        parts = self._store.scan(["path", "sha256", "size"]) if sizes and self._known else ()
        for part in parts:
            for path, sha256, size in zip(part["path"], part["sha256"], part["size"], strict=True):
                # Another process may have added rows since the known files were read.
                if size in sizes and path in self._known:
                    twins.setdefault(sha256, []).append(path)
        return twins


def known_files(store: Store) -> dict[str, KnownFile]:
    """Every file of the collection by path; images that were added from memory have none."""
    files: dict[str, KnownFile] = {}
    for part in store.scan(["id", "path", "root", "size", "mtime_ns", "frame", "frames"]):
        roots: dict[str, str] = {}  # one string a root, not one a file
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


def facts_of_manifest(item: SourceFile) -> dict[str, Scalar]:
    """Label and columns of a manifest's row; a column that has the name of one of our facts gets a trailing `_`."""
    return given_facts(item.metadata) | ({"label": item.label} if item.label is not None else {})


def given_facts(metadata: Metadata) -> dict[str, Scalar]:
    """A user's columns, under names that do not clash with ours; `label` is theirs to give."""
    return {f"{k}_" if k in FACTS and k != "label" else k: v for k, v in metadata.items()}


FACTS: Mapping[str, type] = {
    "path": str,
    "root": str,
    "size": int,
    "mtime_ns": int,
    "sha256": str,
    "width": int,
    "height": int,
    "format": str,
    "frame": int,
    "frames": int,
    "label": str,
    "plain": bool,
    "indexed": str,
    "thumbnail": bytes,
}
"""What the collection itself knows of each image: its columns and their types."""


def absolute_text(source: str | Path) -> str:
    """The text form of a source's absolute path."""
    return to_text(os.path.abspath(os.path.expanduser(to_path(str(source)))))


def _kind_of(path: str, first: SourceFile | NotListed | None) -> Kind:
    if os.path.isdir(to_path(path)):
        return "folder"
    if isinstance(first, SourceFile) and first.root == path and first.path != path:
        return "archive" if first.path.startswith(path + "!/") else "manifest"
    return "file"


def _deleted(path: str) -> bool:
    """Whether a file is gone from a folder that is there: not so when its drive is missing."""
    file = to_path(path.split("!/", maxsplit=1)[0])
    return not os.path.lexists(file) and os.path.isdir(os.path.dirname(file))


def _reached(path: str, folder: str) -> bool:
    """Whether a walk over `folder` comes to a file: not where a hidden or a system folder lies between."""
    if not _beneath(path, folder):
        return False
    between = os.path.dirname(to_path(path))[len(to_path(folder)) :]
    return not any(is_hidden(name) for name in between.replace("\\", "/").split("/") if name)


def _beneath(path: str, folder: str) -> bool:
    return path.startswith((folder.rstrip("/\\") + "/", folder.rstrip("/\\") + "\\"))
