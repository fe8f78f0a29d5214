"""The HTTP transport of the client: requests, JSON responses, and errors of the library."""

import http.client
import json
import os
import ssl
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from lookalike import errors

ERROR_CLASSES: Mapping[str, type[errors.LookalikeError]] = {
    "unknown_id": errors.UnknownId,
    "bad_filter": errors.BadFilter,
    "bad_query": errors.BadQuery,
    "invalid": errors.BadQuery,
    "image_too_large": errors.ImageTooLarge,
    "too_large": errors.ImageTooLarge,
    "unreadable_image": errors.UnreadableImage,
    "read_only": errors.ReadOnly,
    "may_not_write": errors.ReadOnly,
    "no_collection": errors.NoCollection,
    "store_failed": errors.StoreFailed,
    "collection_error": errors.CollectionError,
}
File = tuple[str, str, bytes]
"""A file in a form: field, file name, bytes."""


class Transport:
    """A persistent connection that reconnects after a failure. Not thread-safe."""

    def __init__(self, url: str, token: str | None, seconds: float) -> None:
        parts, self._host, self._port = _server_address(url)
        if token and not (token.isascii() and token.isprintable()):
            raise errors.BadQuery("the token has characters that no HTTP header can contain; copy it again")
        self.url = url
        self._secure, self._prefix, self._seconds = parts.scheme == "https", parts.path.rstrip("/"), seconds
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **parameters: Any) -> Any:
        """GET with query parameters; None omits a parameter."""
        return self.request("GET", path + _query(parameters))

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """Return the JSON of the response. Raises the error that the server reports."""
        return json.loads(self.request_bytes(method, path, body, kind))

    def form(self, path: str, files: Sequence[File], fields: Mapping[str, Sequence[str]], **parameters: Any) -> Any:
        """POST files and text fields as a multipart form."""
        body, kind = _form(files, fields)
        return self.request("POST", path + _query(parameters), body, kind)

    def request_bytes(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Return the body of the response. Raises the error that the server reports."""
        headers = self._headers | ({"Content-Type": kind} if body is not None else {})
        status, content = self._send(method, self._prefix + path, body, headers)
        if status >= 400:
            raise _error(status, content, self.url)
        return content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        for last in (False, True):
            fresh = self._connection is None
            try:
                connection = self._connection = self._connection or self._connect()
                sent = False
                with suppress(BrokenPipeError, ConnectionResetError):  # closed midway: a response may have been sent
                    connection.request(method, path, body, dict(headers))
                    sent = True
                with closing(connection.getresponse()) as response:  # it owns the socket if the server closes it
                    result = response.status, response.read()
                if not sent:
                    self.close()
                return result
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # The server may have closed an idle connection; only requests that do not write can be repeated.
                if last or fresh or method not in ("GET", "HEAD"):
                    reason = f"the server at {self.url} does not respond ({error or type(error).__name__})"
                    raise errors.CollectionError(f"{reason}; is it running?") from None
        raise AssertionError

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)


def _server_address(url: str) -> tuple[SplitResult, str, int | None]:
    """Return the parts of a URL, its host and its port. Raises BadQuery."""
    with suppress(ValueError):  # of a host in brackets, or of a port
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.path.isascii() and url.isprintable():
            return parts, parts.hostname, parts.port
    raise errors.BadQuery(f"{url!r} is not the URL of a server; use the form http://127.0.0.1:8000")


def image_path(image_id: str, rest: str = "") -> str:
    """Return the API path of an image, its id percent-encoded."""
    return f"/v1/images/{quote(image_id, safe='', errors='surrogatepass')}{rest}"


def _query(parameters: Mapping[str, Any]) -> str:
    pairs = [(k, v) for k, value in parameters.items() for v in (value if isinstance(value, list) else [value])]
    text = urlencode(
        [(k, str(v).lower() if isinstance(v, bool) else v) for k, v in pairs if v is not None], errors="surrogatepass"
    )
    return f"?{text}" if text else ""


def _form(files: Sequence[File], fields: Mapping[str, Sequence[str]]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex + os.urandom(4).hex()
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    try:
        parts = [f'{head}"{name}"\r\n\r\n{value}\r\n'.encode() for name, values in fields.items() for value in values]
    except UnicodeEncodeError as error:
        raise errors.BadQuery(
            f"the text {error.object[-60:].strip()!r} is not valid Unicode; send other characters"
        ) from None
    for field, name, data in files:
        part_head = f'{head}"{field}"; filename="{quote(name, errors="surrogatepass")}"\r\n\r\n'
        parts.append(part_head.encode() + data + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _error(status: int, content: bytes, url: str) -> errors.LookalikeError:
    try:
        payload = json.loads(content)
        kind, message = str(payload["error"]), str(payload["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = "", f"{url} returned status {status}; is it a Lookalike server?"
    return ERROR_CLASSES.get(kind, errors.LookalikeError)(message)
