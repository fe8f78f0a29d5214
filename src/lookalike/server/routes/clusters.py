"""/v1/clusters: the clusters of the collection at several levels, and the images in each."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from lookalike.cluster import known_labels
from lookalike.cluster.grouping import Cluster, Clusters
from lookalike.cluster.storage import NoClusters, clusters_version, current_run, load_clusters
from lookalike.deprecation import with_old_keys
from lookalike.errors import UnknownId
from lookalike.server.http.dependencies import AppState, AppStateDep, K, Offset, error_responses
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import ClustersOut, ImageList

router = APIRouter(tags=["clusters"])
Level = Annotated[int, Path(le=10**9, description="The number of clusters of the level.", examples=[64])]
Number = Annotated[int, Path(le=10**9, description="The number of the cluster within its level.", examples=[12])]
MAX_LABELS = 3  # reported per cluster
_clusters_cache: dict[str, tuple[Any, Clusters]] = {}
_label_counts_cache: dict[str, tuple[Any, dict[int, Counter[str]]]] = {}


def _load_clusters(state: AppState) -> Clusters | None:
    """Return the clusters saved in the collection, cached by their version."""
    photos, _ = state.service.current
    saved_version = clusters_version(photos)
    if current_run(photos) is None:
        return None
    cached = _clusters_cache.get(photos.uri)
    if cached is None or cached[0] != saved_version:
        try:
            cached = _clusters_cache[photos.uri] = (saved_version, load_clusters(photos))
        except NoClusters:
            return None
    return cached[1]


@router.get("/v1/clusters", response_model=ClustersOut, responses=error_responses(404))
async def clusters(
    state: AppStateDep,
    level: Annotated[
        int | None, Query(ge=1, le=10**9, description="The level; default: the coarsest.", examples=[64])
    ] = None,
) -> Response:
    """Return the clusters of one level, largest first. POST /v1/jobs with kind `clusters` creates them."""
    clustering = await state.service.in_thread(lambda: _load_clusters(state))
    if clustering is None:
        return as_json({"levels": [], "level": None, "clusters": []})
    counts = list(clustering.counts)
    position = _level_position(counts, level if level is not None else counts[0])
    labels = await state.service.in_thread(lambda: _label_counts(state, clustering, position))
    coarser = counts[position - 1] if position else None
    ordered = sorted(clustering.clusters[position], key=lambda c: -c.size)
    content = [_cluster_out(c, coarser, labels.get(c.number, Counter())) for c in ordered]
    return as_json({"levels": counts, "level": counts[position], "clusters": content})


def no_clusters() -> UnknownId:
    """Return the error for a collection without clusters."""
    return UnknownId("the collection has no clusters yet; create them with POST /v1/jobs")


def unknown_cluster(key: str) -> UnknownId:
    """Return the error for a cluster key that does not exist."""
    return UnknownId(f"there is no cluster {key}")


def _level_position(counts: list[int], level: int) -> int:
    if level not in counts:
        raise UnknownId(f"there is no level {level}; the levels are {', '.join(map(str, counts))}")
    return counts.index(level)


def _label_counts(state: AppState, clustering: Clusters, position: int) -> dict[int, Counter[str]]:
    """Return how often each label occurs in each cluster, cached by the version of the collection."""
    photos, _ = state.service.current
    version_key = (photos.store.version, clusters_version(photos), position)
    cached = _label_counts_cache.get(photos.uri)
    if cached is None or cached[0] != version_key:
        counts = _count_labels(known_labels(photos), clustering, position)
        cached = _label_counts_cache[photos.uri] = (version_key, counts)
    return cached[1]


def _count_labels(labels: Mapping[str, str], clustering: Clusters, position: int) -> dict[int, Counter[str]]:
    counts: dict[int, Counter[str]] = {}
    assignments = clustering.levels[position].assignments.tolist()
    for image_id, number in zip(clustering.ids, assignments, strict=True) if labels else ():
        if image_id in labels:
            counts.setdefault(number, Counter())[labels[image_id]] += 1
    return counts


def _cluster_out(cluster: Cluster, coarser: int | None, labels: Counter[str]) -> dict[str, Any]:
    content = {
        "key": cluster.key,
        "parent": f"{coarser}/{cluster.parent}" if coarser is not None and cluster.parent >= 0 else None,
        "size": cluster.size,
        "tightness": round(cluster.tightness, 4),
        "name": cluster.name,
        "labels": [{"label": label, "images": count} for label, count in labels.most_common(MAX_LABELS)],
        "labeled": labels.total(),
        "examples": list(cluster.medoids),
    }
    return with_old_keys(content)


@router.get("/v1/clusters/{level}/{number}", response_model=ImageList, responses=error_responses(404))
async def members(level: Level, number: Number, state: AppStateDep, k: K = 60, offset: Offset = 0) -> Response:
    """Return the images of one cluster, most central first."""
    clustering = await state.service.in_thread(lambda: _load_clusters(state))
    if clustering is None:
        raise no_clusters()
    position = _level_position(list(clustering.counts), level)
    level_result = clustering.levels[position]
    rows = np.flatnonzero(level_result.assignments == number)
    if not len(rows):
        raise unknown_cluster(f"{level}/{number}")
    rows = rows[np.argsort(-level_result.scores[rows], kind="stable")]
    ids = [clustering.ids[row] for row in rows[offset : offset + k]]
    metadata = await state.service.metadata_of(ids)
    content = [{"id": image_id, "metadata": row} for image_id, row in zip(ids, metadata, strict=True)]
    return as_json({"images": content, "total": len(rows)})
