"""Assign new images to the nearest cluster, and measure drift: whether the clusters still fit. Without FAISS."""

import json
from dataclasses import dataclass

import numpy as np

from lookalike.cluster.storage import (
    assignment_row,
    assignment_table,
    assignments,
    cluster_table,
    current_run,
    load_clusters,
)
from lookalike.parts import ALIKE, part_of
from lookalike.schema import CURRENT_CLUSTERS
from lookalike.search import Collection
from lookalike.text import now

_EXPECTED = 0.05  # share of images below the saved score `low` if nothing has changed
_MAX_FAR, _MIN_JOINED, _MAX_CHANGED = 0.15, 50, 0.5


@dataclass(frozen=True, slots=True)
class Drift:
    """How well the images that joined later fit.

    `clustered`, `joined`: how many images. `gone`: clustered images that have left the collection. `far`: the share of
    joined images farther from their center than 95% of the clustered ones were (.05 means no change). `again`: whether
    to cluster again.
    """

    clustered: int
    joined: int
    gone: int
    far: float
    again: bool

    def __str__(self) -> str:
        text = f"{self.clustered:,} clustered, {self.joined:,} joined later, {self.gone:,} removed"
        if self.joined:
            text += f"; drift {self.far:.2f}, the share of joined images that fit badly ({_EXPECTED} is normal)"
        return text + ("; cluster again" if self.again else "")


def join_new(photos: Collection) -> int:
    """Assign images indexed since the clustering to the nearest cluster. Returns how many; 0 without clusters."""
    run = current_run(photos)
    if run is None:
        return 0
    started_at = now()
    parts = list(photos.store.scan(["id", "vector", "indexed"], where=f"indexed >= '{run['at']}'"))
    ids = [str(i) for part in parts for i in part["id"]]
    if not ids or not run["counts"][-1]:
        return 0
    members, finest = assignment_table(photos, run["slot"]), len(run["counts"]) - 1
    later = np.concatenate([part["indexed"] for part in parts]) > run["at"]
    # Times have a resolution of a second: an image indexed in the second of the clustering may have been part of it.
    known = set() if later.all() else set(assignments(photos, run)["id"])
    is_new = np.array([is_later or name not in known for is_later, name in zip(later, ids, strict=True)])
    clusters = [r for r in cluster_table(photos, run["slot"]).all() if r["run"] == run["run"] and r["place"] == finest]
    clusters.sort(key=lambda row: row["number"] or 0)
    centers = np.array([np.frombuffer(row["centre"], np.float32) for row in clusters])  # type: ignore[arg-type]
    vectors = part_of(np.concatenate([part["vector"] for part in parts])[is_new], photos.card, ALIKE)
    scores = vectors @ centers.T
    numbers, best = scores.argmax(axis=1), scores.max(axis=1)
    if run["method"] == "density":
        numbers[best < run["low"]] = -1
    new_ids = [name for name, new in zip(ids, is_new, strict=True) if new]
    rows = zip(new_ids, numbers.tolist(), best.tolist(), strict=True)
    members.put([assignment_row(run["run"], *row, joined=True) for row in rows])
    photos.store.set_settings({CURRENT_CLUSTERS.name: json.dumps(run | {"at": started_at})})
    return len(new_ids)


def drift(photos: Collection) -> Drift:
    """Compare the saved clusters with the collection as it is now. Raises NoClusters."""
    clusters = load_clusters(photos)
    run = current_run(photos)
    assert run is not None
    joined = int(clusters.joined.sum())
    far = float((clusters.scores[clusters.joined] < run["low"]).mean()) if joined else 0.0
    gone = run["clustered"] - (len(clusters.ids) - joined)
    again = (joined >= _MIN_JOINED and far > _MAX_FAR) or joined + gone > _MAX_CHANGED * max(run["clustered"], 1)
    return Drift(run["clustered"], joined, max(gone, 0), far, again)
