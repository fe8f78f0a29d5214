"""The HTTP API and the web page. FastAPI is imported when an application is created."""

from typing import TYPE_CHECKING, Any

from lookalike.server.process.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

__all__ = ["Settings", "create_app", "serve"]


def create_app(settings: Settings, collection: Any = None) -> "FastAPI":
    """Return the application for the collection that `settings` names, or for an open one (tests, notebooks)."""
    from lookalike.server.app import make_app

    return make_app(settings, collection)


def serve(settings: Settings, opened: "Callable[[], None] | None" = None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in progress. Raises ServerError if it cannot start.

    `opened` is called once the server accepts connections.
    """
    from lookalike.server.process.run import run

    run(settings, opened)
