"""New pictures join the nearest cluster, and drift tells when the clusters no longer fit. Without FAISS."""

import json
from dataclasses import dataclass

import numpy as np

from lookalike.cluster.storage import SETTING, assigned, assignment_table, cluster_table, current, load_clusters
from lookalike.search import Collection
from lookalike.text import now

_EXPECTED = 0.05  # of pictures lie below the score that `low` remembers, when nothing has changed
_TOO_FAR, _ENOUGH, _TOO_MANY = 0.15, 50, 0.5


@dataclass(frozen=True, slots=True)
class Drift:
    """How the pictures that came later fit. `joined` and `clustered`: how many. `far`: the share of those that joined
    and lie farther from their centre than 95 % of the clustered ones did (.05 means: as before). `gone`: pictures
    clustered then and not there now. `again`: whether to cluster again.
    """

    clustered: int
    joined: int
    gone: int
    far: float
    again: bool

    def __str__(self) -> str:
        told = f"{self.clustered:,} clustered, {self.joined:,} joined later, {self.gone:,} gone since"
        if self.joined:
            told += f"; drift {self.far:.2f} of those that joined fit badly ({_EXPECTED} is as before)"
        return told + ("; cluster again" if self.again else "")


def join_new(photos: Collection) -> int:
    """Assign what was indexed since to the nearest cluster. Returns how many joined; 0 where there are no clusters."""
    told = current(photos)
    if told is None:
        return 0
    begun = now()
    found = list(photos.store.scan(["id", "vector", "indexed"], where=f"indexed >= '{told['at']}'"))
    ids = [str(i) for part in found for i in part["id"]]
    if not ids or not told["counts"][-1]:
        return 0
    members, last = assignment_table(photos, told["slot"]), len(told["counts"]) - 1
    later = np.concatenate([part["indexed"] for part in found]) > told["at"]
    # To the second: what was indexed in the second of the clustering itself may have been part of it.
    known = set() if later.all() else {str(r["id"]) for r in members.all() if r["run"] == told["run"]}
    fresh = np.array([is_later or name not in known for is_later, name in zip(later, ids, strict=True)])
    kept = [r for r in cluster_table(photos, told["slot"]).all() if r["run"] == told["run"] and r["place"] == last]
    kept.sort(key=lambda row: row["number"] or 0)
    centres = np.array([np.frombuffer(row["centre"], np.float32) for row in kept])  # type: ignore[arg-type]
    scores = np.concatenate([part["vector"] for part in found])[fresh] @ centres.T
    numbers, best = scores.argmax(axis=1), scores.max(axis=1)
    if told["method"] == "density":
        numbers[best < told["low"]] = -1
    chosen = [name for name, wanted in zip(ids, fresh, strict=True) if wanted]
    rows = zip(chosen, numbers.tolist(), best.tolist(), strict=True)
    members.put([assigned(told["run"], *row, joined=True) for row in rows])
    photos.store.set_settings({SETTING: json.dumps(told | {"at": begun})})
    return len(chosen)


def drift(photos: Collection) -> Drift:
    """Judge the clusters kept against what the collection holds now. Raises NoClusters."""
    kept = load_clusters(photos)
    told = current(photos)
    assert told is not None
    joined = int(kept.joined.sum())
    far = float((kept.scores[kept.joined] < told["low"]).mean()) if joined else 0.0
    gone = told["clustered"] - (len(kept.ids) - joined)
    again = (joined >= _ENOUGH and far > _TOO_FAR) or joined + gone > _TOO_MANY * max(told["clustered"], 1)
    return Drift(told["clustered"], joined, max(gone, 0), far, again)
