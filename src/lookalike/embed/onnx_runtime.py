"""Import ONNX Runtime with telemetry disabled; no other module imports it.

From 1.29 on, the official builds report the models that are run to Microsoft and store an identifier of the machine in
the user's cache, unless ORT_DISABLE_TELEMETRY is set before the import (microsoft/onnxruntime#27379). Lookalike sends
nothing anywhere.
"""

import os
from typing import Any


def onnx_runtime() -> Any:
    """Import `onnxruntime` with telemetry disabled; child processes inherit the setting."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # in case it was imported before
    return onnxruntime


def float16_converter() -> Any:
    """Return the function that converts a graph to float16. Raises ImportError without the onnx library."""
    onnx_runtime()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16


def quantization() -> Any:
    """Return the module that makes int8 weights. Raises ImportError without the onnx library."""
    onnx_runtime()
    import onnxruntime.quantization

    return onnxruntime.quantization
