"""Dependencies of the routes: the application state and the query parameters that several routes share."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Path, Query, Request

from lookalike.errors import BadQuery
from lookalike.server.http.access import AccessControl
from lookalike.server.http.metrics import Metrics
from lookalike.server.http.problem import PROBLEM_TYPE
from lookalike.server.http.schemas import ErrorOut
from lookalike.server.process.settings import Settings
from lookalike.server.service.collection_service import MAX_K, CollectionService
from lookalike.server.service.jobs import JobRunner
from lookalike.server.service.local_features import LocalFeatures
from lookalike.server.uploads.decoder_pool import DecoderPool
from lookalike.server.uploads.query_vectors import QueryResolver


@dataclass(frozen=True, slots=True)
class AppState:
    """The components of the application, created once with it."""

    settings: Settings
    service: CollectionService
    decoders: DecoderPool
    resolver: QueryResolver
    local_features: LocalFeatures
    jobs: JobRunner
    metrics: Metrics
    access: AccessControl


def _app_state(request: Request) -> AppState:
    state: AppState = request.app.state.lookalike
    return state


def _image_id(
    image_id: Annotated[str, Path(description="The image's id; write / as %2F.", examples=["Pictures%2Fsea.jpg"])],
) -> str:
    # The path arrives percent-encoded, so that a slash in an id differs from a slash of the route.
    return unquote(image_id)


AppStateDep = Annotated[AppState, Depends(_app_state)]
ImageId = Annotated[str, Depends(_image_id)]
K = Annotated[int, Query(ge=1, le=MAX_K, description="Number of results.", examples=[12])]
Offset = Annotated[int, Query(ge=0, le=10**9, description="Number of results to skip.", examples=[60])]
Where = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="A condition on the metadata, in SQL syntax.",
        examples=["width > 1000 and label = 'sea'"],
    ),
]
MinScore = Annotated[
    float | None,
    Query(ge=-1, le=1, allow_inf_nan=False, description="The lowest score of a hit.", examples=[0.8]),
]
Recall = Annotated[
    float | None,
    Query(
        gt=0,
        le=1,
        description="The share of the nearest images to find, if the collection has an index; 1 compares all.",
        examples=[0.99],
    ),
]
By = Annotated[
    str,
    Query(
        max_length=200,
        description="The parts of the model's vectors that count: both, alike or copy; no difference if it has one "
        "part. Or the name of an added model, to search its vectors.",
        examples=["copy"],
    ),
]


def check_owned(state: AppState) -> None:
    """Raise BadQuery if the collection was opened by the program that runs the server, not by the server itself."""
    if state.service.externally_owned:
        raise BadQuery("this collection was opened by the program that runs the server; use that program instead")


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI error responses of a route: `statuses` and those that every route can return."""
    descriptions = {
        400: "The request cannot be carried out; the message gives the reason.",
        401: "A token is required.",
        403: "Not allowed.",
        404: "No such image.",
        408: "The request body arrived too slowly.",
        409: "Another operation is in progress, or the data has changed.",
        413: "Too many bytes or pixels.",
        421: "Unknown host name.",
        422: "Not an image, or an invalid parameter.",
        429: "Too many requests.",
        503: "The collection is unavailable, or the server is busy; try again in a moment.",
        507: "The collection cannot be written: the disk is full.",
    }
    common = (400, 401, 403, 408, 413, 421, 422, 429, 503)
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ErrorOut"}}}
    return {
        s: {"model": ErrorOut, "description": descriptions[s], "content": content} for s in sorted({*statuses, *common})
    }
