"""Conditions as Python values: a mapping of columns to values, or text with `?` for parameters. Both become SQL."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from lookalike.errors import BadFilter
from lookalike.store.where import double_quotes, quote_text
from lookalike.types import Scalar

Where: TypeAlias = str | Mapping[str, Scalar | Sequence[Scalar]]
"""SQL text such as "width > 640", or a mapping such as {"width": 640, "format": ["PNG", "GIF"], "label": None}."""

Parameters: TypeAlias = Sequence[Any]
"""The values of the `?` of a condition: text, numbers, booleans, or lists of these for IN."""

# A ? inside quotes is text.
_PARAMETER = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|(?P<parameter>\?)""")


def as_condition(where: Where | None, parameters: Parameters | None = None) -> str | None:
    """Return a condition as the SQL text that stores evaluate, None for no condition. Raises BadFilter.

    A mapping means AND of equality; a list of values means IN, None means IS NULL. `parameters` replace each `?` of a
    text in order, as values and never as SQL; a list becomes the values of IN.
    """
    if isinstance(where, Mapping):
        if parameters is not None:
            raise BadFilter("parameters belong to a condition in text with ?; a mapping contains its values")
        return " AND ".join(_test(name, value) for name, value in where.items()) or None
    if where is not None and not isinstance(where, str):
        raise BadFilter(f"a condition is text or a mapping of columns to values, not {type(where).__name__}")
    if parameters is None:
        return where
    return _bind(where or "", parameters)


def _bind(where: str, parameters: Parameters) -> str:
    if isinstance(parameters, str | bytes | Mapping):
        raise BadFilter(f"parameters must be a list of values, not {type(parameters).__name__}")
    count = sum(match["parameter"] is not None for match in _PARAMETER.finditer(where))
    if count != len(parameters):
        raise BadFilter(f"the condition {where!r} has {count} ? and got {len(parameters)} parameters")
    values: Iterator[Any] = iter(parameters)
    return _PARAMETER.sub(lambda match: _parameter(next(values)) if match["parameter"] else match[0], where)


def _parameter(value: Any) -> str:
    if value is None:
        raise BadFilter("None cannot be compared; write IS NULL or IS NOT NULL instead of a parameter")
    values = _members(value)
    if values is None:
        return _literal(value)
    if not values:
        raise BadFilter("a list of parameters is empty; leave its condition out")
    return f"({', '.join(map(_literal, values))})"


def _test(name: object, value: Any) -> str:
    if not isinstance(name, str):
        raise BadFilter(f"the column {name!r} of a condition is not text")
    column = double_quotes(name.replace('"', '""'))
    if value is None:
        return f"{column} IS NULL"
    members = _members(value)
    if members is None:
        return f"{column} = {_literal(value)}"
    values = [one for one in members if one is not None]
    tests = [f"{column} IN ({', '.join(map(_literal, values))})"] if values else []
    if len(values) < len(members):
        tests.append(f"{column} IS NULL")
    # `x IN ()` is no SQL; nothing is in an empty list.
    return f"({' OR '.join(tests)})" if tests else f"({column} IS NULL AND {column} IS NOT NULL)"


def _members(value: Any) -> list[Any] | None:
    """Return the members of a list, a set, an array or a column of a data frame; None for a single value."""
    single = isinstance(value, str | bytes | Mapping | np.generic) or getattr(value, "ndim", 1) == 0
    return None if single or not isinstance(value, Iterable) else list(value)


def _literal(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))
    if isinstance(value, str):
        return quote_text(value)
    raise BadFilter(f"a condition cannot compare with {value!r}; use text, finite numbers, True and False")
