"""/v1/search and /v1/queries: the pictures most like one, or like several combined."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from lookalike.errors import BadQuery
from lookalike.server.http.dependencies import K, MinScore, Needs, Parts, Where, fails
from lookalike.server.http.examples import FORMS, ID, PICTURE
from lookalike.server.http.responses import as_hits, as_json, with_tag
from lookalike.server.http.schemas import Found, Kept
from lookalike.server.uploads.query_vectors import Asked, pictures_of, regions_of, texts
from lookalike.server.uploads.saved_queries import PREFIX

router = APIRouter(tags=["search"])
Names = Annotated[
    list[str],
    Query(max_length=64, description="`id:ID` or `query:TOKEN`; several are combined.", examples=[[f"id:{ID}"]]),
]
Regions = Annotated[
    list[str],
    Query(
        max_length=64,
        description="x,y,width,height as fractions; goes with `like` in order.",
        examples=[["0.1,0.2,0.5,0.5"]],
    ),
]
RelationsWanted = Annotated[
    bool, Query(description="Also tell what each hit is to the query, and how sure.", examples=[True])
]
Token = Annotated[str, Path(description="Of a kept query.", examples=["query:0123456789abcdef0123456789abcdef"])]
FILE = {"type": "string", "format": "binary"}
TEXTS = {"type": "array", "items": {"type": "string"}}
FORM: dict[str, Any] = {
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
                        "minus": TEXTS,
                        "region": TEXTS,
                        "url": TEXTS,
                    },
                },
                "example": FORMS["search"],
            },
            "image/*": {"schema": FILE, "example": PICTURE},
        },
    }
}
ONE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": FILE}, "required": ["image"]},
                "example": FORMS["keep"],
            },
            "image/*": {"schema": FILE, "example": PICTURE},
        },
    }
}


@router.get("/v1/search", response_model=Found, responses=fails(404))
async def search(
    parts: Needs,
    like: Names,
    minus: Names = [],  # noqa: B006 - FastAPI copies it
    region: Regions = [],  # noqa: B006
    k: K = 12,
    where: Where = None,
    min_score: MinScore = None,
    relations: RelationsWanted = False,
) -> Response:
    """The images most like those named, less like those in `minus`."""
    asked = Asked(like=like, minus=minus, regions=regions_of(region))
    return await _answer(parts, asked, k, where, min_score, relations=relations)


@router.post("/v1/search", response_model=Found, responses=fails(404), openapi_extra=FORM)
async def search_by_upload(
    request: Request,
    parts: Needs,
    k: K = 12,
    where: Where = None,
    min_score: MinScore = None,
    relations: RelationsWanted = False,
) -> Response:
    """The images most like those uploaded. Regions go with the pictures first, then with `like`."""
    files, form, _ = await pictures_of(request, "image", "minus_image")
    asked = Asked(
        like=texts(form, "like"),
        minus=texts(form, "minus"),
        pictures=files.get("image", []),
        minus_pictures=files.get("minus_image", []),
        regions=regions_of(texts(form, "region")),
        urls=texts(form, "url"),
        gone=request.is_disconnected,
    )
    return await _answer(parts, asked, k, where, min_score, relations=relations)


async def _answer(
    parts: Parts, asked: Asked, k: int, where: str | None, min_score: float | None, *, relations: bool
) -> Response:
    begun = time.perf_counter()
    vector, names, without = await parts.asking.vector(asked)
    hits = await parts.desk.search(vector, k, where=where, without=without, min_score=min_score)
    told = as_hits(hits, show_paths=parts.settings.show_paths)
    if relations:
        from lookalike.server.routes.relations import with_relations

        told = await with_relations(parts, names, hits, told, asked.regions[0] if asked.regions else None)
    return as_json({"query": names, "hits": told, "seconds": round(time.perf_counter() - begun, 4)})


@router.post("/v1/queries", response_model=Kept, status_code=201, responses=fails(), openapi_extra=ONE)
async def keep(request: Request, parts: Needs) -> Response:
    """Upload a picture once, to search with it again and again: whole, a region of it, combined with others."""
    files, form, _ = await pictures_of(request, "image")
    urls = texts(form, "url")
    pictures = files.get("image", [])
    if len(pictures) + len(urls) != 1:
        raise BadQuery("send one picture in the field `image`")
    if urls:
        pictures = (await parts.asking._with_urls(Asked(urls=urls, gone=request.is_disconnected))).pictures  # type: ignore[assignment]
    kept = await parts.asking.keep(pictures[0])
    facts = {name: kept.facts[name] for name in ("width", "height", "format")}
    return as_json({"query": kept.token, **facts}, status=201)


@router.get(
    "/v1/queries/{token}/thumbnail",
    response_class=Response,
    responses=fails(404) | {200: {"content": {"image/jpeg": {}}}, 304: {"description": "You have it."}},
)
async def query_thumbnail(
    request: Request,
    token: Token,
    parts: Needs,
    side: Annotated[int, Query(ge=16, le=2048, description="The long side, in pixels.", examples=[512])] = 512,
) -> Response:
    """What was asked, as a JPEG."""
    name = token if token.startswith(PREFIX) else PREFIX + token
    data = await parts.asking.data(name)
    jpeg = await parts.decoders.jpeg(data, side)
    return with_tag(jpeg, "image/jpeg", f"{name[-32:]}-{side}", request.headers.get("if-none-match"), seconds=3600)
