"""/v1/map: the 2-D map of the collection, with similar images close to each other."""

import hashlib
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from lookalike.cluster import PALETTE, NoClusters, colorings, known_labels, load_clusters, load_map, shown_rows
from lookalike.cluster.layout import map_version
from lookalike.cluster.storage import clusters_version
from lookalike.search import Collection
from lookalike.server.http.dependencies import AppStateDep, error_responses
from lookalike.server.http.responses import json_of, with_tag
from lookalike.server.http.schemas import MapOut
from lookalike.store.serving import ServingIndex

router = APIRouter(tags=["map"])
_cache: dict[str, tuple[str, str, bytes]] = {}  # collection URI: version, entity tag, response body


@router.get("/v1/map", response_model=MapOut, responses=error_responses() | {304: {"description": "Not modified."}})
async def whole_map(request: Request, state: AppStateDep) -> Response:
    """Return the position of every image, or of 100,000 chosen at random if there are more.

    POST /v1/jobs with kind `map` creates the map, or adds new images to it.
    """
    photos, index = state.service.current
    tag, body = await state.service.in_thread(lambda: _cached_map(photos, index))
    return with_tag(body, "application/json", tag, request.headers.get("if-none-match"), {"cache-control": "no-cache"})


def _cached_map(photos: Collection, index: ServingIndex | None) -> tuple[str, bytes]:
    """Return the entity tag and body of the response, cached by the version of the collection."""
    version_key = (
        f"{photos.store.version if index is None else index.version} {map_version(photos)} {clusters_version(photos)}"
    )
    cached = _cache.get(photos.uri)
    if cached is None or cached[0] != version_key:
        body = json_of(_map(photos, index))
        cached = _cache[photos.uri] = (version_key, hashlib.blake2b(body, digest_size=8).hexdigest(), body)
    return cached[1:]


def _map(photos: Collection, index: ServingIndex | None) -> dict[str, Any]:
    ids, positions = load_map(photos)
    rows = [row for row, there in enumerate(index.contained(ids)) if there] if index is not None else [*range(len(ids))]
    total, shown = len(rows), [rows[n] for n in shown_rows(len(rows)).tolist()]
    ids, positions = [ids[row] for row in shown], positions[shown]
    try:
        clusters = load_clusters(photos)
    except NoClusters:
        clusters = None
    groups = colorings(ids, clusters, known_labels(photos, spread=True))
    x, y = (np.round(axis.astype(np.float64), 4).tolist() for axis in positions.T)
    return {
        "waiting": max(len(photos) - total, 0),
        "total": total,
        "ids": ids,
        "x": x,
        "y": y,
        "palette": PALETTE,
        "groups": [{"title": title, "names": names, "of": of.tolist()} for title, names, of in groups],
    }
