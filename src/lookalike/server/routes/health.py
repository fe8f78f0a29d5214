"""/healthz, /readyz, /metrics and /v1/login."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from lookalike.server.http.access import COOKIE
from lookalike.server.http.dependencies import AppState, AppStateDep, error_responses
from lookalike.server.http.responses import as_json, problem
from lookalike.server.http.schemas import HealthOut, LoginIn
from lookalike.server.service.batcher import Batcher

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=HealthOut, responses=error_responses())
async def healthz() -> Response:
    """Return status 200 while the process is running."""
    return as_json({"status": "ok", "message": ""})


@router.get("/readyz", response_model=HealthOut, responses=error_responses() | {503: {"model": HealthOut}})
async def readyz(state: AppStateDep) -> Response:
    """Return status 200 if searches can be answered, 503 while the collection loads or is unavailable."""
    if state.service.unavailable_reason:
        return as_json({"status": "waiting", "message": state.service.unavailable_reason}, status=503)
    return as_json({"status": "ok", "message": ""})


@router.get(
    "/metrics", response_class=PlainTextResponse, responses=error_responses() | {200: {"content": {"text/plain": {}}}}
)
async def metrics(state: AppStateDep) -> Response:
    """Return the metrics of all workers in the Prometheus text format."""
    record_state(state)
    return PlainTextResponse(state.metrics.text(), media_type="text/plain; version=0.0.4")


def record_state(state: AppState) -> None:
    """Set the metrics that are totals or gauges of this worker's components."""
    service, registry = state.service, state.metrics
    batchers: dict[str, Batcher[Any, Any]] = {
        "embed": service.embedding,
        "search": service.searching,
        "add": service.adding,
    }
    for kind, batcher in batchers.items():
        registry.set("lookalike_batches_total", batcher.batches, kind=kind)
        registry.set("lookalike_batch_items_total", batcher.items, kind=kind)
        registry.set("lookalike_waiting", batcher.depth, kind=kind)
    registry.set("lookalike_waiting", state.decoders.waiting, kind="decode")
    registry.set("lookalike_decoder_restarts_total", state.decoders.restarts)
    registry.set("lookalike_resident_bytes", 0 if service.index is None else service.index.nbytes)
    registry.set("lookalike_images", 0 if service.index is None else len(service.index))


@router.post("/v1/login", response_model=HealthOut, responses=error_responses())
async def login(credentials: LoginIn, state: AppStateDep, request: Request) -> Response:
    """Exchange a token for a session cookie, which scripts cannot read and other sites cannot send."""
    session = state.access.session(credentials.token)
    if session is None:
        return problem("wrong_token", "unknown token", status=401)
    response = as_json({"status": "ok", "message": ""})
    response.set_cookie(
        COOKIE,
        session,
        httponly=True,
        samesite="strict",
        max_age=30 * 86400,
        path=state.settings.root_path or "/",
        secure=request.url.scheme == "https",
    )
    return response
