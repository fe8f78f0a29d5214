"""/v1/images: list the collection; get, add, label and remove images."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from lookalike.cluster import set_labels
from lookalike.errors import BadQuery, ImageError, UnknownId, nearest
from lookalike.image import photo_facts
from lookalike.indexing.roots import load_photo_columns
from lookalike.parts import BOTH
from lookalike.server.http.dependencies import (
    AppState,
    AppStateDep,
    By,
    ImageId,
    K,
    MinScore,
    Offset,
    Recall,
    Where,
    error_responses,
)
from lookalike.server.http.examples import FORMS
from lookalike.server.http.redaction import PRIVATE_COLUMNS
from lookalike.server.http.responses import as_hits, as_json, problem, public, with_tag
from lookalike.server.http.schemas import AddedOut, ImageList, ImageOut, ImagePatch, RemovedOut, SearchOut
from lookalike.server.service.collection_service import HIDDEN_COLUMNS
from lookalike.server.service.originals import content_type, read_original
from lookalike.server.uploads.query_vectors import read_images, texts
from lookalike.server.uploads.validation import check_lists, check_size, parse_metadata
from lookalike.store.serving import ListQuery, ServingIndex
from lookalike.text import now
from lookalike.types import Metadata

router = APIRouter(tags=["images"])
STORED_SIDE = 256  # long side of stored thumbnails, in pixels
FILE = {"type": "string", "format": "binary"}
ADD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "array", "items": FILE},
                        "id": {"type": "array", "items": {"type": "string"}},
                        "metadata": {"type": "array", "items": {"type": "string", "description": "a JSON object"}},
                    },
                },
                "example": FORMS["add"],
            }
        },
    }
}
IMAGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}, "application/octet-stream": {}}},
    304: {"description": "Not modified."},
}
Order = Annotated[
    Literal["id", "random"],
    Query(description="By id, or shuffled by `seed`.", examples=["random"]),
]


Sort = Annotated[
    str,
    Query(
        max_length=200,
        description="By this column, such as `taken`, `size` or `indexed`; with a minus in front the largest first. "
        "Images without a value come last. It takes the place of `order`.",
        examples=["-taken"],
    ),
]
Contains = Annotated[
    str, Query(max_length=200, description="Only ids that contain this text, ignoring case.", examples=["sea"])
]


async def listed(
    state: AppState, where: str | None, contains: str, sort: str = "", seed: int | None = None
) -> tuple[ServingIndex, ListQuery]:
    """Return the index and what to list of it. Raises BadQuery, BadFilter."""
    photos, index = state.service.current
    if index is None:
        raise BadQuery("this collection is too large to list; search it instead")
    passing = None
    if (condition := where) is not None:
        passing = await state.service.in_thread(lambda: state.service.passing(photos, index, condition))
    column = sort.removeprefix("-")
    if sort and sort != "id":
        check_columns([column], await shown_columns(state))
    return index, ListQuery(passing, contains, seed, "" if sort == "id" else column, sort.startswith("-"))


async def shown_columns(state: AppState) -> list[str]:
    """Return the columns of the collection that this server shows."""
    photos, _ = state.service.current
    hidden = HIDDEN_COLUMNS if state.settings.show_paths else {*HIDDEN_COLUMNS, *PRIVATE_COLUMNS}
    columns = await state.service.in_thread(photos.store.columns)
    return [name for name, kind in columns.items() if kind is not bytes and name not in hidden]


def check_columns(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise BadQuery for a column that is not known."""
    for name in names:
        if name not in known:
            raise BadQuery(f"there is no column {name[:200]!r}; {nearest(name, known)}")


@router.get("/v1/images", response_model=ImageList, responses=error_responses())
async def images(
    state: AppStateDep,
    k: K = 60,
    offset: Offset = 0,
    where: Where = None,
    contains: Contains = "",
    order: Order = "id",
    sort: Sort = "",
    seed: Annotated[int, Query(ge=0, le=2**31, description="The seed of `order=random`.", examples=[7])] = 0,
) -> Response:
    """Return a page of the collection, by id, by a column or in random order."""
    index, listing = await listed(state, where, contains, sort, seed if order == "random" and not sort else None)
    hits, total = await state.service.in_thread(lambda: index.page(listing, offset, k))
    content = [{"id": h.id, "metadata": public(h.metadata, show_paths=state.settings.show_paths)} for h in hits]
    return as_json({"images": content, "total": total})


@router.post("/v1/images", response_model=AddedOut, status_code=201, responses=error_responses(507), openapi_extra=ADD)
async def add(request: Request, state: AppStateDep) -> Response:
    """Add images by upload, under given ids or the hash of their bytes. An existing id is replaced."""
    state.service.writable()
    files, form, file_names = await read_images(request, "image")
    uploads, ids = files.get("image", []), texts(form, "id")
    metadata_texts = texts(form, "metadata")
    check_lists(len(uploads), ids, len(metadata_texts))
    known = await state.service.in_thread(state.service.writable().store.columns)
    metadata = [parse_metadata(text, known) for text in metadata_texts]
    report: dict[str, Any] = {"ids": [], "added": 0, "changed": 0, "failed": []}
    for n, data in enumerate(uploads):
        image_id = ids[n] if ids else hashlib.sha256(data).hexdigest()[:16]
        try:
            new = await _add(state, image_id, data, metadata[n] if metadata else {})
        except ImageError as error:
            report["failed"].append({"name": file_names["image"][n][:200] or image_id, "reason": str(error)})
            continue
        report["ids"].append(image_id)
        report["added" if new else "changed"] += 1
    await state.local_features.add(report["ids"])
    if not report["ids"] and report["failed"]:
        message = "; ".join(f["reason"] for f in report["failed"])[:500]
        return problem("unreadable_image", message, status=422)
    return as_json(report, status=201)


