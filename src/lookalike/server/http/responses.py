"""Responses: errors as JSON with a status, hits as JSON, files with entity tags."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from lookalike import errors
from lookalike.server.http.problem import PROBLEM_TYPE, problem_content
from lookalike.server.http.redaction import PRIVATE_COLUMNS
from lookalike.server.service.batcher import Busy
from lookalike.server.service.journals import ApplyNotAllowed, GroupsChanged
from lookalike.server.uploads.url_fetch import ForbiddenUrl
from lookalike.types import Hit, Metadata

# The first match applies, so subclasses come before their base classes.
STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.UnknownId, 404, "unknown_id"),
    (errors.BadFilter, 400, "bad_filter"),
    (ForbiddenUrl, 403, "forbidden_url"),
    (errors.BadQuery, 400, "bad_query"),
    (errors.ImageTooLarge, 413, "image_too_large"),
    (errors.ImageError, 422, "unreadable_image"),
    (errors.ReadOnly, 403, "read_only"),
    (errors.NoCollection, 503, "no_collection"),
    (errors.ShardUnavailable, 503, "shard_unavailable"),
    (errors.StoreFailed, 507, "store_failed"),
    (errors.CollectionError, 503, "collection_error"),
    (errors.ModelError, 503, "model_error"),
    (Busy, 503, "busy"),
    (ApplyNotAllowed, 403, "apply_not_allowed"),
    (GroupsChanged, 409, "groups_changed"),
    (errors.LookalikeError, 400, "failed"),
)
RETRYABLE = {"no_collection", "shard_unavailable", "busy"}
HIDDEN_COLUMNS = ("thumbnail",)


def error_response(error: Exception, message: str) -> Response:
    """Return the JSON response for an error of the library."""
    status, kind = next((s, k) for known, s, k in STATUSES if isinstance(error, known))
    headers = {"retry-after": "2"} if kind in RETRYABLE else {}
    return problem(kind, message, status=status, headers=headers)


def problem(kind: str, message: str, *, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as every error is sent: problem details (RFC 9457), with `error`, its code, and `message`."""
    content = problem_content(kind, message, status)
    return Response(json_of(content), status, dict(headers or {}), media_type=PROBLEM_TYPE)


def as_json(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response without validation: pydantic's check of every hit would cost more than the search."""
    return Response(json_of(content), status, dict(headers or {}), media_type="application/json")


def json_of(content: Any) -> bytes:
    """Return strict JSON: numbers that are not finite become null."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def as_hits(hits: Sequence[Hit], *, show_paths: bool) -> list[dict[str, Any]]:
    """Return hits in the form of the API."""
    return [
        {"id": h.id, "score": round(h.score, 6), "metadata": public(h.metadata, show_paths=show_paths)} for h in hits
    ]


def public(metadata: Metadata, *, show_paths: bool) -> dict[str, Any]:
    """Return metadata without binary columns, and without locations unless `show_paths`."""
    return {
        name: value
        for name, value in metadata.items()
        if not isinstance(value, bytes) and name not in HIDDEN_COLUMNS and (show_paths or name not in PRIVATE_COLUMNS)
    }


def with_tag(
    body: bytes,
    kind: str,
    tag: str,
    if_none_match: str | None,
    headers: Mapping[str, str] | None = None,
    *,
    seconds: int = 86400,
) -> Response:
    """Return a file that the browser may cache, or status 304 if it already has this version."""
    fields = {"etag": f'"{tag}"', "cache-control": f"private, max-age={seconds}", **(headers or {})}
    known = [part.strip().removeprefix("W/") for part in (if_none_match or "").split(",")]
    if fields["etag"] in known:
        return Response(status_code=304, headers=fields)
    return Response(body, 200, fields, media_type=kind)
