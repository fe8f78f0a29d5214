"""The FastAPI application: its components, routes, middleware and error handlers."""

import asyncio
import errno
import multiprocessing
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Lifespan

from lookalike._version import __version__
from lookalike.errors import LookalikeError
from lookalike.search import Collection
from lookalike.server.http.access import AccessControl
from lookalike.server.http.dependencies import AppState
from lookalike.server.http.invalid_input import invalid_input, shown
from lookalike.server.http.known_routes import KnownRoutes, answers_head
from lookalike.server.http.metrics import Metrics
from lookalike.server.http.middleware import App, RequestGuard, RequestLimitExceeded
from lookalike.server.http.openapi import describe_login, operation_id, refuse_unknown_parameters
from lookalike.server.http.responses import error_response, problem
from lookalike.server.http.static_files import pages
from lookalike.server.process.settings import KEY, Settings, load_tokens
from lookalike.server.process.shards import shard_options
from lookalike.server.process.startup import on_signal
from lookalike.server.routes import clusters, duplicates, facets, health, images, jobs, labels, relations, search
from lookalike.server.routes import collection as collection_routes
from lookalike.server.routes import map as map_routes
from lookalike.server.service.collection_service import CollectionService, Shards
from lookalike.server.service.job_records import JobRunning
from lookalike.server.service.jobs import JobRunner
from lookalike.server.service.local_features import LocalFeatures
from lookalike.server.uploads.decoder_pool import DecoderPool
from lookalike.server.uploads.query_vectors import QueryResolver
from lookalike.server.uploads.saved_queries import SavedQueries

PUBLISH_SECONDS = 2.0  # between writes of this worker's metrics
UNREADABLE_BODY = "the body cannot be read; send JSON in UTF-8, with numbers and nesting of a usual size"
LOAD_SECONDS = 30.0  # a larger collection continues to load while the server listens
CLOSED_BY_CLIENT = 499


def make_app(settings: Settings, collection: Collection | None = None) -> FastAPI:
    """Return the application for the collection that `settings` names, or for an open one."""
    folder = settings.folder or tempfile.mkdtemp(prefix="lookalike-")
    state = _app_state(settings, collection, folder)

    app = FastAPI(
        title="Lookalike",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan(settings, state, folder),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        dependencies=[Depends(refuse_unknown_parameters)],
    )
    describe_login(app)
    app.state.lookalike = state
    modules = (
        search,
        images,
        facets,
        collection_routes,
        labels,
        relations,
        duplicates,
        clusters,
        map_routes,
        jobs,
        health,
    )
    routers = [*(module.router for module in modules), pages()]
    for router in routers:
        app.include_router(router)
    _add_error_handlers(app, state.service)
    _add_request_error_handlers(app, KnownRoutes([*app.routes, *(r for router in routers for r in router.routes)]))
    # The guard wraps the whole stack, including Starlette's own error handler.
    app.build_middleware_stack = _guarded(app, settings, state)  # type: ignore[method-assign]
    return app


DESCRIPTION = (
    "Find images that look alike. Every error is `application/problem+json` (RFC 9457) with `error`, a code that "
    "stays, and `message`, a sentence."
)


