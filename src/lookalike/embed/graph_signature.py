"""Read the inputs and outputs of an ONNX file without its weights: opening a large graph takes seconds and its memory.

The fields of the messages are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookalike.embed.wire_format import BYTES, VARINT, Bytes, Span, read_fields, read_varint

_MODEL_GRAPH, _NODE, _INITIALIZER, _INPUT, _OUTPUT = 7, 1, 5, 11, 12
_OPERATOR = 4
_TENSOR_NAME, _VALUE_NAME, _VALUE_TYPE, _TENSOR_TYPE = 8, 1, 2, 1
_ELEMENT, _SHAPE, _DIMENSION, _DIM_VALUE, _DIM_PARAM = 1, 2, 1, 1, 2
_TYPES = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double"}

DYNAMIC_QUANTIZATION = "DynamicQuantizeLinear"


@dataclass(frozen=True, slots=True)
class GraphValue:
    """An input or output of a graph as ONNX Runtime describes it. `type`: such as "tensor(float)"."""

    name: str
    type: str
    shape: list[int | str | None]


def read_signature(file: Path) -> tuple[list[GraphValue], list[GraphValue]] | None:
    """Return the inputs and the outputs of an ONNX file; None if they cannot be read here, though perhaps elsewhere.

    That is so where the file leaves a shape out, which ONNX Runtime derives, and where it is no ONNX file.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _signature(data)
    except (OSError, ValueError, IndexError, KeyError):
        return None


def depends_on_the_batch(model: bytes | Path) -> bool:
    """Return whether a vector depends on the rest of its batch: dynamic quantization has one scale for all of it."""
    try:
        if isinstance(model, bytes):
            return _has_operator(model, DYNAMIC_QUANTIZATION)
        with model.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _has_operator(data, DYNAMIC_QUANTIZATION)
    except (OSError, ValueError, IndexError):
        return False  # the file says what is wrong when it is opened


def _has_operator(data: Bytes, name: str) -> bool:
    return any(
        _text(data, operator) == name
        for _, graph in _children(data, (0, len(data)), _MODEL_GRAPH)
        for _, node in _children(data, graph, _NODE)
        for _, operator in _children(data, node, _OPERATOR)
    )


def _signature(data: Bytes) -> tuple[list[GraphValue], list[GraphValue]] | None:
    weights: set[str] = set()
    inputs, outputs = list[GraphValue](), list[GraphValue]()
    for _, graph in _children(data, (0, len(data)), _MODEL_GRAPH):
        for number, span in _children(data, graph, _INITIALIZER, _INPUT, _OUTPUT):
            if number == _INITIALIZER:
                weights |= {_text(data, name) for _, name in _children(data, span, _TENSOR_NAME)}
            else:
                (inputs if number == _INPUT else outputs).append(_value(data, span))
    # Old exporters list the weights among the inputs.
    return ([one for one in inputs if one.name not in weights], outputs) if inputs and outputs else None


def _value(data: Bytes, span: Span) -> GraphValue:
    name = next(_text(data, part) for _, part in _children(data, span, _VALUE_NAME))
    ((_, kind),) = _children(data, span, _VALUE_TYPE)
    ((_, tensor),) = _children(data, kind, _TENSOR_TYPE)
    element = _TYPES[_number(data, tensor, _ELEMENT)]
    ((_, shape),) = _children(data, tensor, _SHAPE)
    return GraphValue(name, f"tensor({element})", [_side(data, part) for _, part in _children(data, shape, _DIMENSION)])


def _side(data: Bytes, span: Span) -> int | str | None:
    for number, part in _children(data, span, _DIM_PARAM):
        return _text(data, part) if number == _DIM_PARAM else None
    return next((value for number, value in _numbers(data, span) if number == _DIM_VALUE), None)


def _number(data: Bytes, span: Span, field: int) -> int:
    return next(value for number, value in _numbers(data, span) if number == field)


def _text(data: Bytes, span: Span) -> str:
    return data[span[0] : span[1]].decode()


def _children(data: Bytes, span: Span, *fields: int) -> Iterator[tuple[int, Span]]:
    """Yield the fields of a message that have those numbers and are messages or texts."""
    for number, kind, start, end in read_fields(data, span):
        if kind == BYTES and number in fields:
            yield number, (start, end)


def _numbers(data: Bytes, span: Span) -> Iterator[tuple[int, int]]:
    """Yield the whole numbers among the fields of a message."""
    for number, kind, start, _ in read_fields(data, span):
        if kind == VARINT:
            yield number, read_varint(data, start)[0]
