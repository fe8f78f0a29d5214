"""Compare two images by the last feature map of the network, position by position.

ONNX files have one output, the vector. A second one is added by appending a few bytes to the file: protocol buffers
merge repeated fields of concatenated messages, so no library for editing graphs is needed.
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
    """Return the agreement (h, w), 0 to 1, in the frame of the second image; None if the model has no feature map.

    The first image is warped onto the second before both go through the network. The map is the cosine of the two
    feature maps at each position, after subtracting the mean of both.
    """
    height, width = second.shape[:2]
    into = np.diag((1 / first.shape[1], 1 / first.shape[0], 1.0))
    warped = overlay(first, second, np.diag((float(width), float(height), 1.0)) @ match.transform @ into)
    if warped is None:
        return None
    moved, inside = warped
    # Outside the overlap the first shows nothing; there both get the second's median color.
    ground = np.median(second[inside], axis=0).astype(np.uint8)
    pair = [np.where(inside[..., None], image, ground).astype(np.uint8) for image in (moved, second)]
    maps = _feature_maps(pair, model)
    if maps is None:
        return None
    a, b = maps - maps.mean(axis=(0, 2, 3), keepdims=True)
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    cosine = (a * b).sum(axis=0) / np.maximum(lengths, 1e-6)
    agreement_map = np.asarray(np.clip(cosine, 0, 1), np.float32)
    return _enlarged(agreement_map, inside)


def _enlarged(agreement_map: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The map at 32 times its size, so that the border of the overlap can be drawn; NaN outside."""
    import cv2

    size = (32 * agreement_map.shape[1], 32 * agreement_map.shape[0])
    larger = cv2.resize(agreement_map, size, interpolation=cv2.INTER_CUBIC)
    known = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.where(known, np.clip(larger, 0, 1), np.nan).astype(np.float32)


def _feature_maps(pair: list[RGB], folder: Path) -> NDArray[np.float32] | None:
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
    except Exception:  # a hand-made graph may not accept the second output; then only pixels are compared
        return None
    return np.asarray(maps, np.float32) if maps.ndim == 4 and min(maps.shape[2:]) > 1 else None


def with_output(model: bytes, name: str) -> bytes:
    """Return the ONNX model with one more output."""
    text = name.encode()
    value = b"\x0a" + _varint(len(text)) + text  # ValueInfoProto.name = 1
    graph = _tagged(_GRAPH_OUTPUT, value)
    return model + _tagged(_GRAPH, graph)


def last_convolution(model: bytes) -> str | None:
    """Return the name of the last Conv node's output, or None if there is none."""
    last = None
    for graph in _fields(model, _GRAPH):
        for node in _fields(graph, _NODE):
            if b"Conv" in list(_fields(node, _NODE_KIND)):
                last = next(_fields(node, _NODE_OUTPUT)).decode()
    return last


def _fields(message: bytes | memoryview, field_number: int) -> Iterator[bytes]:
    """Yield the values of one length-delimited field of a protocol buffer message. Raises BrokenModel."""
    data, position = memoryview(message), 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        kind = tag & 7
        if kind == 2:
            size, position = _read_varint(data, position)
            if tag >> 3 == field_number:
                yield bytes(data[position : position + size])
            position += size
        elif kind == 0:
            _, position = _read_varint(data, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise BrokenModel("the model is not an ONNX file; export it again")


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if not byte & 128:
            return value, position
    raise BrokenModel("the model is not an ONNX file, or is truncated; export it again")


def _varint(number: int) -> bytes:
    out: Any = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tagged(field: int, payload: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload
