"""The HTTP API and the web page. Import goes through here; FastAPI is loaded when an app is made."""

from typing import TYPE_CHECKING, Any

from lookalike.server.process.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

__all__ = ["Settings", "create_app", "serve"]


def create_app(settings: Settings, collection: Any = None) -> "FastAPI":
    """The application over the collection that `settings` names, or over an open one (for tests and notebooks)."""
    from lookalike.server.app import make_app

    return make_app(settings, collection)


def serve(settings: Settings, opened: "Callable[[], None] | None" = None) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished. Raises ServerError where it may not start.

    `opened` is called once the server answers.
    """
    from lookalike.server.process.run import run

    run(settings, opened)
