"""/v1/facets and /v1/folders: how many images of a list have each value of a column, or lie in each folder."""

from collections import Counter
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from lookalike.server.http.dependencies import AppStateDep, Where, error_responses
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import FacetsOut, FoldersOut
from lookalike.server.routes.images import Contains, check_columns, listed, shown_columns
from lookalike.types import Scalar

router = APIRouter(tags=["images"])
MONTH, _MONTH_LETTERS = "month", 7  # of `taken`, such as "2019-07"
Columns = Annotated[
    list[str],
    Query(
        min_length=1,
        max_length=16,
        description="Columns to count the values of; `month` is the year and month of `taken`.",
        examples=[["format", "year"]],
    ),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many values of each column.", examples=[20])]


@router.get("/v1/facets", response_model=FacetsOut, responses=error_responses())
async def facets(
    state: AppStateDep, column: Columns, where: Where = None, contains: Contains = "", limit: Limit = 20
) -> Response:
    """Return the most frequent values of columns among the images of a list, each with the number of images."""
    known = await shown_columns(state)
    check_columns([name for name in column if name != MONTH], known)
    index, listing = await listed(state, where, contains)
    answers = {}
    for name in dict.fromkeys(column):
        is_month = name == MONTH and MONTH not in known
        source, prefix = ("taken", _MONTH_LETTERS) if is_month else (name, 0)
        counts: Counter[Scalar] = Counter()
        if source in known:
            counts = await state.service.in_thread(partial(index.counts, source, listing, prefix))
        first = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:limit]
        values = [{"value": value, "images": images} for value, images in first]
        answers[name] = {"values": values, "more": len(counts) - len(values), "images": sum(counts.values())}
    return as_json({"facets": answers})


@router.get("/v1/folders", response_model=FoldersOut, responses=error_responses())
async def folders(
    state: AppStateDep,
    below: Annotated[
        str, Query(max_length=1000, description="The folder to look into; the top if empty.", examples=["Pictures"])
    ] = "",
    where: Where = None,
    contains: Contains = "",
) -> Response:
    """Return the folders right below one, by the ids of the images, each with the number of images in it and below.

    `images`: how many lie in the folder itself.
    """
    index, listing = await listed(state, where, contains)
    start = f"{below.rstrip('/')}/" if below.rstrip("/") else ""
    counts = await state.service.in_thread(lambda: index.folders(start, listing))
    own = counts.pop("", 0)
    inside = [{"name": name, "below": f"{start}{name}", "images": images} for name, images in sorted(counts.items())]
    return as_json({"folders": inside, "images": own})
