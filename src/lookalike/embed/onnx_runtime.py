"""ONNX Runtime, silent. The only lines that import it.

Its official builds from 1.29 on send what models are run to their maker, and keep an identifier of the machine in the
user's cache, unless this variable is set before it is loaded (microsoft/onnxruntime#27379). We promise that nothing is
sent anywhere.
"""

import os
from typing import Any


def onnx_runtime() -> Any:
    """The module `onnxruntime`, loaded with its telemetry off. Processes begun later inherit the setting."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # for who loaded it before us
    return onnxruntime
