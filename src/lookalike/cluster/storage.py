"""Clusters saved in the collection: two small tables, and one setting that alone says which run is current.

A clustering is written to the slot that is not current, then the setting is switched to it: a reader always sees a
complete one, also after kill -9. Rows that an earlier clustering left in the slot have another run number and are
ignored.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.grouping import Cluster, Clusters
from lookalike.cluster.levels import Level
from lookalike.errors import BadQuery, LookalikeError
from lookalike.parts import ALIKE, dim_of
from lookalike.schema import ASSIGNMENTS, CLUSTERS, CLUSTERS_NAMED, CURRENT_CLUSTERS
from lookalike.search import Collection
from lookalike.store.table_columns import read_columns, replace_rows
from lookalike.text import now
from lookalike.types import Metadata, Table


class NoClusters(LookalikeError):
    """The collection has not been clustered."""


def current_run(photos: Collection) -> dict[str, Any] | None:
    """The record of the saved clustering, None if there is none.

    Keys: slot, run, method, counts, at (when), clustered (how many images), low (a score: 5% of the images are below).
    """
    text = photos.store.settings.get(CURRENT_CLUSTERS.name)
    return json.loads(text) if text else None


def clusters_version(photos: Collection) -> str:
    """A text that changes with the saved clusters and with their names."""
    settings = photos.store.settings
    return f"{settings.get(CURRENT_CLUSTERS.name, '')} {settings.get(CLUSTERS_NAMED.name, '')}"


def save_clusters(photos: Collection, clusters: Clusters) -> None:
    """Save clusters in the collection, replacing earlier ones. `clusters.at` is when the vectors were read."""
    before = current_run(photos) or {"slot": "b", "run": 0}
    slot, run = ("b" if before["slot"] == "a" else "a"), int(before["run"]) + 1
    finest = clusters.levels[-1]
    columns: dict[str, Any] = {
        "id": clusters.ids,
        "run": np.full(len(clusters.ids), run, np.int64),
        "number": finest.assignments,
        "score": finest.scores,
        "joined": np.zeros(len(clusters.ids), np.bool_),
    }
    replace_rows(assignment_table(photos, slot), ASSIGNMENTS.key, columns)
    cluster_table(photos, slot).put(list(_cluster_rows(clusters, run)))
    known = finest.scores[finest.assignments >= 0]
    record = {
        "slot": slot,
        "run": run,
        "method": clusters.method,
        "counts": clusters.counts,
        "at": clusters.at or now(),
        "clustered": len(clusters.ids),
        "low": float(np.quantile(known, 0.05)) if len(known) else -1.0,
    }
    photos.store.set_settings({CURRENT_CLUSTERS.name: json.dumps(record)})


def load_clusters(photos: Collection) -> Clusters:
    """The saved clusters, without images that have left the collection. Raises NoClusters."""
    run = current_run(photos)
    if run is None:
        raise NoClusters(
            "the collection has no clusters yet",
            subject=photos.uri,
            location=photos.uri,
            hint="create some with save_clusters(photos, cluster(photos))",
            command=f"cluster -c {photos.uri}",
        )
    present = {str(i) for part in photos.store.scan(["id"]) for i in part["id"]}
    rows = assignments(photos, run)
    current = np.array([image_id in present for image_id in rows["id"]], np.bool_)
    described = [row for row in cluster_table(photos, run["slot"]).all() if row["run"] == run["run"]]
    finest = rows["number"][current].astype(np.int32)
    scores = rows["score"][current].astype(np.float32)
    levels, clusters = _levels(described, finest, scores, len(run["counts"]), dim_of(photos.card, ALIKE))
    return Clusters(
        method=run["method"],
        ids=rows["id"][current].tolist(),
        levels=levels,
        clusters=clusters,
        at=run["at"],
        joined=rows["joined"][current].astype(np.bool_),
    )


def name_clusters(photos: Collection, names: Mapping[str, str]) -> None:
    """Name clusters: {"64/12": "shoes"}. Raises NoClusters, or BadQuery for an unknown cluster."""
    run = current_run(photos)
    check_clusters(load_clusters(photos), names)
    assert run is not None
    table = cluster_table(photos, run["slot"])
    table.put([row | {"name": names[str(row["cluster"])]} for row in table.all() if row["cluster"] in names])
    photos.store.set_settings({CLUSTERS_NAMED.name: uuid.uuid4().hex})  # tells readers with a cached copy to reload it


def check_clusters(clusters: Clusters, names: Iterable[str]) -> None:
    """Raise BadQuery for the first name that is not one of the clusters."""
    known = {c.key for level in clusters.clusters for c in level}
    if unknown := [key for key in names if key not in known]:
        raise BadQuery(
            f"there is no cluster {unknown[0]!r}; a cluster is LEVEL/NUMBER with a level of "
            f"{', '.join(map(str, clusters.counts))}, as on the contact sheets"
        )


def assignment_table(photos: Collection, slot: str) -> Table:
    return photos.store.table(ASSIGNMENTS.name.format(slot=slot), ASSIGNMENTS.key)


def assignments(photos: Collection, run: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the saved assignments of a run: id, number, score and joined, ordered by id."""
    columns = {"run": int, "number": int, "score": float, "joined": bool}
    rows = read_columns(assignment_table(photos, run["slot"]), ASSIGNMENTS.key, columns)
    own = rows["run"] == run["run"]
    return {name: values[own] for name, values in rows.items()}


def cluster_table(photos: Collection, slot: str) -> Table:
    return photos.store.table(CLUSTERS.name.format(slot=slot), CLUSTERS.key)


def assignment_row(run: int, image_id: str, number: int, score: float, *, joined: bool) -> Metadata:
    return {"id": image_id, "run": run, "number": number, "score": score, "joined": joined}


def _cluster_rows(clusters: Clusters, run: int) -> Iterator[Metadata]:
    for index, (level, described) in enumerate(zip(clusters.levels, clusters.clusters, strict=True)):
        for c in described:
            yield {
                "cluster": c.key,
                "run": run,
                "place": index,
                "number": c.number,
                "parent": c.parent,
                "size": c.size,
                "tightness": c.tightness,
                "medoids": json.dumps(c.medoids),
                "name": c.name,
                "centre": level.centers[c.number].tobytes(),
            }


def _levels(
    described: list[dict[str, Any]], finest: Any, scores: Any, count: int, dim: int
) -> tuple[list[Level], list[list[Cluster]]]:
    rows = [sorted((r for r in described if r["place"] == index), key=lambda r: r["number"]) for index in range(count)]
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
    for index in reversed(range(count)):
        centers = np.array([np.frombuffer(r["centre"], np.float32) for r in rows[index]], np.float32).reshape(-1, dim)
        levels.insert(0, Level(centers, numbers, scores))  # only the scores of the finest level are saved
        if index:
            parents = np.array([r["parent"] for r in rows[index]], np.int32)
            numbers = parents[numbers]
    return levels, clusters
