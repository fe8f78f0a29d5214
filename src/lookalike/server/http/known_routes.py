"""The routes of the server by path: the nearest one to an unknown path, and the methods of a known one."""

from collections.abc import Iterable
from difflib import get_close_matches

from starlette.routing import BaseRoute, Route

from lookalike.server.http.invalid_input import shown

MAX_COMPARED_LENGTH = 200


class KnownRoutes:
    """The routes of an application."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    def not_found(self, path: str) -> str:
        """Return the sentence about a path without a route."""
        paths = {route.path.replace(":path}", "}") for route in self._routes}
        near = get_close_matches(path[:MAX_COMPARED_LENGTH], sorted(paths), n=1, cutoff=0.0)
        return f"there is nothing at {shown(path)}; nearest: {near[0]}; /openapi.json describes all routes"

    def methods(self, path: str) -> list[str]:
        """Return the methods that a path allows."""
        allowed = {method for route in self._routes if route.path_regex.match(path) for method in route.methods or ()}
        return sorted(allowed | ({"HEAD"} if "GET" in allowed and answers_head(path) else set()))


def answers_head(path: str) -> bool:
    """Return whether a path that allows GET allows HEAD: the events of a job have an endless body."""
    return not path.endswith("/events")
