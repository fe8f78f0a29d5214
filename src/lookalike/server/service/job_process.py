"""The process of one job: `python -m lookalike.server.service.job_process KIND URI [ARGUMENT...]`.

It prints its state as lines of JSON, tracebacks of unexpected errors to stderr for the server's log, and saves its
results in the collection. It runs at low priority so that searches stay fast, and stops gracefully on SIGINT, and when
its stdin ends: the server has ended.
"""

import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lookalike.deprecation import with_old_keys
from lookalike.errors import BadQuery, JournalError, LookalikeError
from lookalike.server.http.redaction import redact_location
from lookalike.server.service.journals import cut_at_path, without_paths
from lookalike.types import DuplicateGroup

if TYPE_CHECKING:
    from lookalike.duplicates.files.apply import SkippedFile

REPORT_SECONDS = 0.2
NICENESS = 10


class Stopped(LookalikeError):
    """The job was stopped by SIGINT."""


def main() -> None:
    """Run the job and report its final state, also when it fails."""
    os.nice(NICENESS)
    faulthandler.enable()
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    threading.Thread(target=_stop_with_server, args=(stop,), daemon=True).start()
    kind, uri, *arguments = sys.argv[1:]
    try:
        _report(KINDS[kind](uri, stop, *arguments))
    except Stopped:
        _report({"state": "stopped"})
    except LookalikeError as error:
        _report(
            {"state": "failed", "message": _public_message(error, uri), "reason": str(error) or type(error).__name__}
        )
    except Exception as error:
        traceback.print_exc()
        _report({"state": "failed", "message": f"it failed unexpectedly ({type(error).__name__})"})


def _stop_with_server(stop: threading.Event) -> None:
    """Set `stop` once the server has ended, which closes the other end of stdin."""
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    stop.set()


def _public_message(error: LookalikeError, uri: str) -> str:
    """Return the sentence about a failure that a response may contain."""
    if isinstance(error, JournalError):
        return cut_at_path(str(error))
    return redact_location(error.without_location(), uri)


