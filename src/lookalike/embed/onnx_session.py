"""Open ONNX graphs in ONNX Runtime."""

from pathlib import Path
from typing import Any

from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.errors import BrokenModel


def create_session(model: bytes | Path, *, threads: int = 1, name: str) -> Any:
    """Return an inference session. Large tensors in files of their own are read only from beside a model's path.

    `threads`: of one forward pass. `name`: what errors call the model. Raises BrokenModel.
    """
    onnxruntime = onnx_runtime()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of onnxruntime have no public base class
        reason = str(error).splitlines()[0][:200]
        raise BrokenModel(f"the model {name} cannot be loaded by ONNX Runtime ({reason}); export it again") from error
