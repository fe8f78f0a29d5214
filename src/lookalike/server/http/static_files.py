"""The static files of the page: plain modules, read once and served with entity tags."""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lookalike.duplicates.review.page import review_file
from lookalike.plot.pages import shared_script
from lookalike.server.http.access import PAGE_PATHS
from lookalike.server.http.responses import with_tag

FOLDER = Path(__file__).parents[1] / "static"
API_PAGE = Path(__file__).parents[1] / "vendor" / "swagger-ui"
# Swagger UI sets styles from its script, and has its icons in addresses of data.
API_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class StaticFiles:
    """Files by name, sent with a tag and compressed for clients that can read that; each is compressed once."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._tags = {name: hashlib.blake2b(data, digest_size=8).hexdigest() for name, data in files.items()}
        self._compressed: dict[str, bytes] = {}

    def respond(self, request: Request, name: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return a file. `headers`: further ones."""
        if name not in self._files:
            raise HTTPException(404)  # worded by the application
        fields = {"cache-control": "no-cache", "vary": "accept-encoding", **(headers or {})}
        data, tag = self._files[name], self._tags[name]
        if "gzip" in request.headers.get("accept-encoding", ""):
            if name not in self._compressed:
                self._compressed[name] = gzip.compress(data)
            data, tag, fields["content-encoding"] = self._compressed[name], f"{tag}-gzip", "gzip"
        return with_tag(data, KINDS[Path(name).suffix], tag, request.headers.get("if-none-match"), fields)


def pages() -> APIRouter:
    """Return the routes of the page, under each of its paths, of its files, and of the page that shows the API."""
    router = APIRouter(include_in_schema=False)
    own = _read(FOLDER) | {"mapview.js": shared_script("mapview.js").encode()}  # shared with the standalone map page
    # And with the page that `lookalike duplicates --page` writes.
    files = StaticFiles(own | {name: review_file(name).encode() for name in ("review.js", "review.css")})
    api_files = StaticFiles(_read(API_PAGE))

    async def page(request: Request) -> Response:
        return files.respond(request, "index.html")

    for path in PAGE_PATHS:
        router.add_api_route(path, page, methods=["GET", "HEAD"])

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(request: Request, name: str) -> Response:
        return files.respond(request, name)

    @router.api_route("/docs", methods=["GET", "HEAD"])
    async def api_page(request: Request) -> Response:
        return api_files.respond(request, "index.html", {"content-security-policy": API_PAGE_POLICY})

    @router.api_route("/docs/{name}", methods=["GET", "HEAD"])
    async def api_page_file(request: Request, name: str) -> Response:
        return api_files.respond(request, name)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return files.respond(request, "icon.svg")

    return router


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in KINDS}