def _index(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.indexing.sync import SyncOptions
    from lookalike.relate.local_search import update_local_features
    from lookalike.schema import KEEPS_LOCAL_FEATURES
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        if not photos.roots():
            raise BadQuery("the collection has no folders to index; add one with: lookalike index FOLDER")
        # Leave one core to searches.
        workers = max(1, (os.cpu_count() or 2) - 1)
        report = asdict(photos.sync(options=SyncOptions(workers=workers, progress=_Progress(), stop=stop)))
        if KEEPS_LOCAL_FEATURES.name in photos.store.settings and not report["interrupted"]:
            update_local_features(photos, progress=_Progress(stop))
        names = {root.path: root.prefix for root in photos.roots()}
    report |= {name: len(report[name]) for name in ("failed", "skipped_libraries")}
    report["missing_roots"] = [names.get(path, "a folder") for path in report["missing_roots"]]
    return {"state": "stopped" if report["interrupted"] else "done", "report": report}


def _duplicates(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.duplicates import Options, find_duplicates
    from lookalike.duplicates.review.saved_groups import save_duplicates
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        duplicates = find_duplicates(photos, options=Options(progress=_Progress(stop)))
        save_duplicates(photos, duplicates)
    extras = sum(len(group.extras) for group in duplicates)
    report = {"groups": len(duplicates), "extras": extras, "seconds": round(duplicates.seconds, 1)}
    return {"state": "done", "report": report}


def _clusters(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster.grouping import cluster
    from lookalike.cluster.storage import save_clusters
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        clusters = cluster(photos)
        if stop.is_set():
            raise Stopped("stopped before the result was saved")
        save_clusters(photos, clusters)
    return {"state": "done", "report": {"levels": list(clusters.counts), "images": len(clusters.ids)}}


def _labels(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster import NoLabels, propagate, save_propagation
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        try:
            propagation = propagate(photos)
        except NoLabels:
            raise BadQuery("no image has a label yet; label some images first") from None
        if stop.is_set():
            raise Stopped("stopped before the result was saved")
        save_propagation(photos, propagation)
    counts = {"labeled": len(propagation.labeled), "named": propagation.named, "unsure": propagation.unsure}
    return {
        "state": "done",
        "report": with_old_keys(counts) | {"error": round(propagation.result.calibration.error, 4)},
    }


def _map(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster import make_map
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        ids, _ = make_map(photos, progress=_Progress(stop))
    return {"state": "done", "report": {"images": len(ids)}}


def _apply(uri: str, stop: threading.Event, journal: str, when: str, files: str, show_paths: str) -> dict[str, Any]:
    """Move the accepted extras to the trash. `when` and `files`: the search and the number of extras reviewed."""
    from lookalike.duplicates import Action, Decisions, KeepChoices, accepted_groups, apply_steps, plan_steps
    from lookalike.duplicates.review.saved_groups import load_duplicates, still_present
    from lookalike.search import Collection
    from lookalike.server.service.journals import (
        count_movable,
        journal_path,
        make_journal_folder,
        present_groups,
    )

    action = Action("trash")
    with Collection.open(uri, read_only=True) as photos:
        stored = load_duplicates(photos)
        if stored is None or stored[0] != when:
            raise LookalikeError("a new search has replaced these groups; review the groups and apply again")
        present = present_groups(stored[1], uri)
        accepted = accepted_groups(present, Decisions(photos).by_pair(), KeepChoices(photos).by_content())
        groups = still_present(photos, accepted)
    if (now := count_movable(groups)[0]) != int(files):
        raise LookalikeError(f"{now:,} extras are accepted now, not {int(files):,}; review them and apply again")
    steps, skipped = plan_steps(groups, action)
    report: dict[str, Any] = {"journal": journal, "moved": 0, "bytes": 0, "left": []}
    if steps:
        make_journal_folder()
        progress = _Progress(stop)
        result = apply_steps(steps, action, journal_path(journal), collection=uri, progress=progress)
        skipped += result.skipped
        report |= {"moved": len(result.done), "bytes": result.moved_bytes}
    report["left"] = _skipped_files(skipped, groups, show_paths=bool(show_paths))
    return {"state": "done", "report": report}


def _undo(uri: str, stop: threading.Event, journal: str, show_paths: str) -> dict[str, Any]:
    """Restore the files of one journal."""
    from lookalike.duplicates import undo
    from lookalike.duplicates.review.saved_groups import load_duplicates
    from lookalike.search import Collection
    from lookalike.server.service.journals import journal_path

    result = undo(journal_path(journal), progress=_Progress(stop))
    with Collection.open(uri, read_only=True) as photos:
        stored = load_duplicates(photos)
    groups = stored[1].groups if stored else ()
    skipped = _skipped_files(result.skipped, groups, show_paths=bool(show_paths))
    restored = len(result.restored) + len(result.already_present)
    return {"state": "done", "report": {"journal": journal, "restored": restored, "left": skipped}}


KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "index": _index, "duplicates": _duplicates, "clusters": _clusters, "labels": _labels, "map": _map,
    "apply": _apply, "undo": _undo,
}  # fmt: skip


def _skipped_files(
    skipped: "Iterable[SkippedFile]", groups: Iterable[DuplicateGroup], *, show_paths: bool
) -> list[dict[str, str]]:
    """Return the files that were left as they are, by the ids of their images, or by name, with the reasons."""
    groups = list(groups)
    ids = {str(extra.metadata.get("path") or ""): extra.id for group in groups for extra in group.extras}
    return [
        {
            "id": ids.get(file.path, os.path.basename(file.path)),
            "reason": file.reason if show_paths else without_paths(file.reason, groups, file.path),
        }
        for file in skipped
    ]


class _Progress:
    """Reports progress at most five times per second. With `stop`, raises Stopped once it is set."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._last_report, self._stop = 0.0, stop

    def __call__(self, done: int, total: int) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Stopped("stopped")
        now = time.monotonic()
        if now - self._last_report >= REPORT_SECONDS or done == total:
            self._last_report = now
            _report({"done": done, "total": total})


def _report(values: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # the server has ended, so the job is about to stop
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
