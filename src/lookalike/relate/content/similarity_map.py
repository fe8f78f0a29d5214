"""Which parts of two pictures agree, seen by the network: its last feature map, place by place.

ONNX files give one output, the vector. A second one is added by appending a few bytes to the file: protocol buffers
merge repeated fields of what is laid end to end, so that no library for editing graphs is needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.card import MODEL_FILE, load_card
from lookalike.embed.onnx import read_model, to_input
from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.errors import BrokenModel
from lookalike.relate.geometry.overlay import overlay
from lookalike.relate.geometry.verify import Match
from lookalike.types import RGB

_GRAPH, _NODE, _NODE_OUTPUT, _NODE_KIND, _GRAPH_OUTPUT = 7, 1, 2, 4, 12  # field numbers of onnx.proto


def network_map(first: RGB, second: RGB, match: Match, model: Path) -> NDArray[np.float32] | None:
    """Agreement (h, w) from 0 to 1 in the frame of the second picture; None where the model has no such map.

    The first picture is laid over the second before both go through the network; the map is the cosine of the two
    feature maps, each less the mean of both, place by place.
    """
    height, width = second.shape[:2]
    into = np.diag((1 / first.shape[1], 1 / first.shape[0], 1.0))
    laid = overlay(first, second, np.diag((float(width), float(height), 1.0)) @ match.transform @ into)
    if laid is None:
        return None
    moved, inside = laid
    # Outside the overlap the first shows nothing: there both get the second's middle colour.
    ground = np.median(second[inside], axis=0).astype(np.uint8)
    pair = [np.where(inside[..., None], image, ground).astype(np.uint8) for image in (moved, second)]
    maps = _maps(pair, model)
    if maps is None:
        return None
    a, b = maps - maps.mean(axis=(0, 2, 3), keepdims=True)
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    cosine = (a * b).sum(axis=0) / np.maximum(lengths, 1e-6)
    agreeing = np.asarray(np.clip(cosine, 0, 1), np.float32)
    return _within(agreeing, inside)


def _within(agreeing: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The map at 32 times its size, so that the border of the overlap can be drawn; NaN beyond it."""
    import cv2

    size = (32 * agreeing.shape[1], 32 * agreeing.shape[0])
    larger = cv2.resize(agreeing, size, interpolation=cv2.INTER_CUBIC)
    known = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.where(known, np.clip(larger, 0, 1), np.nan).astype(np.float32)


def _maps(pair: list[RGB], folder: Path) -> NDArray[np.float32] | None:
    """The last convolution's output, (2, channels, h, w)."""
    onnxruntime = onnx_runtime()

    card = load_card(folder)
    model = read_model(folder / MODEL_FILE)
    name = last_convolution(model)
    if name is None:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(with_output(model, name), options, providers=["CPUExecutionProvider"])
        (maps,) = session.run([name], {session.get_inputs()[0].name: to_input(pair, card.preprocessing)})
    except Exception:  # a hand-made graph may not like the second output: then the pictures themselves are compared
        return None
    return np.asarray(maps, np.float32) if maps.ndim == 4 and min(maps.shape[2:]) > 1 else None


def with_output(model: bytes, name: str) -> bytes:
    """The ONNX model with one more output."""
    text = name.encode()
    value = b"\x0a" + _varint(len(text)) + text  # ValueInfoProto.name = 1
    graph = _tagged(_GRAPH_OUTPUT, value)
    return model + _tagged(_GRAPH, graph)


def last_convolution(model: bytes) -> str | None:
    """The name of the output of the last Conv node, None where there is none."""
    last = None
    for graph in _fields(model, _GRAPH):
        for node in _fields(graph, _NODE):
            if b"Conv" in list(_fields(node, _NODE_KIND)):
                last = next(_fields(node, _NODE_OUTPUT)).decode()
    return last


def _fields(message: bytes | memoryview, wanted: int) -> Iterator[bytes]:
    """The values of one length-delimited field of a protocol buffer message. Raises BrokenModel."""
    data, at = memoryview(message), 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = _read_varint(data, at)
            if tag >> 3 == wanted:
                yield bytes(data[at : at + size])
            at += size
        elif kind == 0:
            _, at = _read_varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise BrokenModel("the model is no ONNX file; export it again")


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at
    raise BrokenModel("the model is no ONNX file, or stops half-way; export it again")


def _varint(number: int) -> bytes:
    out: Any = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tagged(field: int, payload: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload
