"""Every route refuses invalid input in the words of this API: no pydantic sentence, no 500, one shape."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from pydantic_core._pydantic_core import list_all_errors

from lookalike.server.http.invalid_input import invalid_input
from tests.server.conftest import PROBLEM, Served

JSON = {"content-type": "application/json"}
# The fixed beginnings of pydantic's messages: "Input should be", "Field required" ...
PYDANTIC_WORDS = {
    words for error in list_all_errors() if len(words := error["message_template_python"].split("{")[0].strip()) > 7
}
ODD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"1",
    b"NaN",
    b"\xff\xfe",
    b"\x00",
    b"9" * 5000,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"label": "\\ud800", "ids": ["\\ud800"], "first": "\\ud800", "second": "\\ud800", "id": "\\ud800"}',
    b'{"label": "x", "ids": ["\\ud800"]}',
    b'{"label": "x", "ids": ["\\u0000"]}',
    b'{"first": "\\u0000", "second": "\\u0000", "verdict": "copy"}',
    b'{"id": "\\u0000", "keep": true}',
    b'{"when": "", "files": NaN}',
    b'{"when": "", "files": 1e300}',
    b'{"journal": "\\u0000"}',
]
CONTENT_TYPES = [
    "",
    "application/json",
    "text/plain",
    "image/png",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "\xff",
]


def types_of(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null")


def bad_values(schema: dict[str, Any]) -> Iterator[Any]:
    """Values of a wrong type, out of range, too long or of another form."""
    for kind in types_of(schema):
        if kind["type"] in ("integer", "number", "boolean"):
            yield "a\u202e\x00<b>"
        if "minimum" in kind:
            yield kind["minimum"] - 1
        if "maximum" in kind:
            yield kind["maximum"] + 1
        if kind["type"] == "number":
            yield "nan"
        if "maxLength" in kind:
            yield "x" * (kind["maxLength"] + 1)
        if kind.get("minLength"):
            yield ""
        if "enum" in kind or "pattern" in kind:
            yield "other\x00"
        if "maxItems" in kind:
            yield ["x"] * (kind["maxItems"] + 1)
        if kind.get("minItems"):
            yield []


def refusal(answer: Any, *names: str) -> str:
    """The message of a refusal, after checking its shape and its words."""
    assert 400 <= answer.status_code < 500, answer.text
    payload = answer.json()
    assert set(payload) == PROBLEM
    assert (payload["status"], payload["detail"]) == (answer.status_code, payload["message"])
    assert answer.headers["content-type"] == "application/problem+json"
    message = str(payload["message"])
    assert len(message) < 1000
    assert message.isprintable()
    assert [words for words in PYDANTIC_WORDS if words in message] == []
    assert [name for name in names if name not in message] == []
    return message


def operations(server: Served) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in server.http.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def url_of(path: str, operation: dict[str, Any], **values: Any) -> str:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(values.get(parameter["name"], 1)))
    return path


def test_invalid_parameters_are_refused_by_name(server: Served) -> None:
    refused = 0
    for method, path, operation in operations(server):
        for parameter in operation.get("parameters", []):
            name, url = parameter["name"], url_of(path, operation)
            if parameter["in"] == "query" and parameter["required"]:
                refusal(server.http.request(method, url), f"`{name}` is missing")
            for value in bad_values(parameter["schema"]):
                if parameter["in"] == "path":
                    answer = server.http.request(method, url_of(path, operation, **{name: quote(str(value))}))
                else:
                    answer = server.http.request(method, url, params={name: value})
                refusal(answer, f"`{name}`")
                refused += 1
    assert refused > 50


def bodies_of(server: Served) -> Iterator[tuple[str, str, dict[str, Any]]]:
    schemas = server.http.get("/openapi.json").json()["components"]["schemas"]
    for method, path, operation in operations(server):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            yield method, url_of(path, operation), schemas[name]


def test_invalid_bodies_are_refused_by_field(server: Served) -> None:
    refused = 0
    for method, url, schema in bodies_of(server):
        example = schema["example"]

        def send(body: Any, *names: str, method: str = method, url: str = url) -> None:
            refusal(server.http.request(method, url, json=body), *names)

        send([example], "the body is a list")
        send(example | {"surprise": "s3cret"}, "`surprise` is not a known field", "nearest")
        for name, field in schema["properties"].items():
            if name in schema.get("required", []):
                send({key: value for key, value in example.items() if key != name}, f"`{name}` is missing")
            for value in [*bad_values(field if "$ref" not in field.get("items", {}) else {"type": "array"}), {}, 1.5]:
                send(example | {name: value}, f"`{name}`")
                refused += 1
    assert refused > 30


def test_fields_within_fields_are_named(server: Served) -> None:
    batch = {"decisions": [{"first": 1, "second": "b", "verdict": "maybe", "verdikt": 1}]}
    assert refusal(server.http.post("/v1/decisions/batch", json=batch)) == (
        "`decisions[0].first` is 1, but must be text; "
        "`decisions[0].verdict` is 'maybe', but must be 'not-a-copy', 'keep-both' or 'copy'; "
        "`decisions[0].verdikt` is not a known field, nearest: `verdict`"
    )


def test_a_secret_is_not_repeated(server: Served) -> None:
    for body in ({"token": ["s3cret"]}, {"token": "s3cret" * 100}, {"tokn": "s3cret"}):
        assert "s3cret" not in refusal(server.http.post("/v1/login", json=body), "`token`")


def test_no_error_of_pydantic_is_passed_on() -> None:
    for error in list_all_errors():
        context = error.get("example_context") or {}
        message = invalid_input([{"type": error["type"], "loc": ("query", "k"), "input": "x", "ctx": context}], None)
        assert message.startswith("`k` ") or error["type"] == "json_invalid"
        assert [words for words in PYDANTIC_WORDS if words in message] == []


@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_odd_bodies_are_refused(server: Served, body: bytes) -> None:
    for method, path, operation in operations(server):
        if method in ("POST", "PATCH"):
            for kind in CONTENT_TYPES if len(body) < 100 else ["application/json"]:
                headers = {"content-type": kind.encode("latin-1")}
                answer = server.http.request(method, url_of(path, operation), content=body, headers=headers)
                refusal(answer)


# Percent-encoded: NUL, a surrogate, no UTF-8, a direction override, numbers beyond any type, nothing.
ODD_VALUES = ["%00", "%ed%a0%80", "%ff", "%e2%80%ae", "9" * 30, "9" * 5000, "-1", "1e999", "nan", "", "%2e%2e"]


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_odd_values_are_answered_or_refused(server: Served, value: str) -> None:
    for method, path, operation in operations(server):
        if method != "GET" or path == "/metrics":
            continue
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            url = url_of(path, operation, **{name: value if parameter["in"] == "path" else 1})
            query = "like=id:photos%2Fred0.png" if path == "/v1/search" and name != "like" else ""
            answer = server.http.get(f"{url}?{query}&{name}={value}")
            assert answer.status_code < 500, (answer.request.url, answer.text)
            if answer.status_code >= 400:
                refusal(answer)


def test_an_unknown_path_is_answered_with_the_nearest(server: Served) -> None:
    message = refusal(server.http.get("/v1/serch"))
    assert message == "there is nothing at '/v1/serch'; nearest: /v1/search; /openapi.json describes all routes"
    assert "nearest: /static/{name}" in refusal(server.http.get("/static/ap.js"))
    refusal(server.http.get("/v1/%00%0a%e2%80%ae<script>" + "x" * 2000), "…")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/search", "GET, HEAD, POST"),
        ("POST", "/v1/images/photos%2Fred0.png", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("GET", "/v1/login", "POST"),
        ("POST", "/v1/jobs/a1b2c3d4/events", "GET"),
    ],
)
def test_a_wrong_method_is_answered_with_the_allowed_ones(server: Served, method: str, path: str, allowed: str) -> None:
    answer = server.http.request(method, path)
    assert refusal(answer, f"does not allow '{method}'").endswith(f"allowed: {allowed}")
    assert (answer.status_code, answer.headers.get_list("allow")) == (405, [allowed])


@pytest.mark.parametrize(
    ("request_bytes", "status", "kind"),
    [
        (b"NONSENSE\r\n\r\n", 400, "bad_request"),
        (b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 66_000, 431, "headers_too_large"),
    ],
)
def test_what_is_no_http_is_refused_in_the_same_shape(
    server: Served, request_bytes: bytes, status: int, kind: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(30)
        sock.sendall(request_bytes)
        answer = b""
        with suppress(ConnectionResetError):  # it closes without reading the rest
            while block := sock.recv(65_536):
                answer += block
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    payload = json.loads(body)
    assert (set(payload), payload["error"]) == (PROBLEM, kind)


def test_a_form_that_cannot_be_read_is_refused_in_our_words(server: Served, red: bytes) -> None:
    assert "more than 8 images" in refusal(server.http.post("/v1/search", files=[("image", red)] * 9))
    assert "more than 200 text fields" in refusal(
        server.http.post("/v1/search", files={"image": red}, data={"like": ["x"] * 201})
    )
    assert "names no boundary" in refusal(
        server.http.post("/v1/search", content=b"", headers={"content-type": "multipart/form-data"})
    )
    for data in ({"files": {"image": red}}, {}):
        long = server.http.post("/v1/search", data={"like": "x" * 70_000}, **data)  # type: ignore[arg-type]
        assert "64 KiB" in refusal(long)
