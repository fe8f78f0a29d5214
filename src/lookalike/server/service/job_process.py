"""One job in a process of its own: `python -m lookalike.server.service.job_process KIND URI [ARGUMENT...]`.

Lines of JSON on stdout. Its priority is low, so that searches stay quick; SIGINT ends it in order. What it finds is
kept in the collection.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lookalike.errors import JournalError, LookalikeError
from lookalike.server.http.redaction import masked
from lookalike.server.service.journals import cut_at_path

TELL_SECONDS = 0.2
NICE = 10


class Stopped(LookalikeError):
    """The job was asked to end."""


def main() -> None:
    """Do it, and tell the end of it also when it fails."""
    os.nice(NICE)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    kind, uri, *arguments = sys.argv[1:]
    try:
        _tell(KINDS[kind](uri, stop, *arguments))
    except Stopped:
        _tell({"state": "stopped"})
    except JournalError as error:
        _tell({"state": "failed", "message": cut_at_path(str(error))})
    except LookalikeError as error:
        _tell({"state": "failed", "message": masked(str(error), uri)})
    except Exception as error:
        _tell({"state": "failed", "message": f"it failed unexpectedly ({type(error).__name__})"})


def _index(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.indexing.sync import SyncOptions
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        if not photos.roots():
            reason = "the collection follows no folder; name one with: lookalike index FOLDER"
            return {"state": "failed", "message": reason}
        # One worker fewer than there are cores: the other is for searches.
        workers = max(1, (os.cpu_count() or 2) - 1)
        report = asdict(photos.sync(options=SyncOptions(workers=workers, progress=_Progress(), stop=stop)))
        names = {root.path: root.prefix for root in photos.roots()}
    report |= {name: len(report[name]) for name in ("failed", "skipped_libraries")}
    report["missing_roots"] = [names.get(path, "a folder") for path in report["missing_roots"]]
    return {"state": "stopped" if report["interrupted"] else "done", "report": report}


def _duplicates(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.duplicates import Options, find_duplicates
    from lookalike.duplicates.review.saved_groups import save_duplicates
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        found = find_duplicates(photos, options=Options(progress=_Progress(stop)))
        save_duplicates(photos, found)
    extras = sum(len(group.extras) for group in found)
    return {"state": "done", "report": {"groups": len(found), "extras": extras, "seconds": round(found.seconds, 1)}}


def _clusters(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster.grouping import cluster
    from lookalike.cluster.storage import save_clusters
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        made = cluster(photos)
        if stop.is_set():
            raise Stopped("stopped before it was kept")
        save_clusters(photos, made)
    return {"state": "done", "report": {"levels": list(made.counts), "images": len(made.ids)}}


def _labels(uri: str, stop: threading.Event) -> dict[str, Any]:
    import numpy as np

    from lookalike.cluster import known_labels, propagate_labels, read_vectors, save_propagated, save_suspects
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        known = known_labels(photos)
        if not known:
            return {"state": "failed", "message": "no picture has a label yet; give some of them one first"}
        ids, vectors = read_vectors(photos)
        rows = np.array([row for row, name in enumerate(ids) if name in known], np.int64)
        found = propagate_labels(vectors, rows, [known[ids[row]] for row in rows])
        if stop.is_set():
            raise Stopped("stopped before it was kept")
        named = zip(ids, found.labels.tolist(), found.confidence.tolist(), strict=True)
        save_propagated(photos, {name: (str(label), float(sure)) for name, label, sure in named})
        save_suspects(photos, ids, found.suspects)
    answered = int(found.sure.sum()) - len(rows)
    report = {"labelled": len(rows), "named": answered, "unsure": len(ids) - len(rows) - answered}
    return {"state": "done", "report": report | {"error": round(found.calibration.error, 4)}}


def _map(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster import make_map
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        ids, _ = make_map(photos, progress=_Progress(stop))
    return {"state": "done", "report": {"images": len(ids)}}


def _apply(uri: str, stop: threading.Event, journal: str, when: str, files: str, show_paths: str) -> dict[str, Any]:
    """Move the accepted extras to the trash. `when`, `files`: the search and the number that a person looked at."""
    from lookalike.duplicates import Action, Decisions, KeepChoices, accepted_groups, apply_steps, plan_steps
    from lookalike.duplicates.review.saved_groups import load_duplicates, still_present
    from lookalike.search import Collection
    from lookalike.server.service.journals import (
        count_movable,
        journal_path,
        make_journal_folder,
        present_groups,
        without_paths,
    )

    action = Action("trash")
    with Collection.open(uri, read_only=True) as photos:
        stored = load_duplicates(photos)
        if stored is None or stored[0] != when:
            raise LookalikeError("somebody looked for duplicates again meanwhile; look at the groups and apply again")
        present = present_groups(stored[1], uri)
        accepted = accepted_groups(present, Decisions(photos).by_pair(), KeepChoices(photos).by_content())
        groups = still_present(photos, accepted)
    if (now := count_movable(groups)[0]) != int(files):
        raise LookalikeError(f"{now:,} extras are accepted by now, not {int(files):,}; look at them and apply again")
    steps, left = plan_steps(groups, action)
    report: dict[str, Any] = {"journal": journal, "moved": 0, "bytes": 0, "left": []}
    if steps:
        make_journal_folder()
        progress = _Progress(stop)
        applied = apply_steps(steps, action, journal_path(journal), collection=uri, progress=progress)
        left += applied.skipped
        report |= {"moved": len(applied.done), "bytes": applied.moved_bytes}
    ids = {str(extra.metadata.get("path") or ""): extra.id for group in groups for extra in group.extras}
    report["left"] = [
        {
            "id": ids.get(one.path, one.path),
            "reason": one.reason if show_paths else without_paths(one.reason, groups, one.path),
        }
        for one in left
    ]
    return {"state": "done", "report": report}


def _undo(uri: str, stop: threading.Event, journal: str, show_paths: str) -> dict[str, Any]:
    """Put back what one journal took away."""
    from lookalike.duplicates import undo
    from lookalike.duplicates.review.saved_groups import load_duplicates
    from lookalike.search import Collection
    from lookalike.server.service.journals import journal_path, without_paths

    undone = undo(journal_path(journal), progress=_Progress(stop))
    with Collection.open(uri, read_only=True) as photos:
        stored = load_duplicates(photos)
    groups = stored[1].groups if stored else ()
    ids = {str(extra.metadata.get("path") or ""): extra.id for group in groups for extra in group.extras}
    left = [
        {
            "id": ids.get(one.path, os.path.basename(one.path)),
            "reason": one.reason if show_paths else without_paths(one.reason, groups, one.path),
        }
        for one in undone.skipped
    ]
    restored = len(undone.restored) + len(undone.already_present)
    return {"state": "done", "report": {"journal": journal, "restored": restored, "left": left}}


KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "index": _index, "duplicates": _duplicates, "clusters": _clusters, "labels": _labels, "map": _map,
    "apply": _apply, "undo": _undo,
}  # fmt: skip


class _Progress:
    """Tells five times a second at most; ends the job where that is wanted and nothing else does it."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._told, self._stop = 0.0, stop

    def __call__(self, done: int, total: int) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Stopped("stopped")
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS or done == total:
            self._told = now
            _tell({"done": done, "total": total})


def _tell(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
