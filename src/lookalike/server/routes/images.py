"""/v1/images: leaf through the collection, look at one image, add, label and remove."""

import hashlib
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from lookalike.cluster import set_labels
from lookalike.errors import BadQuery, ImageError, ImageTooLarge, UnknownId
from lookalike.server.http.dependencies import ImageId, K, MinScore, Needs, Offset, Parts, Where, fails
from lookalike.server.http.examples import FORMS
from lookalike.server.http.responses import as_hits, as_json, public, with_tag
from lookalike.server.http.schemas import AddedOut, Change, Found, ImageOut, Listed, Removed
from lookalike.server.service.originals import kind_of, original
from lookalike.server.uploads.query_vectors import pictures_of, texts
from lookalike.server.uploads.validation import check_lists, metadata_of
from lookalike.store.vector_index import VectorIndex
from lookalike.text import now
from lookalike.types import Metadata

router = APIRouter(tags=["images"])
STORED_SIDE = 256
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
A_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}, "application/octet-stream": {}}},
    304: {"description": "You have it."},
}
Order = Annotated[
    str,
    Query(pattern="^(id|random)$", description="By id, or by lot: another `seed`, another lot.", examples=["random"]),
]


@router.get("/v1/images", response_model=Listed, responses=fails())
async def images(
    parts: Needs,
    k: K = 60,
    offset: Offset = 0,
    where: Where = None,
    contains: Annotated[
        str, Query(max_length=200, description="Only ids that contain this text.", examples=["sea"])
    ] = "",
    order: Order = "id",
    seed: Annotated[int, Query(ge=0, le=2**31, description="Of `order=random`.", examples=[7])] = 0,
) -> Response:
    """A part of the collection, by id or by lot."""
    photos, copy = parts.desk.at_hand
    if copy is None:
        raise BadQuery("this collection is too large to be listed here; search it instead")
    asked = where
    passing = None if asked is None else await parts.desk.in_thread(lambda: parts.desk.passing(photos, copy, asked))
    rows = await parts.desk.in_thread(lambda: _listed(copy, passing, contains, seed if order == "random" else None))
    chosen = [copy.hit(int(row), 0.0) for row in rows[offset : offset + k]]
    told = [{"id": h.id, "metadata": public(h.metadata, show_paths=parts.settings.show_paths)} for h in chosen]
    return as_json({"images": told, "total": len(rows)})


def _listed(copy: VectorIndex, passing: Any, contains: str, seed: int | None) -> Any:
    rows = copy.order if passing is None else copy.order[passing[copy.order]]
    if contains:
        wanted = contains.casefold()
        rows = rows[[wanted in image_id.casefold() for image_id in copy.ids_at(rows)]]
    return rows if seed is None else np.random.default_rng(seed).permutation(rows)


@router.post("/v1/images", response_model=AddedOut, status_code=201, responses=fails(507), openapi_extra=ADD)
async def add(request: Request, parts: Needs) -> Response:
    """Add pictures by upload, under ids of your own or the hash of their bytes. An id that exists is replaced."""
    parts.desk.writable()
    files, form, called = await pictures_of(request, "image")
    pictures, ids = files.get("image", []), texts(form, "id")
    told = texts(form, "metadata")
    check_lists(len(pictures), ids, len(told))
    known = await parts.desk.in_thread(parts.desk.writable().store.columns)
    metadata = [metadata_of(text, known) for text in told]
    done: dict[str, Any] = {"ids": [], "added": 0, "changed": 0, "failed": []}
    for n, data in enumerate(pictures):
        image_id = ids[n] if ids else hashlib.sha256(data).hexdigest()[:16]
        try:
            new = await _add(parts, image_id, data, metadata[n] if metadata else {})
        except ImageError as error:
            done["failed"].append({"name": called["image"][n][:200] or image_id, "reason": str(error)})
            continue
        done["ids"].append(image_id)
        done["added" if new else "changed"] += 1
    if not done["ids"] and done["failed"]:
        message = "; ".join(f["reason"] for f in done["failed"])[:500]
        return as_json({"error": "unreadable_image", "message": message}, status=422)
    return as_json(done, status=201)


async def _add(parts: Parts, image_id: str, data: bytes, metadata: Metadata) -> bool:
    photos = parts.desk.writable()
    if len(data) > parts.settings.max_bytes:
        raise ImageTooLarge(f"the picture has more than {parts.settings.max_bytes:,} bytes; send a smaller one")
    upload = await parts.decoders.upload(data, photos.card.preprocessing, thumbnail=True)
    vector = await parts.desk.embed(upload.fitted)
    facts = upload.facts | {
        "thumbnail": upload.thumbnail,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "indexed": now(),
    }
    return await parts.desk.add(image_id, vector, dict(metadata) | facts)


