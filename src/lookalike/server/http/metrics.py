"""Counters, gauges and histograms in the Prometheus text format, summed over the workers of one server."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KINDS = {
    "lookalike_requests_total": ("counter", "Requests by route, method and status."),
    "lookalike_request_seconds": (
        "histogram",
        "Seconds from the request's headers to the end of the response, by route.",
    ),
    "lookalike_refused_total": ("counter", "Requests refused before they reached a route, by reason."),
    "lookalike_batches_total": ("counter", "Batches of work, by kind."),
    "lookalike_batch_items_total": ("counter", "Items in those batches, by kind."),
    "lookalike_decoder_restarts_total": (
        "counter",
        "Decoder processes replaced after a crash, a timeout or exhausted memory.",
    ),
    "lookalike_waiting": ("gauge", "Requests that wait to be processed, by kind."),
    "lookalike_images": ("gauge", "Images in the collection."),
    "lookalike_resident_bytes": ("gauge", "Bytes of vectors and metadata held in memory, over all workers."),
}
SAME_FOR_ALL = {"lookalike_images"}

LabelPairs = tuple[tuple[str, str], ...]


class Metrics:
    """Values by metric name and labels: `add` increments a counter, `set` stores a current total."""

    def __init__(self, folder: str = "") -> None:
        self._values: dict[tuple[str, LabelPairs], float] = {}
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
        """Add the duration of one request to the histogram."""
        name = "lookalike_request_seconds"
        for bound in BUCKETS:
            if seconds <= bound:
                self.add(f"{name}_bucket", route=route, le=f"{bound:g}")
        self.add(f"{name}_bucket", route=route, le="+Inf")
        self.add(f"{name}_sum", seconds, route=route)
        self.add(f"{name}_count", route=route)

    def text(self) -> str:
        """Return the metrics of all workers in the Prometheus text format."""
        values = self._summed()
        return "\n".join(_lines(values)) + "\n"

    def publish(self) -> None:
        """Write this worker's values to a file in the folder shared by all workers."""
        if self._folder is None:
            return
        with self._lock:
            rows = [[name, labels, value] for (name, labels), value in self._values.items()]
        path = self._folder / f"metrics-{os.getpid()}.json"
        with suppress(OSError):
            path.with_suffix(".new").write_text(json.dumps(rows))
            path.with_suffix(".new").replace(path)

    def _summed(self) -> Mapping[tuple[str, LabelPairs], float]:
        with self._lock:
            values = dict(self._values)
        for path in self._folder.glob("metrics-*.json") if self._folder else ():
            if path.name == f"metrics-{os.getpid()}.json":
                continue
            with suppress(OSError, ValueError):
                for name, labels, value in json.loads(path.read_text()):
                    key = (name, tuple((k, v) for k, v in labels))
                    others = values.get(key, 0.0)
                    values[key] = max(others, value) if name in SAME_FOR_ALL else others + value
        return values


def _lines(values: Mapping[tuple[str, LabelPairs], float]) -> Iterator[str]:
    for family, (kind, description) in KINDS.items():
        yield f"# HELP {family} {description}"
        yield f"# TYPE {family} {kind}"
        names = (family, f"{family}_bucket", f"{family}_sum", f"{family}_count")
        for (name, labels), value in sorted(values.items(), key=lambda item: _sort_key(*item[0])):
            if name in names:
                pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
                yield f"{name}{{{pairs}}} {value:.12g}" if pairs else f"{name} {value:.12g}"


def _sort_key(name: str, labels: LabelPairs) -> tuple[str, list[tuple[str, float, str]]]:
    """Sort the buckets of a histogram by their bounds."""
    return name, [(key, float(text) if key == "le" else 0.0, text) for key, text in sorted(labels, reverse=True)]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
