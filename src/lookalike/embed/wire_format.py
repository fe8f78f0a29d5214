"""The wire format of protocol buffers, as far as ONNX files need it (https://protobuf.dev/programming-guides/encoding)."""

import mmap
from collections.abc import Iterator

VARINT, BYTES = 0, 2
"""Wire types: whole numbers, and what has a length: messages, texts, bytes."""

_FIXED64, _FIXED32 = 1, 5

Bytes = mmap.mmap | bytes
Span = tuple[int, int]
"""Where a message lies in a file: its start and its end."""


def read_fields(data: Bytes, span: Span) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, wire type, start, end) of each field of a message. Raises ValueError for what is no message."""
    position, end = span
    while position < end:
        tag, position = read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        start = position
        if kind == BYTES:
            length, start = read_varint(data, position)
            position = start + length
        elif kind == VARINT:
            _, position = read_varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("no message of protocol buffers")
        if position > end or number == 0:
            raise ValueError("a field ends beyond its message")
        yield number, kind, start, position


def read_varint(data: Bytes, position: int) -> tuple[int, int]:
    """Return a whole number and the position after it. Raises ValueError."""
    value = 0
    for n in range(10):
        byte = data[position + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, position + n + 1
    raise ValueError("a number is longer than ten bytes")


def varint(value: int) -> bytes:
    """Return a whole number from 0 in the wire format."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def number_field(number: int, value: int) -> bytes:
    """Return a field that is a whole number."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, content: bytes) -> bytes:
    """Return a field that is a message, a text or bytes."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content