@router.get("/v1/images/{image_id:path}/thumbnail", response_class=Response, responses=fails(404) | A_PICTURE)
async def thumbnail(
    request: Request,
    image_id: ImageId,
    parts: Needs,
    side: Annotated[int, Query(ge=16, le=2048, description="The long side, in pixels.", examples=[256])] = STORED_SIDE,
) -> Response:
    """A JPEG of the image; beyond 256 pixels it is made from the file, where that is at hand."""
    tag = await _tag(parts, image_id)
    asked = request.headers.get("if-none-match")
    if asked and f'"{tag}-{side}"' in asked:
        return with_tag(b"", "image/jpeg", f"{tag}-{side}", asked)
    if side > STORED_SIDE:
        try:
            data = await original(parts.desk, image_id)
            return with_tag(await parts.decoders.jpeg(data, side), "image/jpeg", f"{tag}-{side}", asked)
        except (UnknownId, ImageError):
            pass  # the stored one is better than none; its tag is its own
    row = await parts.desk.row(image_id, ["thumbnail"])
    jpeg = row.metadata.get("thumbnail")
    if not isinstance(jpeg, bytes):
        raise UnknownId(f"no thumbnail of {image_id[:200]!r} is kept")
    shown = f"{tag}-{min(side, STORED_SIDE)}"
    return with_tag(jpeg, "image/jpeg", shown, asked)


async def _tag(parts: Parts, image_id: str) -> str:
    """Names the picture: another vector is another picture."""
    vector = await parts.desk.vector_of(image_id)
    return hashlib.blake2b(np.ascontiguousarray(vector).tobytes(), digest_size=10).hexdigest()


@router.get("/v1/images/{image_id:path}/original", response_class=Response, responses=fails(404) | A_PICTURE)
async def original_file(request: Request, image_id: ImageId, parts: Needs) -> Response:
    """The file itself. Formats that a page may not show are handed over as a download."""
    data = await original(parts.desk, image_id)
    kind, shown = kind_of(data)
    headers = {
        "content-disposition": "inline" if shown else "attachment",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    tag = hashlib.blake2b(data, digest_size=10).hexdigest()
    return with_tag(data, kind, tag, request.headers.get("if-none-match"), headers, seconds=60)


@router.get("/v1/images/{image_id:path}/similar", response_model=Found, responses=fails(404))
async def similar(
    image_id: ImageId, parts: Needs, k: K = 12, where: Where = None, min_score: MinScore = None
) -> Response:
    """The images most like this one, which is left out itself."""
    vector = await parts.desk.vector_of(image_id)
    hits = await parts.desk.search(vector[None], k, where=where, without=frozenset({image_id}), min_score=min_score)
    told = as_hits(hits, show_paths=parts.settings.show_paths)
    return as_json({"query": [f"id:{image_id}"], "hits": told, "seconds": 0.0})


@router.get("/v1/images/{image_id:path}", response_model=ImageOut, responses=fails(404))
async def image(
    image_id: ImageId,
    parts: Needs,
    vector: Annotated[bool, Query(description="Also tell its vector.", examples=[True])] = False,
) -> Response:
    """All that is known of one image."""
    row = await parts.desk.row(image_id)
    told = {"id": row.id, "metadata": public(row.metadata, show_paths=parts.settings.show_paths)}
    return as_json(told | ({"vector": row.vector.tolist()} if vector else {}))


@router.patch("/v1/images/{image_id:path}", response_model=ImageOut, responses=fails(404, 507))
async def change(image_id: ImageId, wanted: Change, parts: Needs) -> Response:
    """Give an image a label, or take it away."""
    photos = parts.desk.writable()
    await parts.desk.row(image_id, [])
    await parts.desk.in_thread(lambda: set_labels(photos, {image_id: wanted.label}))
    await parts.desk.in_thread(parts.desk.refresh)
    return await image(image_id, parts)


@router.delete("/v1/images/{image_id:path}", response_model=Removed, responses=fails(404, 507))
async def remove(image_id: ImageId, parts: Needs) -> Response:
    """Take an image out. Its file is not touched, and the next indexing of its folder takes it in again."""
    parts.desk.writable()
    await parts.desk.row(image_id, [])
    return as_json({"removed": await parts.desk.remove([image_id])})
