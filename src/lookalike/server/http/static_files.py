"""The static files of the page: plain modules, read once and served with entity tags."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lookalike.duplicates.review.page import review_file
from lookalike.plot.pages import shared_script
from lookalike.server.http.access import PAGE_PATHS
from lookalike.server.http.responses import with_tag

FOLDER = Path(__file__).parents[1] / "static"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def pages() -> APIRouter:
    """Return the routes of the page, under each of its paths, and of its files."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
    files["mapview.js"] = shared_script("mapview.js").encode()  # shared with the standalone map page
    for name in ("review.js", "review.css"):  # shared with the page that `lookalike duplicates --page` writes
        files[name] = review_file(name).encode()
    tags = {name: hashlib.blake2b(data, digest_size=8).hexdigest() for name, data in files.items()}

    def respond(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)  # worded by the application
        headers = {"cache-control": "no-cache"}
        kind = KINDS[Path(name).suffix]
        return with_tag(files[name], kind, tags[name], request.headers.get("if-none-match"), headers)

    async def page(request: Request) -> Response:
        return respond(request, "index.html")

    for path in PAGE_PATHS:
        router.add_api_route(path, page, methods=["GET", "HEAD"])

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(request: Request, name: str) -> Response:
        return respond(request, name)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return respond(request, "icon.svg")

    return router
