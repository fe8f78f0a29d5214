"""Bringing a collection up to date with its sources: one writer that commits what the workers hand it."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lookalike._version import __version__
from lookalike.errors import StoreFailed
from lookalike.image import SourceFile, single_threaded_opencv
from lookalike.indexing.in_progress import InHand, take_left_in_hand
from lookalike.indexing.pipeline import parallel
from lookalike.indexing.plan import FACTS, FAILURES, STAMP, Job, KnownFile, Plan, facts_of_manifest, make_plan
from lookalike.indexing.worker import Failed, Fresh, Intake, Outcome, Touched, Twin
from lookalike.text import now
from lookalike.types import AddReport, Failure, Scalar, Store, Vectors

Progress = Callable[[int, int], None]
"""Called with (files done, files to do), often."""

COMMIT_SECONDS = 3.0
COMMIT_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """`prune`: drop what lies under a missing root. `stop`: set it, and the run ends after the current batch."""

    prune: bool = False
    workers: int
    progress: Progress | None = None
    stop: threading.Event = field(default_factory=threading.Event)


def sync(
    store: Store,
    intake: Intake,
    sources: Iterable[str | Path] | None,
    options: SyncOptions,
    *,
    folder: str | None = None,
) -> AddReport:
    """Add the new, re-embed the changed, note the moved, drop the deleted. Returns the counts. Closes the intake.

    `folder`: where the files under way are noted, to be known if this process dies of one.
    """
    begun = time.monotonic()
    plan = make_plan(store, sources, frames=intake.frames, prune=options.prune)
    left = take_left_in_hand(folder)
    suspects = left | plan.failures
    intake = replace(intake, twins=plan.twins, in_hand=InHand(folder, left), suspects=suspects)
    _put_last(plan.jobs, suspects)
    writer = _Writer(store, plan, intake)
    report = writer.report
    try:
        _run(writer, intake, plan, options)
    finally:
        intake.close()
        # What was handed over is kept, also when the reader of this run gave up or a worker failed.
        writer.flush()
    report.interrupted = options.stop.is_set()
    if not report.interrupted:
        writer.finish()
    report.seconds = time.monotonic() - begun
    return report


def _run(writer: "_Writer", intake: Intake, plan: Plan, options: SyncOptions) -> None:
    done, total = 0, len(plan.jobs)
    with single_threaded_opencv():
        for outcomes in parallel(_drained(plan.jobs), intake, workers=options.workers, stop=options.stop):
            for outcome in outcomes:
                writer.take(outcome)
            done += len(outcomes)
            writer.flush_if_due()
            if options.progress:
                options.progress(done, total)


def _put_last(jobs: list[Job], doubtful: Collection[str]) -> None:
    """What failed before or was in hand when a run died comes after all else."""
    if doubtful:
        jobs.sort(key=lambda job: job.found.path in doubtful)


def _drained(jobs: list[Job]) -> Iterator[Job]:
    """The jobs in order, each let go as it is given: a kilobyte a file that has made room by the end of the run."""
    jobs.reverse()
    while jobs:
        yield jobs.pop()


class _Writer:
    """Collects outcomes and commits them together, every few seconds. Only this touches the store."""

    def __init__(self, store: Store, plan: Plan, intake: Intake) -> None:
        self._store, self._plan, self._intake = store, plan, intake
        self._rows: list[tuple[str, Vectors, dict[str, Scalar], str]] = []  # last: whose labels it takes over
        self._said: dict[str, dict[str, Scalar]] = {}  # what a person said of images that were overwritten
        self._updates: dict[str, dict[str, Scalar]] = {}
        self._deletes: list[str] = []
        self._failures: list[dict[str, Scalar]] = []
        self._healed: list[str] = []
        self._last = time.monotonic()
        self.report = AddReport(
            unchanged=plan.unchanged,
            failed=list(plan.failed),
            missing_roots=list(plan.missing_roots),
            skipped_raw=plan.skipped_raw,
            skipped_libraries=list(plan.skipped_libraries),
        )

    def take(self, outcome: Outcome) -> None:
        match outcome:
            case Fresh():
                self._fresh(outcome, outcome.job.known.ids if outcome.job.known else ())
            case Twin():
                self._twin(outcome)
            case Touched():
                self._touched(outcome)
            case Failed():
                self._failed(outcome)

    def flush_if_due(self) -> None:
        if len(self._rows) >= COMMIT_ROWS or time.monotonic() - self._last >= COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what has gathered: new rows with their metadata in one commit, then the small things."""
        rows, self._rows = self._rows, []
        if rows:
            self._remember([name for row in rows if row[3] for name in (row[0], row[3])])
            facts = [self._said.get(row[3], {}) | row[2] for row in rows]
            self._store.add([r[0] for r in rows], np.concatenate([r[1] for r in rows]), facts)
        updates, self._updates = self._updates, {}
        if updates:
            self._store.update(list(updates), list(updates.values()))
        deletes, self._deletes = self._deletes, []
        if deletes:
            self._store.delete(deletes)
        self._flush_failures()
        self._last = time.monotonic()

    def finish(self) -> None:
        """After the last file: drop what is gone, take over a manifest's new labels, keep the store in shape."""
        gone = [i for file in self._plan.gone.values() for i in file.ids]
        self.report.removed += self._store.delete(gone) if gone else 0
        self._healed += self._plan.forgotten_failures
        for file, facts in self._plan.relabelled:
            self._updates |= dict.fromkeys(file.ids, facts)
        self.flush()
        if self._plan.stamps:
            self._store.set_settings({STAMP + path: stamp for path, stamp in self._plan.stamps.items()})
        if self.report.added or self.report.changed or self.report.removed or self.report.moved:
            self._tidy()

    def _tidy(self) -> None:
        """Upkeep of the store; when it fails, nothing that was indexed is lost, and the sentence says so."""
        try:
            self._store.optimize()
        except StoreFailed as error:
            raise StoreFailed(f"every picture is indexed and kept, but the store was not tidied: {error}") from error

    def _remember(self, ids: Sequence[str]) -> None:
        """What a person said of images before they are overwritten: a file that is saved again keeps its label."""
        own = [n for n, kind in self._store.columns().items() if (n not in FACTS or n == "label") and kind is not bytes]
        wanted = [i for i in dict.fromkeys(ids) if i not in self._said]
        for row in self._store.get(wanted, own) if wanted and own else ():
            if row is not None:
                self._said[row.id] = {n: v for n, v in row.metadata.items() if v is not None}

    def _fresh(self, fresh: Fresh, sources: Sequence[str] = ()) -> None:
        """`sources`: the image whose labels each takes over; what a manifest says now goes before them."""
        job = fresh.job
        ids = frame_ids(job.id, [int(f["frame"] or 0) for f in fresh.facts])
        shared = file_facts(job.found, fresh.sha256)
        for n, (row_id, facts) in enumerate(zip(ids, fresh.facts, strict=True)):
            source = sources[n] if n < len(sources) else ""
            self._rows.append((row_id, fresh.vectors[n : n + 1], shared | facts, source))
            self.report.plain += bool(facts["plain"])
        self._count(job, len(ids))
        self._deletes += [i for i in job.known.ids if i not in ids] if job.known else []
        self._healed.append(job.found.path)

    def _count(self, job: Job, images: int) -> None:
        if job.known:
            self.report.changed += images
        else:
            self.report.added += images

    def _twin(self, twin: Twin) -> None:
        """The same bytes as a known file: that file moved here, or this is a second copy of it."""
        moved_from = None if twin.job.known else next((p for p in twin.paths if p in self._plan.gone), None)
        if moved_from is not None:
            self._moved(twin.job, self._plan.gone.pop(moved_from))
        elif not self._copied(twin):
            outcome = self._intake.embed_anyway(twin.job)
            if isinstance(outcome, Fresh):
                self._fresh(outcome, self._labelled_like(twin))
            else:
                self.take(outcome)

    def _moved(self, job: Job, old: KnownFile) -> None:
        self._updates |= {i: place(job.found) for i in old.ids}
        self.report.moved += len(old.ids)
        self._healed.append(job.found.path)

    def _copied(self, twin: Twin) -> bool:
        """Take the rows of the known file over under this one's id. False when they are no longer what they were."""
        old = self._plan.known[twin.paths[0]]
        columns = ["sha256", "width", "height", "format", "frame", "frames", "plain", "thumbnail"]
        rows = [row for row in self._store.get(old.ids, columns) if row is not None]
        whole = len(rows) == min(old.frames, self._intake.frames)
        if not whole or any(row.metadata["sha256"] != twin.sha256 for row in rows):
            return False
        vectors = np.stack([row.vector for row in rows])
        facts = [dict(row.metadata) for row in rows]
        self._fresh(Fresh(twin.job, twin.sha256, vectors, facts), self._labelled_like(twin))
        return True

    def _labelled_like(self, twin: Twin) -> Sequence[str]:
        """Files that swapped their names take what was said of their contents with them; a second copy is new."""
        return self._plan.known[twin.paths[0]].ids if twin.job.known else ()

    def _touched(self, touched: Touched) -> None:
        job = touched.job
        ids = job.known.ids if job.known else []
        self._updates |= {i: {"size": job.found.size, "mtime_ns": job.found.mtime_ns} for i in ids}
        self.report.unchanged += len(ids)

    def _failed(self, failed: Failed) -> None:
        found = failed.job.found
        self.report.failed.append(Failure(found.path, failed.reason))
        self._failures.append(
            {
                "path": found.path,
                "root": found.root,
                "size": found.size,
                "mtime_ns": found.mtime_ns,
                "reason": failed.reason,
                "retry": failed.retry,
                "version": __version__,
                "when": now(),
            }
        )
        # A picture that was replaced by something unreadable is no longer that picture; one that merely cannot be
        # read at the moment still is.
        if failed.job.known and not failed.retry:
            self._deletes += failed.job.known.ids
            self.report.removed += len(failed.job.known.ids)

    def _flush_failures(self) -> None:
        table = self._store.table(FAILURES)
        healed, self._healed = self._healed, []
        if gone := [path for path in healed if path in self._plan.failures]:
            table.remove(gone)
        failures, self._failures = self._failures, []
        if failures:
            table.put(failures)


def frame_ids(base: str, frames: Sequence[int]) -> list[str]:
    """One id a frame: the first has the file's, the others add #number."""
    return [base if n == 0 else f"{base}#{frame}" for n, frame in enumerate(frames)]


def place(found: SourceFile) -> dict[str, Scalar]:
    """Where a file is, and what its manifest says of it."""
    at: dict[str, Scalar] = {
        "path": found.path,
        "root": found.root,
        "size": found.size,
        "mtime_ns": found.mtime_ns,
    }
    return at | facts_of_manifest(found)


def file_facts(found: SourceFile, sha256: str) -> dict[str, Scalar]:
    """What the collection keeps of a file, besides what its picture says."""
    return place(found) | {"sha256": sha256, "indexed": now()}
