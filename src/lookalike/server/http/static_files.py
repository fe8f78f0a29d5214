"""The page's own files: a few plain modules, read once, served with tags."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from lookalike.duplicates.review.page import review_file
from lookalike.plot.pages import shared_script
from lookalike.server.http.access import PAGES
from lookalike.server.http.responses import as_json, with_tag

FOLDER = Path(__file__).parents[1] / "static"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def pages() -> APIRouter:
    """The page under each of its addresses, and its files."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
    files["mapview.js"] = shared_script("mapview.js").encode()  # the same map as in the page that stands alone
    for name in ("review.js", "review.css"):  # as in the page that `lookalike duplicates --page` writes
        files[name] = review_file(name).encode()
    tags = {name: hashlib.blake2b(data, digest_size=8).hexdigest() for name, data in files.items()}

    def answer(request: Request, name: str) -> Response:
        if name not in files:
            return as_json({"error": "not_found", "message": "there is no such page"}, status=404)
        headers = {"cache-control": "no-cache"}
        kind = KINDS[Path(name).suffix]
        return with_tag(files[name], kind, tags[name], request.headers.get("if-none-match"), headers)

    async def page(request: Request) -> Response:
        return answer(request, "index.html")

    for path in PAGES:
        router.add_api_route(path, page, methods=["GET", "HEAD"])

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(request: Request, name: str) -> Response:
        return answer(request, name)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return answer(request, "icon.svg")

    return router
