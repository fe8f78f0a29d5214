"""/healthz, /readyz, /metrics, /v1/login."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from lookalike.server.http.access import COOKIE
from lookalike.server.http.dependencies import Needs, fails
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import Error, Health, Login
from lookalike.server.service.batcher import Batcher

router = APIRouter(tags=["running it"])


@router.get("/healthz", response_model=Health, responses=fails())
async def healthz() -> Response:
    """The process is alive."""
    return as_json({"status": "ok", "message": ""})


@router.get("/readyz", response_model=Health, responses=fails() | {503: {"model": Health}})
async def readyz(parts: Needs) -> Response:
    """It can answer searches; 503 while it reads the collection, or when that is gone."""
    if parts.desk.trouble:
        return as_json({"status": "waiting", "message": parts.desk.trouble}, status=503)
    return as_json({"status": "ok", "message": ""})


@router.get("/metrics", response_class=PlainTextResponse, responses=fails() | {200: {"content": {"text/plain": {}}}})
async def metrics(parts: Needs) -> Response:
    """Prometheus' text format, over all workers."""
    desk, told = parts.desk, parts.metrics
    batchers: dict[str, Batcher[Any, Any]] = {"embed": desk.embedding, "search": desk.searching, "add": desk.adding}
    for kind, batcher in batchers.items():
        told.set("lookalike_batches_total", batcher.batches, kind=kind)
        told.set("lookalike_batch_items_total", batcher.items, kind=kind)
        told.set("lookalike_waiting", batcher.depth, kind=kind)
    told.set("lookalike_waiting", parts.decoders.waiting, kind="decode")
    told.set("lookalike_decoder_restarts_total", parts.decoders.restarts)
    told.set("lookalike_resident_bytes", desk.resident.nbytes if desk.resident else 0)
    told.set("lookalike_images", len(desk.resident) if desk.resident else 0)
    return PlainTextResponse(told.text(), media_type="text/plain; version=0.0.4")


@router.post("/v1/login", response_model=Health, responses=fails() | {401: {"model": Error}})
async def login(wanted: Login, parts: Needs, request: Request) -> Response:
    """For the page: a token becomes a cookie that scripts cannot read and other sites cannot use."""
    session = parts.gate.session(wanted.token)
    if session is None:
        return as_json({"error": "wrong_token", "message": "that token is not one of this server's"}, status=401)
    answer = as_json({"status": "ok", "message": ""})
    answer.set_cookie(
        COOKIE,
        session,
        httponly=True,
        samesite="strict",
        max_age=30 * 86400,
        path=parts.settings.root_path or "/",
        secure=request.url.scheme == "https",
    )
    return answer
