"""/v1/clusters: the groups that the collection was put in, level by level, and who is in each."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from lookalike.cluster import known_labels
from lookalike.cluster.grouping import Cluster, Clusters
from lookalike.cluster.storage import NoClusters, clusters_version, current_run, load_clusters
from lookalike.errors import UnknownId
from lookalike.server.http.dependencies import K, Needs, Offset, Parts, fails
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import ClustersOut, Listed

router = APIRouter(tags=["clusters"])
Level = Annotated[int, Path(description="How many groups the level has.", examples=[64])]
Number = Annotated[int, Path(description="Which of them.", examples=[12])]
MOST_LABELS = 3  # of a cluster that are told
_kept: dict[str, tuple[Any, Clusters]] = {}
_counted: dict[str, tuple[Any, dict[int, Counter[str]]]] = {}


def _clusters(parts: Parts) -> Clusters | None:
    """Those kept in the collection, read once for each clustering."""
    photos, _ = parts.desk.at_hand
    told = clusters_version(photos)
    if current_run(photos) is None:
        return None
    known = _kept.get(photos.uri)
    if known is None or known[0] != told:
        try:
            known = _kept[photos.uri] = (told, load_clusters(photos))
        except NoClusters:
            return None
    return known[1]


@router.get("/v1/clusters", response_model=ClustersOut, responses=fails(404))
async def clusters(
    parts: Needs,
    level: Annotated[int | None, Query(ge=1, description="Which level; the coarsest.", examples=[64])] = None,
) -> Response:
    """The clusters of one level, the largest first. POST /v1/jobs with kind `clusters` makes them."""
    made = await parts.desk.in_thread(lambda: _clusters(parts))
    if made is None:
        return as_json({"levels": [], "level": None, "clusters": []})
    counts = list(made.counts)
    at = _place(counts, level if level is not None else counts[0])
    labels = await parts.desk.in_thread(lambda: _labels(parts, made, at))
    above = counts[at - 1] if at else None
    told = [_told(c, above, labels.get(c.number, Counter())) for c in sorted(made.clusters[at], key=lambda c: -c.size)]
    return as_json({"levels": counts, "level": counts[at], "clusters": told})


def _place(counts: list[int], level: int) -> int:
    if level not in counts:
        raise UnknownId(f"there is no level {level}; there are {', '.join(map(str, counts))}")
    return counts.index(level)


def _labels(parts: Parts, made: Clusters, at: int) -> dict[int, Counter[str]]:
    """How often each label was given to the images of each cluster; counted once for each state of the collection."""
    photos, _ = parts.desk.at_hand
    state = (photos.store.version, clusters_version(photos), at)
    known = _counted.get(photos.uri)
    if known is None or known[0] != state:
        known = _counted[photos.uri] = (state, _count(known_labels(photos), made, at))
    return known[1]


def _count(labels: Mapping[str, str], made: Clusters, at: int) -> dict[int, Counter[str]]:
    counts: dict[int, Counter[str]] = {}
    for image_id, number in zip(made.ids, made.levels[at].assignments.tolist(), strict=True) if labels else ():
        if image_id in labels:
            counts.setdefault(number, Counter())[labels[image_id]] += 1
    return counts


def _told(cluster: Cluster, above: int | None, labels: Counter[str]) -> dict[str, Any]:
    return {
        "key": cluster.key,
        "parent": f"{above}/{cluster.parent}" if above is not None and cluster.parent >= 0 else None,
        "size": cluster.size,
        "tightness": round(cluster.tightness, 4),
        "name": cluster.name,
        "labels": [{"label": label, "images": count} for label, count in labels.most_common(MOST_LABELS)],
        "labelled": labels.total(),
        "examples": list(cluster.medoids),
    }


@router.get("/v1/clusters/{level}/{number}", response_model=Listed, responses=fails(404))
async def members(level: Level, number: Number, parts: Needs, k: K = 60, offset: Offset = 0) -> Response:
    """The images of one cluster, the most central first."""
    made = await parts.desk.in_thread(lambda: _clusters(parts))
    if made is None:
        raise UnknownId("the collection has no clusters yet; make them with POST /v1/jobs")
    at = _place(list(made.counts), level)
    found = made.levels[at]
    rows = np.flatnonzero(found.assignments == number)
    if not len(rows):
        raise UnknownId(f"there is no cluster {level}/{number}")
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    ids = [made.ids[row] for row in rows[offset : offset + k]]
    _, copy = parts.desk.at_hand
    told = [{"id": i, "metadata": dict(copy.metadata(i) or {}) if copy else {}} for i in ids]
    return as_json({"images": told, "total": len(rows)})
