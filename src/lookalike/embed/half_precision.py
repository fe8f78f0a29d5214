"""Convert ONNX graphs to float16, for GPUs. It needs the onnx library; without it, graphs stay as they are."""

from pathlib import Path
from typing import Any

from lookalike.embed.onnx_runtime import float16_converter

MAX_BYTES = 2**31 - 1  # of a graph in one piece


def to_half_precision(model: bytes | Path) -> bytes | None:
    """Return a graph whose weights and computations are in float16; its inputs and outputs keep their types.

    None if the onnx library is missing, or if the graph cannot be converted: it is too large, or has no float32.
    """
    try:
        import onnx
    except ImportError:
        return None
    try:
        graph = onnx.load(model) if isinstance(model, Path) else onnx.load_model_from_string(model)
        if not _has_single_precision(onnx, graph) or graph.ByteSize() > MAX_BYTES:
            return None
        converted: bytes = float16_converter()(graph, keep_io_types=True).SerializeToString()
    except Exception:  # an operator that the converter does not know, or a graph that is damaged
        return None
    return converted


def _has_single_precision(onnx: Any, graph: Any) -> bool:
    return any(tensor.data_type == onnx.TensorProto.FLOAT for tensor in graph.graph.initializer)
