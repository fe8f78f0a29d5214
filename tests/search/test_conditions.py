"""Conditions as mappings and with parameters: values are values, whatever is written in them."""

from collections import deque
from typing import Any

import numpy as np
import pytest

from lookalike.errors import BadFilter
from lookalike.search import Collection
from lookalike.search.conditions import as_condition

ROWS: dict[str, dict[str, Any]] = {
    "sea": {"label": "sea", "price": 3, "weight": 0.5, "sold": True},
    "quote": {"label": 'it\'s ? "x"', "price": -4, "weight": 1e-7, "sold": False},
    "bare": {"label": None, "price": 5, "weight": None, "sold": False},
}


@pytest.fixture
def shop(collection: Collection) -> Collection:
    collection.add(vectors=np.eye(3), ids=list(ROWS), metadata=list(ROWS.values()))
    return collection


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"label": "sea"}, ["sea"]),
        ({"label": 'it\'s ? "x"'}, ["quote"]),
        ({"label": None}, ["bare"]),
        ({"label": ["sea", None]}, ["bare", "sea"]),
        ({"label": [None]}, ["bare"]),
        ({"label": []}, []),
        ({"price": (3, -4)}, ["quote", "sea"]),
        ({"price": {3}}, ["sea"]),
        ({"price": np.array([5, 3])}, ["bare", "sea"]),
        ({"price": np.array(5)}, ["bare"]),
        ({"price": deque([5, 3])}, ["bare", "sea"]),
        ({"price": np.int64(5), "sold": False}, ["bare"]),
        ({"price": 3, "sold": False}, []),
        ({"price": 3.0}, ["sea"]),
        ({"weight": 1e-7}, ["quote"]),
        ({"sold": np.True_}, ["sea"]),
        ({"id": ["sea", "nobody"]}, ["sea"]),
        ({}, ["bare", "quote", "sea"]),
        (None, ["bare", "quote", "sea"]),
    ],
)
def test_a_mapping_is_equality_or_membership_or_missing(shop: Collection, where: Any, expected: list[str]) -> None:
    assert shop.ids(where) == expected
    assert shop.vectors(where)[0] == expected
    assert shop.to_arrow(where)["id"].to_pylist() == expected
    assert sorted(hit.id for hit in shop.search_by_vector(np.ones(3), where=where)[0]) == expected
    assert {hit.id for hit in shop.search("id:sea", where=where)} == set(expected) - {"sea"}
    assert {hit.id for hit in shop.search_by_id("sea", where=where)} == set(expected) - {"sea"}
    assert {hit.id for hit in shop.search_many(["id:sea"], where=where)[0]} == set(expected) - {"sea"}


@pytest.mark.parametrize(
    ("where", "parameters", "expected"),
    [
        ("price > ? and label = ?", [2, "sea"], ["sea"]),
        ("label = ?", ['it\'s ? "x"'], ["quote"]),
        ("label = ?", ["x' or 'a' = 'a"], []),
        ("label = 'it''s ? \"x\"' and price = ?", [-4], ["quote"]),
        ("price in ?", [[3, 5]], ["bare", "sea"]),
        ("weight < ?", [np.float32(1e-3)], ["quote"]),
        ("sold = ?", [True], ["sea"]),
        ("price = 3", [], ["sea"]),
    ],
)
def test_parameters_are_values(shop: Collection, where: str, parameters: list[Any], expected: list[str]) -> None:
    assert shop.ids(where, parameters) == expected
    assert shop.vectors(where, parameters)[0] == expected
    assert shop.to_arrow(where, parameters=parameters)["id"].to_pylist() == expected
    found = {hit.id for hit in shop.search_by_vector(np.ones(3), where=where, parameters=parameters)[0]}
    assert found == set(expected)
    others = set(expected) - {"sea"}
    assert {hit.id for hit in shop.search("id:sea", where=where, parameters=parameters)} == others
    assert {hit.id for hit in shop.search_by_id("sea", where=where, parameters=parameters)} == others
    assert {hit.id for hit in shop.search_many(["id:sea"], where=where, parameters=parameters)[0]} == others


@pytest.mark.parametrize(
    ("where", "parameters", "match"),
    [
        ("price = ?", [], r"has 1 \? and got 0"),
        ("price = 3", [1], r"has 0 \? and got 1"),
        (None, [1], "got 1"),
        ("label = '?'", ["x"], "has 0"),
        ("label = ?", "x", "must be a list"),
        ("label = ?", [None], "IS NULL"),
        ("price in ?", [[]], "empty"),
        ("weight = ?", [float("nan")], "nan"),
        ("label = ?", [b"x"], "b'x'"),
        ("price = ?", ["3"], "Text goes in single quotes"),
        ({"label": "sea"}, ["sea"], "mapping"),
        ({"label": object()}, None, "cannot compare"),
        ({"label": {"a": 1}}, None, "cannot compare"),
        ({"lable": "sea"}, None, "nearest: label"),
        ({"label\" = 'sea' or \"label": "x"}, None, "no column"),
        ({1: 2}, None, "not text"),
        (3, None, "text or a mapping"),
    ],
)
def test_other_conditions_are_refused(shop: Collection, where: Any, parameters: Any, match: str) -> None:
    with pytest.raises(BadFilter, match=match):
        shop.ids(where, parameters)


def test_a_mapping_becomes_sql() -> None:
    where = {"width": 640, "format": ["PNG", "GIF"], "label": None}
    assert as_condition(where) == '"width" = 640 AND ("format" IN (\'PNG\', \'GIF\')) AND "label" IS NULL'
