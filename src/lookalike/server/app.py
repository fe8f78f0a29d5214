"""The application: its parts, its routes, and what an error becomes."""

import asyncio
import errno
import multiprocessing
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from lookalike._version import __version__
from lookalike.errors import LookalikeError
from lookalike.search import Collection
from lookalike.server.http.access import Gate
from lookalike.server.http.dependencies import Parts
from lookalike.server.http.metrics import Metrics
from lookalike.server.http.middleware import App, Door, TooMuch
from lookalike.server.http.responses import as_json, refusal
from lookalike.server.http.static_files import pages
from lookalike.server.process.settings import KEY, Settings, load_tokens
from lookalike.server.process.startup import on_signal
from lookalike.server.routes import clusters, duplicates, health, images, jobs, labels, relations, search
from lookalike.server.routes import collection as collection_routes
from lookalike.server.routes import map as map_routes
from lookalike.server.service.collection_service import Desk
from lookalike.server.service.jobs import JobRunning, Jobs
from lookalike.server.uploads.decoder_pool import Decoders
from lookalike.server.uploads.query_vectors import Asking
from lookalike.server.uploads.saved_queries import Queries

LEAVE_SECONDS = 2.0
LOOK_SECONDS = 30.0
CLOSED_BY_CLIENT = 499


def make_app(settings: Settings, collection: Collection | None = None) -> FastAPI:
    """The app over the collection that `settings` names, or over one that is open."""
    folder = settings.folder or tempfile.mkdtemp(prefix="lookalike-")
    parts = _parts(settings, collection, folder)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        with on_signal(parts.desk.look_no_longer):
            parts.desk.start()
            await parts.decoders.start()
            # Before it listens: else a worker that is behind the others answers 503 to what they would have met.
            await parts.desk.looked(LOOK_SECONDS)
        leaving = asyncio.create_task(_leave(parts.metrics))
        try:
            yield
        finally:
            leaving.cancel()
            await parts.jobs.close()
            await parts.decoders.stop()
            await asyncio.to_thread(parts.desk.close)
            if not settings.folder or _orphaned():
                await asyncio.to_thread(_remove, folder)

    app = FastAPI(
        title="Lookalike", version=__version__, description=DESCRIPTION, lifespan=life, docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.parts = parts
    for routes in (
        search, images, collection_routes, labels, relations, duplicates, clusters, map_routes, jobs, health,
    ):  # fmt: skip
        app.include_router(routes.router)
    app.include_router(pages())
    _explain(app, parts.desk)
    # Outside of everything, also of Starlette's own answers to errors.
    app.build_middleware_stack = _behind_door(app, settings, parts)  # type: ignore[method-assign]
    return app


DESCRIPTION = (
    "Find images that look alike. Every error is a JSON object with `error`, a word, and `message`, a sentence."
)


def _parts(settings: Settings, collection: Collection | None, folder: str) -> Parts:
    desk = Desk(settings, collection)
    decoders = Decoders(
        settings.decoders,
        seconds=settings.decode_seconds,
        memory=settings.decode_memory,
        max_pixels=settings.max_pixels,
    )
    queries = Queries(f"{folder}/queries", settings.keep_queries, _key(folder))
    metrics = Metrics(folder if settings.workers > 1 else "")
    gate = Gate(settings, load_tokens(settings.tokens))
    asking = Asking(desk, decoders, queries, settings)
    return Parts(settings, desk, decoders, asking, Jobs(settings, folder), metrics, gate)


def _key(folder: str) -> bytes:
    """The secret behind the tokens of kept queries: that which `run` left for all workers, or one of our own."""
    with suppress(FileNotFoundError):
        return (Path(folder) / KEY).read_bytes()
    return secrets.token_bytes(32)


def _behind_door(app: FastAPI, settings: Settings, parts: Parts):  # type: ignore[no-untyped-def]
    build = app.build_middleware_stack

    def built() -> App:
        return Door(_heads(_raw_ids(build())), settings, parts.gate, parts.metrics)

    return built


def _raw_ids(app: App) -> App:
    """Under /v1/images the path stays as it was sent, so that %2F in an id is not a slash of ours."""

    async def call(scope, receive, send):  # type: ignore[no-untyped-def]
        raw = scope.get("raw_path", b"")
        if scope["type"] == "http" and raw.startswith(b"/v1/images/"):
            scope["path"] = raw.decode("latin-1")
        await app(scope, receive, send)

    return call


def _heads(app: App) -> App:
    """HEAD is answered as GET, without the body; not where the body is the progress of a job."""

    async def call(scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].endswith("/events"):
            await app(scope, receive, send)
            return

        async def headless(message):  # type: ignore[no-untyped-def]
            await send(message | {"body": b""} if message["type"] == "http.response.body" else message)

        inner = dict(scope) | {"method": "GET"}
        try:
            await app(inner, receive, headless)
        finally:
            scope["route"] = inner.get("route")  # for the log and the metrics

    return call


def _explain(app: FastAPI, desk: Desk) -> None:
    """Errors as JSON: a word, a sentence."""

    @app.exception_handler(LookalikeError)
    async def ours(_: Request, error: LookalikeError) -> Response:
        if isinstance(error, JobRunning):
            return as_json({"error": "job_running", "message": str(error)}, status=409)
        return refusal(error, desk.clean(str(error)))

    @app.exception_handler(TooMuch)
    async def too_much(_: Request, error: TooMuch) -> Response:
        told = error.refusal
        return as_json({"error": told.kind, "message": told.message}, status=told.status, headers=dict(told.headers))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        told = [f"{'.'.join(str(part) for part in e['loc'][1:]) or 'body'}: {e['msg']}" for e in error.errors()[:5]]
        return as_json({"error": "invalid", "message": "; ".join(told)}, status=422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        kinds = {404: "not_found", 405: "method_not_allowed"}
        told = {"error": kinds.get(error.status_code, "failed"), "message": str(error.detail)}
        return as_json(told, status=error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(OSError)
    async def system(_: Request, error: OSError) -> Response:
        if error.errno != errno.ENOSPC:
            raise error
        return as_json({"error": "store_failed", "message": "the server's disk is full; make room"}, status=507)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        told = "something failed here; the server's log tells what, under the x-request-id of this answer"
        return as_json({"error": "unexpected", "message": told}, status=500)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> Response:
        return as_json({"error": "gone", "message": "you left"}, status=CLOSED_BY_CLIENT)


async def _leave(metrics: Metrics) -> None:
    while True:
        await asyncio.to_thread(metrics.leave)
        await asyncio.sleep(LEAVE_SECONDS)


def _orphaned() -> bool:
    """Whether whoever began this worker, and would remove what is left, is gone."""
    supervisor = multiprocessing.parent_process()
    return supervisor is not None and not supervisor.is_alive()


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
