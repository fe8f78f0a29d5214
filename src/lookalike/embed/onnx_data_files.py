"""The files that an ONNX graph keeps large tensors in, read from the graph itself without loading it.

A graph is a protobuf message (onnx.proto): a tensor whose data_location is EXTERNAL names its file in external_data.
What the graph says is what ONNX Runtime opens, so these are the names to download, to check and to move along.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from lookalike.embed.wire_format import BYTES, VARINT, read_fields, read_varint
from lookalike.errors import BrokenModel

MAX_MESSAGES = 5_000_000  # parts of a graph; the largest published ones have some 100,000
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""By the kind of a message, which of its fields contain messages that may lead to a tensor."""
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1


def referenced_files(graph: Path) -> list[str]:
    """Return the names of the files that a graph refers to, sorted; relative to its folder, as it says.

    Raises BrokenModel for a file that cannot be read or is no protobuf message.
    """
    try:
        with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return sorted(set(_locations(data)))
    except OSError as error:
        raise BrokenModel(f"{graph} cannot be read ({error.strerror}); copy or export the model again") from None
    except (ValueError, IndexError) as error:  # an empty file, a length beyond the end, a name that is no text
        raise BrokenModel(f"{graph} is no ONNX file, or a damaged one ({error}); export the model again") from None


def _locations(data: mmap.mmap) -> Iterator[str]:
    pending, count = [("model", 0, len(data))], 0
    while pending:
        kind, start, end = pending.pop()
        if kind == "tensor":
            yield from _location(data, start, end)
            continue
        children = _CHILDREN[kind]
        for number, wire, first, last in read_fields(data, (start, end)):
            count += 1
            if wire == BYTES and number in children:
                pending.append((children[number], first, last))
        if count > MAX_MESSAGES:
            raise ValueError(f"more than {MAX_MESSAGES:,} parts")


def _location(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    external, names = False, []
    for number, wire, first, last in read_fields(data, (start, end)):
        if number == _DATA_LOCATION and wire == VARINT:
            external = read_varint(data, first)[0] == _EXTERNAL
        elif number == _EXTERNAL_DATA and wire == BYTES:
            entry = {n: data[a:b] for n, w, a, b in read_fields(data, (first, last)) if w == BYTES}
            if entry.get(1) == b"location":
                names.append(entry.get(2, b"").decode())
    if external:
        yield from names
