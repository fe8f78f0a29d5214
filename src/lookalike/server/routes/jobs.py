"""/v1/jobs: long-running jobs, with progress as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response, StreamingResponse

from lookalike.server.http.dependencies import AppStateDep, check_owned, error_responses
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import JobIn, JobList, JobOut

router = APIRouter(tags=["jobs"])
JobName = Annotated[str, Path(description="The `job` in the response of POST /v1/jobs.", examples=["a1b2c3d4"])]


@router.post("/v1/jobs", response_model=JobOut, status_code=202, responses=error_responses(409))
async def start(request: JobIn, state: AppStateDep) -> Response:
    """Start a job: `index` indexes the collection's folders again; the others compute the page of the same name."""
    state.service.writable()
    check_owned(state)
    return as_json(await state.jobs.start(request.kind), status=202)


@router.get("/v1/jobs", response_model=JobList, responses=error_responses())
async def jobs(state: AppStateDep) -> Response:
    """Return all jobs, newest first."""
    return as_json({"jobs": state.jobs.records.all()})


@router.get("/v1/jobs/{job}", response_model=JobOut, responses=error_responses(404))
async def job_state(job: JobName, state: AppStateDep) -> Response:
    """Return the state and progress of a job."""
    return as_json(state.jobs.records.get(job))


@router.delete("/v1/jobs/{job}", response_model=JobOut, responses=error_responses(404))
async def stop(job: JobName, state: AppStateDep) -> Response:
    """Stop a job after its current batch. Completed work is saved, and the next job of this kind continues from it."""
    state.service.writable()
    return as_json(state.jobs.stop(job))


@router.get(
    "/v1/jobs/{job}/events",
    response_class=StreamingResponse,
    responses=error_responses(404) | {200: {"content": {"text/event-stream": {}}}},
)
async def events(job: JobName, state: AppStateDep) -> Response:
    """Stream the progress of a job; the last event is named `end`."""
    state.jobs.records.get(job)
    return StreamingResponse(state.jobs.events(job), media_type="text/event-stream")
