"""Clusters kept in the collection: two small tables and one setting, which alone says what is current.

A clustering is written to the slot that is not current, then the setting turns to it: whoever reads sees a whole one,
also after kill -9. Rows that an earlier clustering left in the slot carry another run's number and are passed over.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lookalike.cluster.grouping import Cluster, Clusters
from lookalike.cluster.levels import Level
from lookalike.errors import BadQuery, LookalikeError
from lookalike.search import Collection
from lookalike.text import now
from lookalike.types import Metadata, Table

SETTING, NAMED = "clusters", "clusters_named"
_AT_ONCE = 50_000


class NoClusters(LookalikeError):
    """The collection has not been clustered."""


def current(photos: Collection) -> dict[str, Any] | None:
    """What the setting says: slot, run, method, counts, at (when), clustered (how many), low (5 % are below)."""
    text = photos.store.settings.get(SETTING)
    return json.loads(text) if text else None


def version(photos: Collection) -> str:
    """Another text once the clusters, or their names, are others."""
    settings = photos.store.settings
    return f"{settings.get(SETTING, '')} {settings.get(NAMED, '')}"


def keep_clusters(photos: Collection, clusters: Clusters) -> None:
    """Keep them in the collection in place of those before. `clusters.at` is when the vectors were read."""
    before = current(photos) or {"slot": "b", "run": 0}
    slot, run = ("b" if before["slot"] == "a" else "a"), int(before["run"]) + 1
    members = assignment_table(photos, slot)
    finest = clusters.levels[-1]
    for start in range(0, len(clusters.ids), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        columns = clusters.ids[part], finest.assignments[part].tolist(), finest.scores[part].tolist()
        members.put([assigned(run, *row, joined=False) for row in zip(*columns, strict=True)])
    cluster_table(photos, slot).put(list(_cluster_rows(clusters, run)))
    known = finest.scores[finest.assignments >= 0]
    told = {
        "slot": slot,
        "run": run,
        "method": clusters.method,
        "counts": clusters.counts,
        "at": clusters.at or now(),
        "clustered": len(clusters.ids),
        "low": float(np.quantile(known, 0.05)) if len(known) else -1.0,
    }
    photos.store.set_settings({SETTING: json.dumps(told)})


def load_clusters(photos: Collection) -> Clusters:
    """The clusters kept, without images that have left the collection. Raises NoClusters."""
    told = current(photos)
    if told is None:
        raise NoClusters(f"{photos.uri} has no clusters yet; make some with: lookalike cluster -c {photos.uri}")
    there = {str(i) for part in photos.store.scan(["id"]) for i in part["id"]}
    rows = [
        row for row in assignment_table(photos, told["slot"]).all() if row["run"] == told["run"] and row["id"] in there
    ]
    kept = [row for row in cluster_table(photos, told["slot"]).all() if row["run"] == told["run"]]
    finest = np.array([row["number"] for row in rows], np.int32)
    scores = np.array([row["score"] for row in rows], np.float32)
    levels, clusters = _levels(kept, finest, scores, len(told["counts"]), photos.card.dim)
    return Clusters(
        method=told["method"],
        ids=[str(row["id"]) for row in rows],
        levels=levels,
        clusters=clusters,
        at=told["at"],
        joined=np.array([bool(row["joined"]) for row in rows], np.bool_),
    )


def name_clusters(photos: Collection, names: Mapping[str, str]) -> None:
    """Call clusters by names: {"64/12": "shoes"}. Raises NoClusters, BadQuery for a cluster that is not there."""
    told = current(photos)
    check_clusters(load_clusters(photos), names)
    assert told is not None
    table = cluster_table(photos, told["slot"])
    table.put([row | {"name": names[str(row["cluster"])]} for row in table.all() if row["cluster"] in names])
    photos.store.set_settings({NAMED: uuid.uuid4().hex})  # who keeps a copy reads it anew


def check_clusters(kept: Clusters, names: Iterable[str]) -> None:
    """Raise BadQuery for the first name that is no cluster of these."""
    known = {c.key for level in kept.clusters for c in level}
    if unknown := [key for key in names if key not in known]:
        raise BadQuery(
            f"there is no cluster {unknown[0]!r}; a cluster is LEVEL/NUMBER with a level of "
            f"{', '.join(map(str, kept.counts))}, as the contact sheets show"
        )


def assignment_table(photos: Collection, slot: str) -> Table:
    return photos.store.table(f"assignments_{slot}", "id")


def cluster_table(photos: Collection, slot: str) -> Table:
    return photos.store.table(f"clusters_{slot}", "cluster")


def assigned(run: int, image_id: str, number: int, score: float, *, joined: bool) -> Metadata:
    return {"id": image_id, "run": run, "number": number, "score": score, "joined": joined}


def _cluster_rows(clusters: Clusters, run: int) -> Iterator[Metadata]:
    for place, (level, described) in enumerate(zip(clusters.levels, clusters.clusters, strict=True)):
        for c in described:
            yield {
                "cluster": c.key,
                "run": run,
                "place": place,
                "number": c.number,
                "parent": c.parent,
                "size": c.size,
                "tightness": c.tightness,
                "medoids": json.dumps(c.medoids),
                "name": c.name,
                "centre": level.centres[c.number].tobytes(),
            }


def _levels(
    kept: list[dict[str, Any]], finest: Any, scores: Any, count: int, dim: int
) -> tuple[list[Level], list[list[Cluster]]]:
    rows = [sorted((r for r in kept if r["place"] == place), key=lambda r: r["number"]) for place in range(count)]
    clusters = [
        [
            Cluster(
                level=len(level),
                number=r["number"],
                parent=r["parent"],
                size=r["size"],
                tightness=r["tightness"],
                medoids=tuple(json.loads(r["medoids"])),
                name=r["name"] or "",
            )
            for r in level
        ]
        for level in rows
    ]
    levels: list[Level] = []
    numbers = finest
    for place in reversed(range(count)):
        centres = np.array([np.frombuffer(r["centre"], np.float32) for r in rows[place]], np.float32).reshape(-1, dim)
        levels.insert(0, Level(centres, numbers, scores))  # only the finest level's scores are kept
        if place:
            parents = np.array([r["parent"] for r in rows[place]], np.int32)
            numbers = parents[numbers]
    return levels, clusters
