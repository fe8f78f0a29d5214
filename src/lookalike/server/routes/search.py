"""/v1/search and /v1/queries: search by one image or by a combination of several."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from lookalike.errors import BadQuery
from lookalike.parts import BOTH, normalize_row_parts
from lookalike.search.query import NO_PIXELS, TEXT_PREFIX
from lookalike.search.text_search import weighing_of_words
from lookalike.server.http.dependencies import AppState, AppStateDep, By, K, MinScore, Recall, Where, error_responses
from lookalike.server.http.examples import FORMS, ID, IMAGE_BYTES
from lookalike.server.http.responses import as_hits, as_json, with_tag
from lookalike.server.http.schemas import BatchIn, BatchOut, QueryIn, SavedQueryOut, SearchOut
from lookalike.server.routes.ranking import Ranking
from lookalike.server.uploads.query_vectors import SearchInput, parse_regions, read_images, texts
from lookalike.server.uploads.saved_queries import PREFIX

router = APIRouter(tags=["search"])
MAX_VALUE = 1e18  # of a vector: the square of larger numbers is none in single precision
Names = Annotated[
    list[str],
    Query(max_length=64, description="`id:ID` or `query:TOKEN`; several are combined.", examples=[[f"id:{ID}"]]),
]
Texts = Annotated[
    list[str],
    Query(
        max_length=16,
        description="What the images show, if the collection's model reads words; combined with `like`. A text may end "
        "with its weight: `at night *0.5`. `minus` takes `text:WORDS`.",
        examples=[[]],
    ),
]
Regions = Annotated[
    list[str],
    Query(
        max_length=64,
        description="x,y,width,height as fractions; goes with `like` in order.",
        examples=[["0.1,0.2,0.5,0.5"]],
    ),
]
WithRelations = Annotated[bool, Query(description="Include the relation of each hit to the query.", examples=[True])]
ByParts = Annotated[
    bool,
    Query(
        description="Also find images that show only a part of the query, or it in a part of them; each hit has a "
        "`containment`. One query image; not with `minus`, `region`, `min_score`, `relations` or `by`.",
        examples=[False],
    ),
]
Token = Annotated[
    str, Path(description="The token of a saved query.", examples=["query:0123456789abcdef0123456789abcdef"])
]
FILE = {"type": "string", "format": "binary"}
TEXTS = {"type": "array", "items": {"type": "string"}}
SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "array", "items": FILE},
                        "minus_image": {"type": "array", "items": FILE},
                        "like": TEXTS,
                        "text": TEXTS,
                        "minus": TEXTS,
                        "region": TEXTS,
                        "url": TEXTS,
                    },
                },
                "example": FORMS["search"],
            },
            "image/*": {"schema": FILE, "example": IMAGE_BYTES},
        },
    }
}
QUERY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": FILE}, "required": ["image"]},
                "example": FORMS["keep"],
            },
            "image/*": {"schema": FILE, "example": IMAGE_BYTES},
        },
    }
}


@router.get("/v1/search", response_model=SearchOut, responses=error_responses(404))
async def search(
    state: AppStateDep,
    like: Names = [],  # noqa: B006 - FastAPI copies it
    text: Texts = [],  # noqa: B006
    minus: Names = [],  # noqa: B006 - FastAPI copies it
    region: Regions = [],  # noqa: B006
    k: K = 12,
    where: Where = None,
    min_score: MinScore = None,
    relations: WithRelations = False,
    by: By = BOTH,
    recall: Recall = None,
    parts: ByParts = False,
) -> Response:
    """Return the images most similar to `like` and `text`, and dissimilar to `minus`."""
    query = SearchInput(like=[*like, *map(_named, text)], minus=minus, regions=parse_regions(region))
    return await _search(state, query, Ranking(k, where, min_score, by, recall), relations=relations, parts=parts)


@router.post("/v1/search", response_model=SearchOut, responses=error_responses(404), openapi_extra=SEARCH_BODY)
async def search_by_upload(
    request: Request,
    state: AppStateDep,
    k: K = 12,
    where: Where = None,
    min_score: MinScore = None,
    relations: WithRelations = False,
    by: By = BOTH,
    recall: Recall = None,
    parts: ByParts = False,
) -> Response:
    """Return the images most similar to the uploads. Regions apply to the uploads first, then to `like`."""
    files, form, _ = await read_images(request, "image", "minus_image")
    query = SearchInput(
        like=[*texts(form, "like"), *map(_named, texts(form, "text"))],
        minus=texts(form, "minus"),
        uploads=files.get("image", []),
        minus_uploads=files.get("minus_image", []),
        regions=parse_regions(texts(form, "region")),
        urls=texts(form, "url"),
        is_disconnected=request.is_disconnected,
    )
    return await _search(state, query, Ranking(k, where, min_score, by, recall), relations=relations, parts=parts)


@router.post("/v1/search/batch", response_model=BatchOut, responses=error_responses(404))
async def search_batch(request: BatchIn, state: AppStateDep) -> Response:
    """Search for several queries at once: ids, saved queries, words, or vectors that were computed elsewhere."""
    ranking = Ranking(request.k, request.where, request.min_score, request.by, request.recall)
    answers = await asyncio.gather(*(_search_one(state, query, ranking) for query in request.queries))
    return as_json({"results": answers})


async def _search_one(state: AppState, query: QueryIn, ranking: Ranking) -> dict[str, Any]:
    started_at = time.perf_counter()
    if query.vector is None:
        listed = SearchInput(like=[*query.like, *map(_named, query.text)], minus=query.minus)
        names, content = await _search_by_vector(state, listed, ranking, relations=False)
    elif query.like or query.text or query.minus:
        raise BadQuery("a query has either a vector or names and texts")
    else:
        names, content = ["vector"], await _search_vector(state, query.vector, ranking)
    return {"query": names, **content, "seconds": round(time.perf_counter() - started_at, 4)}


async def _search_vector(state: AppState, vector: list[float], ranking: Ranking) -> dict[str, Any]:
    target, by, model = await state.service.target(ranking.by)
    card = target.current[0].card
    if len(vector) != card.dim:
        raise BadQuery(f"the vector has {len(vector):,} numbers; {card.name} makes {card.dim:,}")
    row = normalize_row_parts(np.asarray([vector], np.float64).clip(-MAX_VALUE, MAX_VALUE), card)
    if not row.any():
        raise BadQuery("the vector is zero, and similar to nothing")
    hits = await target.search(
        row, ranking.k, where=ranking.where, min_score=ranking.min_score, by=by, recall=ranking.recall
    )
    content: dict[str, Any] = {"hits": as_hits(hits, show_paths=state.settings.show_paths)}
    return content | ({"model": model} if model else {})


def _named(text: str) -> str:
    return f"{TEXT_PREFIX}{text}"


async def _search(state: AppState, query: SearchInput, ranking: Ranking, *, relations: bool, parts: bool) -> Response:
    started_at = time.perf_counter()
    if parts:
        from lookalike.server.routes.parts import search_by_parts

        names, part_hits = await search_by_parts(state, query, ranking, relations=relations)
        content: dict[str, Any] = {"hits": part_hits}
    else:
        names, content = await _search_by_vector(state, query, ranking, relations=relations)
    return as_json({"query": names, **content, "seconds": round(time.perf_counter() - started_at, 4)})


async def _search_by_vector(
    state: AppState, query: SearchInput, ranking: Ranking, *, relations: bool
) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the query images, and the hits, with the `summary` of their relations if requested."""
    has_words = query.has_words
    target, by, model = await state.service.target(ranking.by, has_words=has_words)
    if has_words:
        by = weighing_of_words(target.current[0].card, by)
        if relations:
            raise BadQuery(NO_PIXELS)
    vector, names, excluded = await state.resolver.resolve(query, target)
    hits = await target.search(
        vector,
        ranking.k,
        where=ranking.where,
        without=excluded,
        min_score=ranking.min_score,
        by=by,
        recall=ranking.recall,
    )
    content: dict[str, Any] = {"hits": as_hits(hits, show_paths=state.settings.show_paths)}
    if model:
        content["model"] = model
    if has_words:
        for hit, percentile in zip(content["hits"], await target.percentiles(vector, hits), strict=True):
            hit["percentile"] = round(percentile, 2)
    if relations:
        from lookalike.server.routes.relations import with_relations

        region = query.regions[0] if query.regions else None
        content = await with_relations(state, names, hits, content["hits"], region)
    return names, content