async def _add(state: AppState, image_id: str, data: bytes, metadata: Metadata) -> bool:
    photos = state.service.writable()
    check_size(data, state.settings.max_bytes)
    upload = await state.decoders.upload(data, photos.card.preprocessing, thumbnail=True)
    vector = await state.service.embed(upload.fitted)
    known = await state.service.in_thread(lambda: load_photo_columns(photos.store))
    photo = {name: value for name, value in photo_facts(data).columns().items() if name in known}
    facts = upload.facts | {
        "thumbnail": upload.thumbnail,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "indexed": now(),
    }
    is_new = await state.service.add(image_id, vector, photo | dict(metadata) | facts)
    for model in list(state.service.added_models.values()):
        other = await state.decoders.upload(data, model.photos.card.preprocessing)
        await model.add(image_id, await model.embed(other.fitted), facts)
    return is_new


@router.get(
    "/v1/images/{image_id:path}/thumbnail", response_class=Response, responses=error_responses(404) | IMAGE_RESPONSES
)
async def thumbnail(
    request: Request,
    image_id: ImageId,
    state: AppStateDep,
    side: Annotated[int, Query(ge=16, le=2048, description="The long side, in pixels.", examples=[256])] = STORED_SIDE,
) -> Response:
    """Return a JPEG of the image. Sizes beyond 256 pixels are made from the file if it is available."""
    tag = await _tag(state, image_id)
    if_none_match = request.headers.get("if-none-match")
    if if_none_match and f'"{tag}-{side}"' in if_none_match:
        return with_tag(b"", "image/jpeg", f"{tag}-{side}", if_none_match)
    if side > STORED_SIDE:
        try:
            data = await read_original(state.service, image_id)
            return with_tag(await state.decoders.jpeg(data, side), "image/jpeg", f"{tag}-{side}", if_none_match)
        except (UnknownId, ImageError):
            pass  # fall back to the stored thumbnail, which has its own tag
    row = await state.service.row(image_id, ["thumbnail"])
    jpeg = row.metadata.get("thumbnail")
    if not isinstance(jpeg, bytes):
        raise UnknownId(f"{image_id[:200]!r} has no stored thumbnail")
    return with_tag(jpeg, "image/jpeg", f"{tag}-{min(side, STORED_SIDE)}", if_none_match)


async def _tag(state: AppState, image_id: str) -> str:
    """Return an entity tag derived from the vector, which changes with the image."""
    vector = await state.service.vector_of(image_id)
    return hashlib.blake2b(np.ascontiguousarray(vector).tobytes(), digest_size=10).hexdigest()


@router.get(
    "/v1/images/{image_id:path}/original", response_class=Response, responses=error_responses(404) | IMAGE_RESPONSES
)
async def original_file(request: Request, image_id: ImageId, state: AppStateDep) -> Response:
    """Return the original file. Formats that are unsafe to display are sent as a download."""
    data = await read_original(state.service, image_id)
    kind, displayable = content_type(data)
    headers = {
        "content-disposition": "inline" if displayable else "attachment",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    tag = hashlib.blake2b(data, digest_size=10).hexdigest()
    return with_tag(data, kind, tag, request.headers.get("if-none-match"), headers, seconds=60)


@router.get("/v1/images/{image_id:path}/similar", response_model=SearchOut, responses=error_responses(404))
async def similar(
    image_id: ImageId,
    state: AppStateDep,
    k: K = 12,
    where: Where = None,
    min_score: MinScore = None,
    by: By = BOTH,
    recall: Recall = None,
) -> Response:
    """Return the images most similar to this one, without itself."""
    target, by, model = await state.service.target(by)
    vector = await target.vector_of(image_id)
    without = frozenset({image_id})
    hits = await target.search(vector[None], k, where=where, without=without, min_score=min_score, by=by, recall=recall)
    content = {"hits": as_hits(hits, show_paths=state.settings.show_paths), "seconds": 0.0}
    return as_json({"query": [f"id:{image_id}"], **content, **({"model": model} if model else {})})


@router.get("/v1/images/{image_id:path}", response_model=ImageOut, responses=error_responses(404))
async def image(
    image_id: ImageId,
    state: AppStateDep,
    vector: Annotated[bool, Query(description="Include the vector.", examples=[True])] = False,
) -> Response:
    """Return one image with all its metadata."""
    row = await state.service.row(image_id)
    content = {"id": row.id, "metadata": public(row.metadata, show_paths=state.settings.show_paths)}
    return as_json(content | ({"vector": row.vector.tolist()} if vector else {}))


@router.patch("/v1/images/{image_id:path}", response_model=ImageOut, responses=error_responses(404, 507))
async def change(image_id: ImageId, patch: ImagePatch, state: AppStateDep) -> Response:
    """Set or remove the label of an image."""
    photos = state.service.writable()
    await state.service.row(image_id, [])
    await state.service.in_thread(lambda: set_labels(photos, {image_id: patch.label}))
    await state.service.in_thread(state.service.refresh)
    return await image(image_id, state)


@router.delete("/v1/images/{image_id:path}", response_model=RemovedOut, responses=error_responses(404, 507))
async def remove(image_id: ImageId, state: AppStateDep) -> Response:
    """Remove an image from the collection. Its file stays, and indexing its folder again adds it again."""
    state.service.writable()
    await state.service.row(image_id, [])
    return as_json({"removed": await state.service.remove([image_id])})
