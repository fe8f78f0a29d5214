"""/v1/jobs: long work while serving, with progress as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response, StreamingResponse

from lookalike.errors import BadQuery
from lookalike.server.http.dependencies import Needs, fails
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import JobIn, JobOut, Jobs

router = APIRouter(tags=["jobs"])
JobName = Annotated[str, Path(description="As POST /v1/jobs told it.", examples=["a1b2c3d4"])]


@router.post("/v1/jobs", response_model=JobOut, status_code=202, responses=fails(409))
async def start(wanted: JobIn, parts: Needs) -> Response:
    """Begin one: `index` looks again at the collection's folders, the others fill the pages of their names."""
    parts.desk.writable()
    if parts.desk.given:
        raise BadQuery("this collection is held open by a program; do it there")
    return as_json(await parts.jobs.start(wanted.kind), status=202)


@router.get("/v1/jobs", response_model=Jobs, responses=fails())
async def jobs(parts: Needs) -> Response:
    """The latest first."""
    return as_json({"jobs": parts.jobs.all()})


@router.get("/v1/jobs/{job}", response_model=JobOut, responses=fails(404))
async def job_state(job: JobName, parts: Needs) -> Response:
    """How far one is."""
    return as_json(parts.jobs.get(job))


@router.delete("/v1/jobs/{job}", response_model=JobOut, responses=fails(404))
async def stop(job: JobName, parts: Needs) -> Response:
    """End it after its current batch; what it did is kept, and the next run goes on there."""
    parts.desk.writable()
    return as_json(parts.jobs.stop(job))


@router.get(
    "/v1/jobs/{job}/events",
    response_class=StreamingResponse,
    responses=fails(404) | {200: {"content": {"text/event-stream": {}}}},
)
async def events(job: JobName, parts: Needs) -> Response:
    """Its progress, told as it happens; the last event is called `end`."""
    parts.jobs.get(job)
    return StreamingResponse(parts.jobs.events(job), media_type="text/event-stream")
