"""The static files of the page: plain modules, read once and served with entity tags."""

import gzip
import hashlib
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lookalike._version import __version__
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


def pages() -> APIRouter:
    """Return the routes of the page, under each of its paths, and of its files."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
    files["mapview.js"] = shared_script("mapview.js").encode()  # shared with the standalone map page
    for name in ("review.js", "review.css"):  # shared with the page that `lookalike duplicates --page` writes
        files[name] = review_file(name).encode()
    packed = {name: gzip.compress(data, 9) for name, data in files.items()}
    tags = {name: hashlib.blake2b(data, digest_size=8).hexdigest() for name, data in files.items()}

    def respond(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)  # worded by the application
        return _compressed(request, files[name], packed[name], KINDS[Path(name).suffix], tags[name])

    async def page(request: Request) -> Response:
        return respond(request, "index.html")

    for path in PAGE_PATHS:
        router.add_api_route(path, page, methods=["GET", "HEAD"])

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(request: Request, name: str) -> Response:
        return respond(request, name)

    vendored = {path.name: path.read_bytes() for path in sorted(API_PAGE.iterdir()) if path.suffix in KINDS}

    @router.api_route("/docs", methods=["GET", "HEAD"])
    async def api_page(request: Request) -> Response:
        headers = {"content-security-policy": API_PAGE_POLICY, "cache-control": "no-cache"}
        return with_tag(vendored["index.html"], KINDS[".html"], __version__, None, headers)

    @router.api_route("/docs/{name}", methods=["GET", "HEAD"])
    async def api_page_file(request: Request, name: str) -> Response:
        if name not in vendored:
            raise HTTPException(404)
        data = vendored[name]
        tag = hashlib.blake2b(data, digest_size=8).hexdigest()
        return _compressed(request, data, gzip.compress(data, 6), KINDS[Path(name).suffix], tag)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return respond(request, "icon.svg")

    return router


def _compressed(request: Request, data: bytes, packed: bytes, kind: str, tag: str) -> Response:
    """Return a file as the client can read it: compressed, which a tag of its own says, or as it is."""
    headers = {"cache-control": "no-cache", "vary": "accept-encoding"}
    known = request.headers.get("if-none-match")
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return with_tag(data, kind, tag, known, headers)
    return with_tag(packed, kind, f"{tag}-gzip", known, headers | {"content-encoding": "gzip"})
