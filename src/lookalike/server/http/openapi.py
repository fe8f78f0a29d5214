"""The description of the API: names of operations, how to log in, and a refusal of parameters that it does not have."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from lookalike.server.http.access import COOKIE
from lookalike.server.http.invalid_input import UNKNOWN_PARAMETER
from lookalike.server.http.problem import PROBLEM_TYPE

_ANY_PARAMETERS = ("/healthz", "/readyz", "/metrics")  # monitors add some against caches
# Names for generated clients, of functions whose own name says too little.
_OPERATIONS = {
    "search": "search_images",
    "search_by_upload": "search_images_by_upload",
    "search_batch": "search_many_images",
    "save": "save_query",
    "query_thumbnail": "get_query_thumbnail",
    "images": "list_images",
    "add": "add_images",
    "thumbnail": "get_thumbnail",
    "original_file": "get_original",
    "similar": "find_similar_images",
    "image": "get_image",
    "change": "label_image",
    "remove": "remove_image",
    "facets": "count_values",
    "folders": "list_folders",
    "collection": "get_collection",
    "failures": "list_failures",
    "scores": "get_scores",
    "labels": "list_labels",
    "give": "set_label",
    "spread": "list_propagated_labels",
    "suspects": "list_suspect_labels",
    "compare": "compare_images",
    "duplicates": "list_duplicates",
    "apply_state": "get_apply_state",
    "apply": "apply_duplicates",
    "undo": "undo_duplicates",
    "decide": "decide_pair",
    "decide_many": "decide_pairs",
    "choose": "choose_kept_image",
    "clusters": "list_clusters",
    "members": "get_cluster",
    "whole_map": "get_map",
    "jobs": "list_jobs",
    "start": "start_job",
    "job_state": "get_job",
    "stop": "stop_job",
    "events": "follow_job",
    "healthz": "get_health",
    "readyz": "get_readiness",
    "metrics": "get_metrics",
    "login": "log_in",
}


def operation_id(route: APIRoute) -> str:
    """Return the name of a route's operation."""
    return _OPERATIONS.get(route.name, route.name)


def describe_login(app: FastAPI) -> None:
    """Add to the description how a token is sent. It is needed where the server was started with tokens."""
    app.state.parameters = {}
    describe = app.openapi

    def with_login() -> dict[str, Any]:
        description = describe()
        for operation in (one for path in description["paths"].values() for one in path.values()):
            for response in operation["responses"].values():
                if PROBLEM_TYPE in response.get("content", {}):  # FastAPI adds the type of the route
                    response["content"] = {PROBLEM_TYPE: response["content"][PROBLEM_TYPE]}
            operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
        components = description.setdefault("components", {})
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "A token of --token-file."},
            "session": {
                "type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The cookie that /v1/login sets.",
            },
        }  # fmt: skip
        description["security"] = [{}, {"token": []}, {"session": []}]
        return description

    app.openapi = with_login  # type: ignore[method-assign]


async def refuse_unknown_parameters(request: Request) -> None:
    """Raise RequestValidationError for a query parameter that the route does not have: a typing error, most likely."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema or route.path in _ANY_PARAMETERS:
        return
    names: dict[str, tuple[str, ...]] = request.app.state.parameters
    if (known := names.get(route.unique_id)) is None:
        known = names[route.unique_id] = tuple(_query_parameters(route.dependant))
    errors = [
        {"type": UNKNOWN_PARAMETER, "loc": ("query", name), "input": name, "ctx": {"known": known}}
        for name in request.query_params
        if name not in known
    ]
    if errors:
        raise RequestValidationError(errors)


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_parameters(inner)
