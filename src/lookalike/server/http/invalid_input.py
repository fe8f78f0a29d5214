"""The sentences about invalid parameters and bodies: the field, the value that was sent, and what is allowed.

Pydantic's own messages describe its types, not this API, so no response contains them.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

UNKNOWN_PARAMETER = "unknown_parameter"  # a type of error beside those of pydantic
MAX_ERRORS = 5  # reported per request
MAX_VALUE_LENGTH = 60
SECRET_FIELDS = frozenset({"token"})  # their values are not repeated
NO_NUL_PATTERN = r"^[^\x00]*$"
CLUSTER_PATTERN = r"^\d{1,9}/\d{1,9}$"
_PATTERN_WORDS = {
    NO_NUL_PATTERN: "be text without NUL characters",
    CLUSTER_PATTERN: "have the form LEVEL/NUMBER, such as 64/12",
}
Context: TypeAlias = Mapping[str, Any]
Location: TypeAlias = tuple[int | str, ...]

# What a value must do, by the type of pydantic's error.
_REQUIREMENTS: dict[str, Callable[[Context], str]] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), lambda _: "be a whole number"),
    "int_parsing_size": lambda _: "be a whole number of fewer digits",
    **dict.fromkeys(("float_type", "float_parsing"), lambda _: "be a number"),
    "finite_number": lambda _: "be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: "be true or false"),
    "string_type": lambda _: "be text",
    **dict.fromkeys(("string_unicode", "string_sub_type"), lambda _: "be text without unpaired surrogates"),
    "list_type": lambda _: "be a list",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), lambda _: "be a JSON object"),
    "none_required": lambda _: "be null",
    "greater_than": lambda ctx: f"be more than {_number(ctx['gt'])}",
    "greater_than_equal": lambda ctx: f"be at least {_number(ctx['ge'])}",
    "less_than": lambda ctx: f"be less than {_number(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"be at most {_number(ctx['le'])}",
    "literal_error": lambda ctx: f"be {ctx['expected']}",
    "string_pattern_mismatch": lambda ctx: _PATTERN_WORDS.get(ctx["pattern"], "have another form"),
}
# What is counted, and which bound it exceeds.
_LENGTHS = {
    "string_too_long": ("character", "at most", "max_length"),
    "string_too_short": ("character", "at least", "min_length"),
    "too_long": ("entry", "at most", "max_length"),
    "too_short": ("entry", "at least", "min_length"),
}


def invalid_input(errors: Iterable[Mapping[str, Any]], body: type[BaseModel] | None) -> str:
    """Return the sentence about pydantic's errors. `body`: the schema of the body, to name its fields."""
    return "; ".join(_sentence(error, body) for error in list(errors)[:MAX_ERRORS])


def shown(value: object) -> str:
    """Return a value as a message may repeat it: escaped, and at most `MAX_VALUE_LENGTH` characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_VALUE_LENGTH else f"{value[:MAX_VALUE_LENGTH]}…")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        text = repr(value)
        return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, Mapping) else "not JSON"


def _sentence(error: Mapping[str, Any], body: type[BaseModel] | None) -> str:
    kind, value, context = error["type"], error.get("input"), error.get("ctx") or {}
    location: Location = tuple(error["loc"])
    if kind == "json_invalid":
        return f"the body is not valid JSON from character {location[-1]} on"
    if len(location) == 1 and location[0] == "body":
        hint = "send a JSON object with the header `Content-Type: application/json`"
        reason = "is missing" if kind == "missing" else f"is {shown(value)}"
        return f"the body {reason}; {hint}"
    name = _field_name(location[1:])
    if kind == "missing":
        return f"{name} is missing"
    if kind in ("extra_forbidden", UNKNOWN_PARAMETER):
        known = context.get("known")
        near = _nearest_field(location[1:], body) if known is None else _nearest_of(str(location[-1]), known)
        return f"{name} is not a known {'field' if known is None else 'parameter'}{near}"
    if kind in _LENGTHS:
        return f"{name} has {_length_words(kind, value, context)}"
    requirement = _REQUIREMENTS[kind](context) if kind in _REQUIREMENTS else "have a valid value"
    hidden = not SECRET_FIELDS.isdisjoint(location)
    return f"{name} must {requirement}" if hidden else f"{name} is {shown(value)}, but must {requirement}"


def _length_words(kind: str, value: Any, context: Context) -> str:
    noun, relation, bound = _LENGTHS[kind]
    count = context.get("actual_length") or len(value)
    plural = noun if count == 1 else "entries" if noun == "entry" else f"{noun}s"
    return f"{count:,} {plural}, but must have {relation} {context[bound]:,}"


def _field_name(path: Location) -> str:
    """Return the name of a field, such as `decisions[0].verdict`."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f"{'.' if name else ''}{part[:MAX_VALUE_LENGTH]}"
    return f"`{repr(name)[1:-1]}`"


def _nearest_field(path: Location, body: type[BaseModel] | None) -> str:
    """Return the end of the sentence about an unknown field of the body."""
    schema: Any = body
    for part in path[:-1]:
        schema = get_args(schema)[0] if isinstance(part, int) else schema.model_fields[part].annotation
    return "" if schema is None else _nearest_of(str(path[-1]), schema.model_fields)


def _nearest_of(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name[:MAX_VALUE_LENGTH], list(known), n=1, cutoff=0.0)
    return f", nearest: `{near[0]}`" if near else ""


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
