"""Bring a collection up to date with its sources: worker threads embed files, one writer commits the results."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lookalike.errors import StoreFailed
from lookalike.indexing.engine import Engine, LocalEngine, WrittenRows
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.in_progress import InProgress, take_interrupted
from lookalike.indexing.known_files import KnownFile
from lookalike.indexing.plan import (
    BUILTIN_COLUMNS,
    FAILURES,
    STAMP_PREFIX,
    SyncPlan,
    failure_row,
    make_plan,
)
from lookalike.indexing.roots import LOCATION_COLUMNS, release_location
from lookalike.indexing.rows import file_columns, rows_of
from lookalike.indexing.worker import EmbeddedFile, FailedFile, FileWorker, KnownContent, MtimeOnly, Outcome
from lookalike.store import append_files, begin_append, optimize_by
from lookalike.types import AddReport, Failure, Scalar, Store, Vectors

Progress = Callable[[int, int], None]
"""Called often with (files done, files in total)."""

# Facts that a file which is saved again without them keeps; where it was taken, only the file itself says.
KEPT_FACTS = frozenset({"taken", "year", "camera", "lens"})
COMMIT_SECONDS = 3.0
COMMIT_ROWS = 1000
MIN_ROWS_BY_TASKS = 100_000  # a store has an index from so many on; a smaller one is optimized in seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """`prune`: remove the images under a missing root. `stop`: once it is set, the run ends after the current batch.

    `engine`: who reads and embeds the files; None: `workers` threads of this process.
    """

    prune: bool = False
    workers: int
    engine: Engine | None = None
    progress: Progress | None = None
    stop: threading.Event = field(default_factory=threading.Event)


def sync(
    store: Store,
    worker: FileWorker,
    sources: Iterable[str | Path] | None,
    options: SyncOptions,
    *,
    folder: str | None = None,
) -> AddReport:
    """Add new files, re-embed changed ones, update moved ones and remove deleted ones. Returns the counts.

    Closes `worker`. `folder`: where the paths of files in progress are recorded, to find the one that ends the process.
    """
    started_at = time.monotonic()
    if options.engine is not None:
        begin_append(store)
    plan = make_plan(store, sources, frames=worker.frames, prune=options.prune)
    if not plan.manifest_columns.isdisjoint(LOCATION_COLUMNS):
        worker = replace(worker, photo_columns=release_location(store, plan.manifest_columns))
    report = execute(store, worker, plan, options, folder=folder)
    report.seconds = time.monotonic() - started_at
    return report


def execute(
    store: Store, worker: FileWorker, plan: SyncPlan, options: SyncOptions, *, folder: str | None = None
) -> AddReport:
    """Do what a plan says. Closes `worker`. `folder`: see `sync`."""
    interrupted = take_interrupted(folder)
    suspects = interrupted | plan.failures
    in_progress = InProgress(folder, interrupted)
    worker = replace(worker, paths_by_hash=plan.paths_by_hash, in_progress=in_progress, suspects=suspects)
    writer = _Writer(store, plan, worker)
    report = writer.report
    try:
        _run(writer, worker, plan, options)
    finally:
        worker.close()
        # Commit the finished files even when this thread or a worker failed.
        writer.flush()
    report.interrupted = options.stop.is_set()
    if not report.interrupted:
        writer.finish(options.engine)
    return report


def _run(writer: "_Writer", worker: FileWorker, plan: SyncPlan, options: SyncOptions) -> None:
    done, total = 0, len(plan.jobs)
    engine = options.engine or LocalEngine(options.workers)
    for batch in engine.run(plan.jobs.consume(last=worker.suspects), total, worker, options.stop):
        for outcome in batch.outcomes:
            writer.apply(outcome)
        if batch.written is not None:
            writer.written(batch.written)
        done += len(batch)
        writer.flush_if_due()
        if options.progress:
            options.progress(done, total)


class _Writer:
    """Collects outcomes and commits them together every few seconds. Nothing else writes to the store."""

    def __init__(self, store: Store, plan: SyncPlan, worker: FileWorker) -> None:
        self._store, self._plan, self._worker = store, plan, worker
        self._rows: list[
            tuple[str, Vectors, dict[str, Scalar], str]
        ] = []  # last: the id whose user columns it inherits
        self._user_columns: dict[str, dict[str, Scalar]] = {}  # of images that are overwritten
        self._written: list[str] = []  # files of new rows
        self._updates: dict[str, dict[str, Scalar]] = {}
        self._deletes: list[str] = []
        self._failures = list(plan.not_listed)
        self._recovered_paths: list[str] = []
        self._last = time.monotonic()
        self.report = AddReport(
            unchanged=plan.unchanged,
            failed=list(plan.failed),
            missing_roots=list(plan.missing_roots),
            skipped_raw=plan.skipped_raw,
            skipped_libraries=list(plan.skipped_libraries),
            renamed_columns=dict(plan.renamed_columns),
        )

    def apply(self, outcome: Outcome) -> None:
        """Record the outcome of one file; `flush` commits it."""
        match outcome:
            case EmbeddedFile():
                self._embedded(outcome, outcome.job.known.ids if outcome.job.known else ())
            case KnownContent():
                self._known_content(outcome)
            case MtimeOnly():
                self._mtime_only(outcome)
            case FailedFile():
                self._failed(outcome)

    def written(self, rows: WrittenRows) -> None:
        """Record images that a worker has written; `flush` commits their files."""
        self._written.append(rows.files)
        self.report.added += rows.images
        self.report.plain += rows.plain
        self._recovered_paths += rows.paths

    def flush_if_due(self) -> None:
        if len(self._rows) >= COMMIT_ROWS or time.monotonic() - self._last >= COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit the collected outcomes: new rows in one commit, then updates, deletions and failures."""
        written, self._written = self._written, []
        if written:
            append_files(self._store, written)
        rows, self._rows = self._rows, []
        if rows:
            self._read_user_columns([name for row in rows if row[3] for name in (row[0], row[3])])
            columns = [self._user_columns.get(row[3], {}) | row[2] for row in rows]
            self._store.add([r[0] for r in rows], np.concatenate([r[1] for r in rows]), columns)
        updates, self._updates = self._updates, {}
        if updates:
            self._store.update(list(updates), list(updates.values()))
        deletes, self._deletes = self._deletes, []
        if deletes:
            self._store.delete(deletes)
        self._flush_failures()
        self._last = time.monotonic()

    def finish(self, engine: Engine | None) -> None:
        """After the last file: remove deleted images, store new manifest columns, and optimize the store.

        A large store is optimized by the engine, which may have other machines.
        """
        deleted = [i for file in self._plan.deleted.values() for i in file.ids]
        self.report.removed += self._store.delete(deleted) if deleted else 0
        self._recovered_paths += self._plan.obsolete_failures
        for file, columns in self._plan.relabeled:
            self._updates |= dict.fromkeys(file.ids, columns)
        self.flush()
        if self._plan.manifest_stamps:
            self._store.set_settings({STAMP_PREFIX + path: stamp for path, stamp in self._plan.manifest_stamps.items()})
        if self.report.added or self.report.changed or self.report.removed or self.report.moved:
            self._optimize(engine if len(self._store) >= MIN_ROWS_BY_TASKS else None)

    def _optimize(self, engine: Engine | None) -> None:
        """Optimize the store. A failure loses nothing that was indexed, and the error says so."""
        try:
            with nullcontext() if engine is None else engine.tasks() as tasks:
                self._store.optimize() if tasks is None else optimize_by(self._store, tasks)
        except StoreFailed as error:
            reason = f"all images are indexed, but the store could not be optimized: {error.reason}"
            facts = {"subject": error.subject, "location": error.location, "hint": error.hint}
            raise StoreFailed(reason, **facts) from error

    def _read_user_columns(self, ids: Sequence[str]) -> None:
        """Read the user columns of images that will be overwritten: a file that is saved again keeps its label."""
        of_files = self._worker.photo_columns - KEPT_FACTS
        names = [
            n
            for n, kind in self._store.columns().items()
            if (n not in BUILTIN_COLUMNS or n == "label") and n not in of_files and kind is not bytes
        ]
        unread = [i for i in dict.fromkeys(ids) if i not in self._user_columns]
        for row in self._store.get(unread, names) if unread and names else ():
            if row is not None:
                self._user_columns[row.id] = {n: v for n, v in row.metadata.items() if v is not None}

    def _embedded(self, embedded: EmbeddedFile, sources: Sequence[str] = ()) -> None:
        """Collect the rows of an embedded file.

        `sources`: for each row, the id whose user columns it inherits; columns of a manifest take precedence.
        """
        job = embedded.job
        ids, rows = rows_of(embedded)
        for n, (row_id, columns) in enumerate(zip(ids, rows, strict=True)):
            source = sources[n] if n < len(sources) else ""
            if source:  # what the file does not say, a person may have said
                columns = {k: v for k, v in columns.items() if v is not None or k not in KEPT_FACTS}
            self._rows.append((row_id, embedded.vectors[n : n + 1], columns, source))
            self.report.plain += bool(columns["plain"])
        self._count(job, len(ids))
        self._deletes += [i for i in job.known.ids if i not in ids] if job.known else []
        self._recovered_paths.append(job.file.path)

    def _count(self, job: FileJob, images: int) -> None:
        if job.known:
            self.report.changed += images
        else:
            self.report.added += images

    def _known_content(self, known: KnownContent) -> None:
        """Handle a file with the content of an indexed one: that file has moved, or this is a second copy."""
        moved_from = None if known.job.known else next((p for p in known.paths if p in self._plan.deleted), None)
        if moved_from is not None:
            self._moved(known.job, self._plan.deleted.pop(moved_from))
        elif not self._copy_rows(known):
            outcome = self._worker.force_embed(known.job)
            if isinstance(outcome, EmbeddedFile):
                self._embedded(outcome, self._label_sources(known))
            else:
                self.apply(outcome)

    def _moved(self, job: FileJob, old: KnownFile) -> None:
        self._updates |= {i: file_columns(job.file) for i in old.ids}
        self.report.moved += len(old.ids)
        self._recovered_paths.append(job.file.path)

    def _copy_rows(self, known: KnownContent) -> bool:
        """Copy the rows of the indexed file to this one's ids. Returns False when those rows have changed."""
        assert self._plan.known is not None
        old = self._plan.known.get(known.paths[0])
        assert old is not None
        names = ["sha256", "width", "height", "format", "frame", "frames", "plain", "thumbnail"]
        photo = sorted(self._worker.photo_columns & self._store.columns().keys())
        rows = [row for row in self._store.get(old.ids, [*names, *photo]) if row is not None]
        complete = len(rows) == min(old.frames, self._worker.frames)
        if not complete or any(row.metadata["sha256"] != known.sha256 for row in rows):
            return False
        vectors = np.stack([row.vector for row in rows])
        columns = [{name: row.metadata[name] for name in names} for row in rows]
        facts = {name: rows[0].metadata[name] for name in photo}
        copied = EmbeddedFile(known.job, known.sha256, vectors, columns, facts)
        self._embedded(copied, self._label_sources(known))
        return True

    def _label_sources(self, known: KnownContent) -> Sequence[str]:
        """Files that swapped names keep the user columns of their content; a second copy has none."""
        file = self._plan.known.get(known.paths[0]) if known.job.known and self._plan.known else None
        return () if file is None else file.ids

    def _mtime_only(self, outcome: MtimeOnly) -> None:
        job = outcome.job
        ids = job.known.ids if job.known else []
        self._updates |= {i: {"size": job.file.size, "mtime_ns": job.file.mtime_ns} for i in ids}
        self.report.unchanged += len(ids)
        self._recovered_paths.append(job.file.path)

    def _failed(self, failed: FailedFile) -> None:
        file = failed.job.file
        self.report.failed.append(Failure(file.path, failed.reason))
        self._failures.append(
            failure_row(
                file.path, failed.reason, root=file.root, retry=failed.retry, size=file.size, mtime_ns=file.mtime_ns
            )
        )
        # A file with unreadable new content no longer holds the indexed image; one that cannot be read at the moment
        # still may.
        if failed.job.known and not failed.retry:
            self._deletes += failed.job.known.ids
            self.report.removed += len(failed.job.known.ids)

    def _flush_failures(self) -> None:
        table = self._store.table(FAILURES)
        recovered, self._recovered_paths = self._recovered_paths, []
        if resolved := [path for path in recovered if path in self._plan.failures]:
            table.remove(resolved)
        failures, self._failures = self._failures, []
        if failures:
            table.put(failures)
