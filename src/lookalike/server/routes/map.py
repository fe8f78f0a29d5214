"""/v1/map: every image in the plane, alike ones near each other."""

import hashlib
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from lookalike.cluster import PALETTE, NoClusters, colorings, known_labels, load_clusters, load_map
from lookalike.cluster.layout import map_version
from lookalike.cluster.storage import clusters_version
from lookalike.search import Collection
from lookalike.server.http.dependencies import Needs, fails
from lookalike.server.http.responses import json_of, with_tag
from lookalike.server.http.schemas import MapOut
from lookalike.store.vector_index import VectorIndex

router = APIRouter(tags=["map"])
_kept: dict[str, tuple[str, str, bytes]] = {}  # of a collection: its state, the tag and the body that go out


@router.get("/v1/map", response_model=MapOut, responses=fails() | {304: {"description": "You have it."}})
async def whole_map(request: Request, parts: Needs) -> Response:
    """Where every image lies. POST /v1/jobs with kind `map` makes the map, and places what is new on it."""
    photos, copy = parts.desk.at_hand
    tag, body = await parts.desk.in_thread(lambda: _told(photos, copy))
    return with_tag(body, "application/json", tag, request.headers.get("if-none-match"), {"cache-control": "no-cache"})


def _told(photos: Collection, copy: VectorIndex | None) -> tuple[str, bytes]:
    """The answer as it goes out, made once for each state of the collection."""
    state = f"{copy.version if copy else photos.store.version} {map_version(photos)} {clusters_version(photos)}"
    known = _kept.get(photos.uri)
    if known is None or known[0] != state:
        body = json_of(_map(photos, copy))
        known = _kept[photos.uri] = (state, hashlib.blake2b(body, digest_size=8).hexdigest(), body)
    return known[1:]


def _map(photos: Collection, copy: VectorIndex | None) -> dict[str, Any]:
    ids, positions = load_map(photos)
    there = [row for row, name in enumerate(ids) if copy is None or name in copy]
    ids, positions = [ids[row] for row in there], positions[there]
    try:
        clusters = load_clusters(photos)
    except NoClusters:
        clusters = None
    groups = colorings(ids, clusters, known_labels(photos, spread=True))
    x, y = (np.round(axis.astype(np.float64), 4).tolist() for axis in positions.T)
    return {
        "waiting": max(len(photos) - len(ids), 0),
        "ids": ids,
        "x": x,
        "y": y,
        "palette": PALETTE,
        "groups": [{"title": title, "names": names, "of": of.tolist()} for title, names, of in groups],
    }