def _lifespan(settings: Settings, state: AppState, folder: str) -> Lifespan[FastAPI]:
    """Return what starts the components of the application and stops them in order."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with on_signal(state.service.cancel_wait, state.jobs.interrupt):
            state.service.start()
            await state.decoders.start()
            # Wait before listening: a worker that loads more slowly than the others would answer 503 in their place.
            await state.service.wait_until_loaded(LOAD_SECONDS)
            publisher = asyncio.create_task(_publish_metrics(state))
            try:
                yield
            finally:
                publisher.cancel()
                await state.jobs.close()
                await state.decoders.stop()
                await asyncio.to_thread(state.local_features.close)
                await asyncio.to_thread(state.service.close)
                if not settings.folder or _orphaned():
                    await asyncio.to_thread(_remove, folder)

    return lifespan


def _app_state(settings: Settings, collection: Collection | None, folder: str) -> AppState:
    service = CollectionService(settings, collection, _shards(settings))
    decoders = DecoderPool(
        settings.decoders,
        seconds=settings.decode_seconds,
        memory=settings.decode_memory,
        max_pixels=settings.max_pixels,
    )
    queries = SavedQueries(f"{folder}/queries", settings.keep_queries, _signing_key(folder))
    metrics = Metrics(folder if settings.workers > 1 else "")
    access = AccessControl(settings, load_tokens(settings.tokens))
    resolver = QueryResolver(service, decoders, queries, settings)
    jobs, local_features = JobRunner(settings, folder), LocalFeatures(service)
    return AppState(settings, service, decoders, resolver, local_features, jobs, metrics, access)


def _shards(settings: Settings) -> Shards | None:
    """Return the machines that hold the index, if this process is a router of a cluster."""
    if not settings.ray:
        return None
    from lookalike.engine.shard_application import RemoteShards

    return RemoteShards(settings.ray, shard_options(settings))


def _signing_key(folder: str) -> bytes:
    """Return the key that signs the tokens of saved queries: the one `run` wrote for all workers, or a new one."""
    with suppress(FileNotFoundError):
        return (Path(folder) / KEY).read_bytes()
    return secrets.token_bytes(32)


def _guarded(app: FastAPI, settings: Settings, state: AppState):  # type: ignore[no-untyped-def]
    build = app.build_middleware_stack

    def build_guarded() -> App:
        return RequestGuard(_answer_head(_keep_raw_ids(build())), settings, state.access, state.metrics)

    return build_guarded


def _keep_raw_ids(app: App) -> App:
    """Keep paths under /v1/images percent-encoded, so that %2F in an id does not separate path segments."""

    async def call(scope, receive, send):  # type: ignore[no-untyped-def]
        raw = scope.get("raw_path", b"")
        if scope["type"] == "http" and raw.startswith(b"/v1/images/"):
            scope["path"] = raw.decode("latin-1")
        await app(scope, receive, send)

    return call


def _answer_head(app: App) -> App:
    """Answer HEAD as GET without the body, except for the endless body of job events."""

    async def call(scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] != "http" or scope["method"] != "HEAD" or not answers_head(scope["path"]):
            await app(scope, receive, send)
            return

        async def send_headers(message):  # type: ignore[no-untyped-def]
            await send(message | {"body": b""} if message["type"] == "http.response.body" else message)

        inner = dict(scope) | {"method": "GET"}
        try:
            await app(inner, receive, send_headers)
        finally:
            scope["route"] = inner.get("route")  # for the log and the metrics

    return call


def _add_error_handlers(app: FastAPI, service: CollectionService) -> None:
    """Turn errors into JSON with a code and a sentence."""

    @app.exception_handler(LookalikeError)
    async def library_error(_: Request, error: LookalikeError) -> Response:
        if isinstance(error, JobRunning):
            return problem("job_running", str(error), status=409)
        return error_response(error, service.public_message(error))

    @app.exception_handler(RequestLimitExceeded)
    async def limit_exceeded(_: Request, error: RequestLimitExceeded) -> Response:
        refusal = error.refusal
        return problem(refusal.kind, refusal.message, status=refusal.status, headers=dict(refusal.headers))

    @app.exception_handler(OSError)
    async def os_error(_: Request, error: OSError) -> Response:
        if error.errno != errno.ENOSPC:
            raise error
        return problem("store_failed", "the server's disk is full; free some space", status=507)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        message = "internal error; see the server's log under the x-request-id of this response"
        return problem("unexpected", message, status=500)

    @app.exception_handler(ClientDisconnect)
    async def client_disconnected(_: Request, error: ClientDisconnect) -> Response:
        return problem("gone", "the client closed the connection", status=CLOSED_BY_CLIENT)


def _add_request_error_handlers(app: FastAPI, routes: KnownRoutes) -> None:
    """Turn what FastAPI and Starlette raise about a request into JSON with our own sentences."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        body = getattr(request.scope.get("route"), "body_field", None)
        message = invalid_input(error.errors(), None if body is None else body.field_info.annotation)
        return problem("invalid", message, status=422)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        path, status = request.scope["path"], error.status_code
        if status == 404:
            return problem("not_found", routes.not_found(path), status=status)
        if status == 405:
            methods = ", ".join(routes.methods(path))
            message = f"{shown(path)} does not allow {shown(request.method)}; allowed: {methods}"
            return problem("method_not_allowed", message, status=405, headers={"allow": methods})
        return problem("failed", UNREADABLE_BODY, status=status)


async def _publish_metrics(state: AppState) -> None:
    """Publish this worker's metrics for the worker that is asked for those of all."""
    while True:
        health.record_state(state)
        await asyncio.to_thread(state.metrics.publish)
        await asyncio.sleep(PUBLISH_SECONDS)


def _orphaned() -> bool:
    """Return whether the supervisor process, which removes the folder otherwise, has ended."""
    supervisor = multiprocessing.parent_process()
    return supervisor is not None and not supervisor.is_alive()


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
