"""Search by parts: images that show a part of the query, or the query in a part of them, and where."""

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from lookalike.errors import BadQuery, ImageError, UnknownId
from lookalike.parts import BOTH, COPY
from lookalike.relate.facts import containment_facts
from lookalike.relate.local_search import (
    CANDIDATES,
    LOCAL_CANDIDATES,
    PartHit,
    PartQuery,
    candidate_ids,
    passing,
    rank_by_parts,
)
from lookalike.relate.shared_part import PAGE_SIDE, Sight
from lookalike.search.query import NO_PIXELS
from lookalike.server.http.dependencies import AppState
from lookalike.server.http.responses import as_hits
from lookalike.server.routes.ranking import Ranking
from lookalike.server.service.collection_service import HIDDEN_COLUMNS
from lookalike.server.uploads.query_vectors import SearchInput, id_of
from lookalike.types import Hit

MAX_CONCURRENT = 2  # verifying 50 candidates takes up to a second of all cores; other searches go first
_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _semaphore() -> asyncio.Semaphore:
    """Return the semaphore of this event loop; a process can run several servers."""
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_CONCURRENT))


async def search_by_parts(
    state: AppState, query: SearchInput, ranking: Ranking, *, relations: bool
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the name of the query image, and hits with their `containment`. Raises BadQuery."""
    check_parts(query, ranking, relations=relations)
    photos, _ = state.service.current
    async with _semaphore():  # while the first request reads the index, others must not occupy every thread
        index = await state.service.in_thread(lambda: state.local_features.index(photos))
    query = await state.resolver.fetch_urls(query)
    vector, names, without = await state.resolver.resolve(query)
    count, where = max(ranking.k, CANDIDATES), ranking.where
    near = await state.service.search(vector, count, where=where, without=without, by=COPY)
    async with _semaphore():
        sight = await _sight(state, query, names[0])

        def rank() -> list[PartHit]:
            candidates = passing(photos, index.candidates(sight.features, LOCAL_CANDIDATES), where)
            ids = candidate_ids(near[:CANDIDATES], candidates, without=without)
            return rank_by_parts(photos, PartQuery(sight, vector), near, ids, ranking.k)

        hits = await state.service.in_thread(rank)
    return names, _as_part_hits(hits, show_paths=state.settings.show_paths)


def check_parts(query: SearchInput, ranking: Ranking, *, relations: bool) -> None:
    """Raise BadQuery for parameters that `parts` does not combine with."""
    others = {
        "minus": bool(query.minus or query.minus_uploads),
        "region": bool(query.regions),
        "min_score": ranking.min_score is not None,
        "relations": relations,
        "by": ranking.by != BOTH,
    }
    if excluded := next((name for name, value in others.items() if value), None):
        raise BadQuery(f"`parts` does not combine with `{excluded}`; omit one of them")
    if query.has_words:
        raise BadQuery(NO_PIXELS)
    if len(query.like) + len(query.uploads) + len(query.urls) > 1:
        raise BadQuery("`parts` searches with a single query image; search with one image, or omit `parts`")


async def _sight(state: AppState, query: SearchInput, name: str) -> Sight:
    """Return the query image, decoded in a child process, with its features."""
    data = query.uploads[0] if query.uploads else await _data(state, name)
    pixels, facts = await state.decoders.pixels(data, PAGE_SIDE)
    size = (int(facts["width"]), int(facts["height"]))
    return await state.service.in_thread(lambda: Sight.of(pixels, size))


async def _data(state: AppState, name: str) -> bytes:
    """Return the file of an image or a saved query; the stored thumbnail if the file is unavailable."""
    try:
        return await state.resolver.data(name)
    except (UnknownId, ImageError):
        image_id = id_of(name)
        if image_id is None:
            raise
        row = await state.service.row(image_id, ["thumbnail"])
        if isinstance(jpeg := row.metadata.get("thumbnail"), bytes):
            return jpeg
        raise


def _as_part_hits(hits: Sequence[PartHit], *, show_paths: bool) -> list[dict[str, Any]]:
    """Return hits in the form of the API, with the columns that other searches return."""
    visible = [
        Hit(one.hit.id, one.hit.score, {n: v for n, v in one.hit.metadata.items() if n not in HIDDEN_COLUMNS})
        for one in hits
    ]
    return [
        hit | {"containment": None if one.containment is None else containment_facts(one.containment)}
        for hit, one in zip(as_hits(visible, show_paths=show_paths), hits, strict=True)
    ]
