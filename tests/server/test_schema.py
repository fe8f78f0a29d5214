"""Every route against its own description: schemathesis asks all kinds of things, within bounds."""

import re
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

import lookalike.server
from lookalike.server.http import schemas as models
from lookalike.server.http.examples import EXAMPLES
from tests.server.conftest import Served

ASKED = 8
# A made-up id is not found, a made-up condition is refused: valid by its shape is not yet possible to do.
LEFT_OUT = {"positive_data_acceptance", "negative_data_rejection", "missing_required_header", "ignored_auth"}


def test_the_api_does_as_its_description_says(server: Served) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]
    tested = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/events"):
            continue
        tested.add((operation.method, operation.path))

        @settings(
            max_examples=ASKED, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=server.url, checks=checks)

        given(case=operation.as_strategy())(ask)()
    assert len(tested) > 20


def test_everything_in_the_description_has_an_example(server: Served) -> None:
    payload = server.http.get("/openapi.json").json()
    shapes = payload["components"]["schemas"]

    def shown(one: dict) -> bool:
        """Whether a parameter, a body or a shape has an example, itself or by its schema."""
        schema = one.get("schema", {})
        named = shapes.get(schema.get("$ref", "").rpartition("/")[2], {})
        return any(word in item for item in (one, schema, named) for word in ("example", "examples"))

    bare = [name for name, shape in shapes.items() if not shown(shape)]
    for path, operations in payload["paths"].items():
        for method, operation in operations.items():
            parameters = {p["name"]: p for p in operation.get("parameters", [])}
            bodies = operation.get("requestBody", {}).get("content", {})
            bare += [f"{method} {path} {name}" for name, one in (parameters | bodies).items() if not shown(one)]
    assert bare == []
    assert len(shapes) > 30


def test_every_example_has_its_shape() -> None:
    for name, example in EXAMPLES.items():
        getattr(models, name).model_validate(example)
    assert {name for name, kind in vars(models).items() if is_shape(kind)} == set(EXAMPLES)


def is_shape(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, models.ApiModel) and kind is not models.ApiModel


def test_operations_have_names_that_a_generator_can_use(server: Served) -> None:
    description = server.http.get("/openapi.json").json()
    names = [one["operationId"] for path in description["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names) > 35
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []
    assert {"search_images", "list_images", "get_image", "compare_images"} <= set(names)
    assert description["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {} in description["security"]
    kinds = [
        set(answer["content"])
        for path in description["paths"].values()
        for one in path.values()
        for status, answer in one["responses"].items()
        if status.startswith(("4", "5"))
    ]
    problems = [some for some in kinds if "application/problem+json" in some]
    assert len(problems) > 300
    assert all(len(some) == 1 for some in problems)


def test_a_parameter_that_does_not_exist_is_refused_on_every_route(server: Served) -> None:
    for path, operations in server.http.get("/openapi.json").json()["paths"].items():
        if path in ("/healthz", "/readyz", "/metrics"):  # monitors add some
            assert server.http.get(path, params={"t": "1"}).status_code == 200
            continue
        for method in operations:
            answer = server.http.request(method, path, params={"wher": "x"})
            assert answer.status_code == 422, (method, path, answer.text)
            assert "`wher` is not a known parameter" in answer.json()["message"]
    assert "nearest: `where`" in server.http.get("/v1/images", params={"wher": "x"}).text
    assert server.http.get("/", params={"wher": "x"}).status_code == 200  # an address of the page


def test_the_description_is_shown_without_any_other_host(server: Served) -> None:
    answer = server.http.get("/docs")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert "docs/swagger-ui-bundle.js" in files
    for name in files:
        got = server.http.get(f"/{name}")
        assert got.status_code == 200, name
        assert not re.search(r"https?://", name)
    assert server.http.get("/docs/LICENSE").status_code == 404
    assert server.http.get("/docs/../openapi.py").status_code == 404
    folder = Path(lookalike.server.__file__).parent / "vendor" / "swagger-ui"
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
