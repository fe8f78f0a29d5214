"""What a request needs at hand: the app's parts, and parameters that several routes share."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Path, Query, Request

from lookalike.server.http.access import Gate
from lookalike.server.http.metrics import Metrics
from lookalike.server.http.schemas import Error
from lookalike.server.process.settings import Settings
from lookalike.server.service.collection_service import MAX_K, Desk
from lookalike.server.service.jobs import Jobs
from lookalike.server.uploads.decoder_pool import Decoders
from lookalike.server.uploads.query_vectors import Asking


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each, made when the app is."""

    settings: Settings
    desk: Desk
    decoders: Decoders
    asking: Asking
    jobs: Jobs
    metrics: Metrics
    gate: Gate


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _image_id(
    image_id: Annotated[str, Path(description="The image's id; write / as %2F.", examples=["Pictures%2Fsea.jpg"])],
) -> str:
    # The path comes as it was sent, so that a slash in an id and a slash of ours are two things.
    return unquote(image_id)


Needs = Annotated[Parts, Depends(_parts)]
ImageId = Annotated[str, Depends(_image_id)]
K = Annotated[int, Query(ge=1, le=MAX_K, description="How many.", examples=[12])]
Offset = Annotated[int, Query(ge=0, le=10**9, description="How many to pass over.", examples=[60])]
Where = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="A condition over metadata, as in SQL.",
        examples=["width > 1000 and label = 'sea'"],
    ),
]
MinScore = Annotated[
    float | None,
    Query(ge=-1, le=1, allow_inf_nan=False, description="Only hits at least so alike.", examples=[0.8]),
]


def fails(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route answers with, for OpenAPI; those of the door and the collection are everywhere."""
    told = {
        400: "Something asked cannot be done; the message says what.",
        401: "A token is needed.",
        403: "Not allowed.",
        404: "No such image.",
        408: "The body came too slowly.",
        409: "Something else is under way.",
        413: "Too many bytes or pixels.",
        421: "The server is not called by that name.",
        422: "Not a picture, or a parameter of the wrong kind.",
        429: "Too many requests.",
        503: "The collection is not at hand, or too much is waiting; try again in a moment.",
        507: "The collection cannot be written: the disk is full.",
    }
    everywhere = (400, 401, 403, 408, 413, 421, 422, 429, 503)
    return {s: {"model": Error, "description": told[s]} for s in sorted({*statuses, *everywhere})}
