"""Counts and times in Prometheus' text format, written by hand; the workers of one server are summed."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KINDS = {
    "lookalike_requests_total": ("counter", "Requests by route, method and status."),
    "lookalike_request_seconds": ("histogram", "Seconds from the request's head to the end of its answer, by route."),
    "lookalike_refused_total": ("counter", "Requests refused before they reached a route, by reason."),
    "lookalike_batches_total": ("counter", "Batches of work, by kind."),
    "lookalike_batch_items_total": ("counter", "Items in those batches, by kind."),
    "lookalike_decoder_restarts_total": ("counter", "Decoder processes replaced because of what they were given."),
    "lookalike_waiting": ("gauge", "Requests that wait for work, by kind."),
    "lookalike_images": ("gauge", "Images in the collection."),
    "lookalike_resident_bytes": ("gauge", "Bytes of vectors held in memory, over all workers."),
}
SAME_FOR_ALL = {"lookalike_images"}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Numbers by name and labels; `set` for what is known as a total, `add` for what happens."""

    def __init__(self, folder: str = "") -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._lock = threading.Lock()
        self._folder = Path(folder) if folder else None

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + value

    def set(self, name: str, value: float, **labels: str) -> None:
        with self._lock:
            self._values[name, tuple(sorted(labels.items()))] = value

    def observe(self, route: str, seconds: float) -> None:
        """One request's time, into the histogram."""
        name = "lookalike_request_seconds"
        for bound in BUCKETS:
            if seconds <= bound:
                self.add(f"{name}_bucket", route=route, le=f"{bound:g}")
        self.add(f"{name}_bucket", route=route, le="+Inf")
        self.add(f"{name}_sum", seconds, route=route)
        self.add(f"{name}_count", route=route)

    def text(self) -> str:
        """All numbers of all workers."""
        values = self._summed()
        return "\n".join(_lines(values)) + "\n"

    def leave(self) -> None:
        """Write this worker's numbers where its siblings find them."""
        if self._folder is None:
            return
        with self._lock:
            told = [[name, labels, value] for (name, labels), value in self._values.items()]
        place = self._folder / f"metrics-{os.getpid()}.json"
        with suppress(OSError):
            place.with_suffix(".new").write_text(json.dumps(told))
            place.with_suffix(".new").replace(place)

    def _summed(self) -> Mapping[tuple[str, Labels], float]:
        with self._lock:
            values = dict(self._values)
        for place in self._folder.glob("metrics-*.json") if self._folder else ():
            if place.name == f"metrics-{os.getpid()}.json":
                continue
            with suppress(OSError, ValueError):
                for name, labels, value in json.loads(place.read_text()):
                    key = (name, tuple((k, v) for k, v in labels))
                    others = values.get(key, 0.0)
                    values[key] = max(others, value) if name in SAME_FOR_ALL else others + value
        return values


def _lines(values: Mapping[tuple[str, Labels], float]) -> Iterator[str]:
    for family, (kind, told) in KINDS.items():
        yield f"# HELP {family} {told}"
        yield f"# TYPE {family} {kind}"
        mine = (family, f"{family}_bucket", f"{family}_sum", f"{family}_count")
        for (name, labels), value in sorted(values.items(), key=lambda item: _place(*item[0])):
            if name in mine:
                shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
                yield f"{name}{{{shown}}} {value:.12g}" if shown else f"{name} {value:.12g}"


def _place(name: str, labels: Labels) -> tuple[str, list[tuple[str, float, str]]]:
    """Buckets in the order of their bounds."""
    return name, [(key, float(text) if key == "le" else 0.0, text) for key, text in sorted(labels, reverse=True)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