@router.post(
    "/v1/queries", response_model=SavedQueryOut, status_code=201, responses=error_responses(), openapi_extra=QUERY_BODY
)
async def save(request: Request, state: AppStateDep) -> Response:
    """Upload an image once and search with it repeatedly: whole, by region, or combined with others."""
    files, form, _ = await read_images(request, "image")
    urls = texts(form, "url")
    uploads: Sequence[bytes] = files.get("image", [])
    if len(uploads) + len(urls) != 1:
        raise BadQuery("send one image in the field `image`")
    if urls:
        query = SearchInput(urls=urls, is_disconnected=request.is_disconnected)
        uploads = (await state.resolver.fetch_urls(query)).uploads
    saved = await state.resolver.save(uploads[0])
    facts = {name: saved.facts[name] for name in ("width", "height", "format")}
    return as_json({"query": saved.token, **facts}, status=201)


@router.get(
    "/v1/queries/{token}/thumbnail",
    response_class=Response,
    responses=error_responses(404) | {200: {"content": {"image/jpeg": {}}}, 304: {"description": "Not modified."}},
)
async def query_thumbnail(
    request: Request,
    token: Token,
    state: AppStateDep,
    side: Annotated[int, Query(ge=16, le=2048, description="The long side, in pixels.", examples=[512])] = 512,
) -> Response:
    """Return a saved query image as a JPEG."""
    name = token if token.startswith(PREFIX) else PREFIX + token
    data = await state.resolver.data(name)
    jpeg = await state.decoders.jpeg(data, side)
    return with_tag(jpeg, "image/jpeg", f"{name[-32:]}-{side}", request.headers.get("if-none-match"), seconds=3600)
