"""Every route against its own description: schemathesis asks all kinds of things, within bounds."""

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

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
