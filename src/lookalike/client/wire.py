"""HTTP as the client speaks it: one request, its JSON, and errors that are the library's own."""

import http.client
import json
import os
import ssl
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from lookalike import errors

CLASSES: Mapping[str, type[errors.LookalikeError]] = {
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
"""A form's file: field, name, bytes."""


class Wire:
    """A connection that is kept, made again when it was lost. Not for several threads at once."""

    def __init__(self, url: str, token: str | None, seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise errors.BadQuery(f"{url!r} is not the URL of a server; write it like http://127.0.0.1:8000")
        self.url, self._host, self._port = url, parts.hostname, parts.port
        self._secure, self._prefix, self._seconds = parts.scheme == "https", parts.path.rstrip("/"), seconds
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **parameters: Any) -> Any:
        return self.ask("GET", path + _query(parameters))

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """The answer's JSON. Raises the error that the server tells."""
        return json.loads(self.data(method, path, body, kind))

    def form(self, path: str, files: Sequence[File], fields: Mapping[str, Sequence[str]], **parameters: Any) -> Any:
        """POST files and texts as a form."""
        body, kind = _form(files, fields)
        return self.ask("POST", path + _query(parameters), body, kind)

    def data(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """The answer's bytes. Raises the error that the server tells."""
        headers = self._headers | ({"Content-Type": kind} if body is not None else {})
        status, answer = self._once(method, self._prefix + path, body, headers)
        if status >= 400:
            raise _error(status, answer, self.url)
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        for last in (False, True):
            fresh = self._connection is None
            try:
                connection = self._connection = self._connection or self._connected()
                whole = False
                with suppress(BrokenPipeError, ConnectionResetError):  # hung up on midway: it may have said why
                    connection.request(method, path, body, dict(headers))
                    whole = True
                answer = connection.getresponse()
                told = answer.status, answer.read()
                if not whole:
                    self.close()
                return told
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have been closed meanwhile; asking twice is safe only where nothing is written.
                if last or fresh or method not in ("GET", "HEAD"):
                    reason = f"the server at {self.url} does not answer ({error or type(error).__name__})"
                    raise errors.CollectionError(f"{reason}; is it running?") from None
        raise AssertionError

    def _connected(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)


def image_path(image_id: str, rest: str = "") -> str:
    """Where an image is: its id with every sign escaped."""
    return f"/v1/images/{quote(image_id, safe='')}{rest}"


def _query(parameters: Mapping[str, Any]) -> str:
    told = [(k, v) for k, value in parameters.items() for v in (value if isinstance(value, list) else [value])]
    text = urlencode([(k, str(v).lower() if isinstance(v, bool) else v) for k, v in told if v is not None])
    return f"?{text}" if text else ""


def _form(files: Sequence[File], fields: Mapping[str, Sequence[str]]) -> tuple[bytes, str]:
    mark = uuid.uuid4().hex + os.urandom(4).hex()
    head = f"--{mark}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{value}\r\n'.encode() for name, values in fields.items() for value in values]
    for field, name, data in files:
        told = f'{head}"{field}"; filename="{quote(name)}"\r\n\r\n'
        parts.append(told.encode() + data + b"\r\n")
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


def _error(status: int, answer: bytes, url: str) -> errors.LookalikeError:
    try:
        told = json.loads(answer)
        kind, message = str(told["error"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = "", f"{url} answers with status {status}; is it a Lookalike server?"
    return CLASSES.get(kind, errors.LookalikeError)(message)
