"""`python -m lookalike.server.work KIND URI`: a job in a process of its own, telling how far it is.

Lines of JSON on stdout. Its priority is low, so that searches stay quick; SIGINT ends it in order. What it finds is
kept in the collection.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from lookalike.errors import LookalikeError
from lookalike.server.places import masked

TELL_SECONDS = 0.2
NICE = 10


class Stopped(LookalikeError):
    """The job was asked to end."""


def main() -> None:
    """Do it, and tell the end of it also when it fails."""
    os.nice(NICE)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    kind, uri = sys.argv[1:3]
    try:
        _tell(KINDS[kind](uri, stop))
    except Stopped:
        _tell({"state": "stopped"})
    except LookalikeError as error:
        _tell({"state": "failed", "message": masked(str(error), uri)})
    except Exception as error:
        _tell({"state": "failed", "message": f"it failed unexpectedly ({type(error).__name__})"})


def _index(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.search import Collection
    from lookalike.search.sync import SyncOptions

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
    from lookalike.cluster import Options, find_duplicates
    from lookalike.cluster.findings import keep_duplicates
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        found = find_duplicates(photos, options=Options(progress=_Progress(stop)))
        keep_duplicates(photos, found)
    extras = sum(len(group.extras) for group in found)
    return {"state": "done", "report": {"groups": len(found), "extras": extras, "seconds": round(found.seconds, 1)}}


def _clusters(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster.grouping import cluster
    from lookalike.cluster.kept import keep_clusters
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        made = cluster(photos)
        if stop.is_set():
            raise Stopped("stopped before it was kept")
        keep_clusters(photos, made)
    return {"state": "done", "report": {"levels": list(made.counts), "images": len(made.ids)}}


def _labels(uri: str, stop: threading.Event) -> dict[str, Any]:
    import numpy as np

    from lookalike.cluster import keep_spread, known_labels, read_vectors, spread
    from lookalike.cluster.findings import keep_suspects
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        known = known_labels(photos)
        if not known:
            return {"state": "failed", "message": "no picture has a label yet; give some of them one first"}
        ids, vectors = read_vectors(photos)
        rows = np.array([row for row, name in enumerate(ids) if name in known], np.int64)
        found = spread(vectors, rows, [known[ids[row]] for row in rows])
        if stop.is_set():
            raise Stopped("stopped before it was kept")
        named = zip(ids, found.labels.tolist(), found.confidence.tolist(), strict=True)
        keep_spread(photos, {name: (str(label), float(sure)) for name, label, sure in named})
        keep_suspects(photos, ids, found.suspects)
    answered = int(found.sure.sum()) - len(rows)
    report = {"labelled": len(rows), "named": answered, "unsure": len(ids) - len(rows) - answered}
    return {"state": "done", "report": report | {"error": round(found.calibration.error, 4)}}


def _map(uri: str, stop: threading.Event) -> dict[str, Any]:
    from lookalike.cluster import make_map
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        ids, _ = make_map(photos, progress=_Progress(stop))
    return {"state": "done", "report": {"images": len(ids)}}


KINDS = {"index": _index, "duplicates": _duplicates, "clusters": _clusters, "labels": _labels, "map": _map}


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
