"""`python -m lookalike.server.work KIND URI FOLDER`: a job in a process of its own, telling how far it is.

Lines of JSON on stdout. Its priority is low, so that searches stay quick; SIGINT ends it in order. What it finds is
left in FOLDER for the server to answer from.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lookalike.errors import LookalikeError

TELL_SECONDS = 0.2
NICE = 10
KINDS = ("index", "duplicates", "clusters")
FOUND = "duplicates-found.json"


class Stopped(LookalikeError):
    """The job was asked to end."""


def main() -> None:
    """Do it, and tell the end of it also when it fails."""
    os.nice(NICE)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    kind, uri, folder = sys.argv[1:4]
    work = {"index": _index, "duplicates": _duplicates, "clusters": _clusters}[kind]
    try:
        _tell(work(uri, stop, Path(folder)))
    except Stopped:
        _tell({"state": "stopped"})
    except LookalikeError as error:
        _tell({"state": "failed", "message": str(error).replace(uri, "the collection")})
    except Exception as error:
        _tell({"state": "failed", "message": f"it failed unexpectedly ({type(error).__name__})"})


def _index(uri: str, stop: threading.Event, _folder: Path) -> dict[str, Any]:
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
    report["failed"] = len(report["failed"])
    report["missing_roots"] = [names.get(path, "a folder") for path in report["missing_roots"]]
    return {"state": "stopped" if report["interrupted"] else "done", "report": report}


def _duplicates(uri: str, stop: threading.Event, folder: Path) -> dict[str, Any]:
    from lookalike.cluster import Options, find_duplicates
    from lookalike.search import Collection
    from lookalike.search.sync import now

    with Collection.open(uri) as photos:
        found = find_duplicates(photos, options=Options(progress=_Progress(stop)))
    told = {"when": now(), "pictures": found.pictures, "seconds": found.seconds, "groups": [asdict(g) for g in found]}
    place = folder / FOUND
    place.with_suffix(".new").write_text(json.dumps(told, default=str))
    place.with_suffix(".new").replace(place)
    extras = sum(len(group.extras) for group in found)
    return {"state": "done", "report": {"groups": len(found), "extras": extras, "seconds": round(found.seconds, 1)}}


def _clusters(uri: str, stop: threading.Event, _folder: Path) -> dict[str, Any]:
    from lookalike.cluster.grouping import cluster
    from lookalike.cluster.kept import keep_clusters
    from lookalike.search import Collection

    with Collection.open(uri) as photos:
        made = cluster(photos)
        if stop.is_set():
            raise Stopped("stopped before it was kept")
        keep_clusters(photos, made)
    return {"state": "done", "report": {"levels": list(made.counts), "images": len(made.ids)}}


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
