"""Open ONNX graphs in ONNX Runtime, on the CPU or on another device."""

from pathlib import Path
from typing import Any

from lookalike.embed.devices import CPU_PROVIDER, Accelerator, load_libraries, not_started, provider_of
from lookalike.embed.mapped_graph import without_weights
from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.errors import BrokenModel

LARGE_MODEL = 64 * 2**20
"""Bytes of a graph that is larger than the caches of a processor."""

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def create_session(model: bytes | Path, *, threads: int = 1, name: str) -> Any:
    """Return an inference session on the CPU.

    `model`: large tensors in files of their own are read only from beside a model's path. `threads`: of one forward
    pass. `name`: what errors call the model. Raises BrokenModel.
    """
    if isinstance(model, Path) and (session := _mapped(model, threads)) is not None:
        return session
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnx_runtime().InferenceSession(source, _options(threads), providers=[CPU_PROVIDER])
    except Exception as error:  # the exceptions of onnxruntime have no public base class
        raise BrokenModel(
            f"the model {name} cannot be loaded by ONNX Runtime ({_first_line(error)}); export it again"
        ) from error


def create_device_session(
    model: bytes | Path, accelerator: Accelerator, *, threads: int = 1, name: str, half: bool = False
) -> Any:
    """Return an inference session on another device. `half`: with the provider's options for float16.

    Raises ModelError if the provider does not start: by itself, ONNX Runtime would run the model on the CPU.
    """
    load_libraries(accelerator)
    provider = provider_of(accelerator)
    assert provider is not None
    source = str(model) if isinstance(model, Path) else model
    try:
        session = onnx_runtime().InferenceSession(
            source, _options(threads), providers=accelerator.chain(provider, half=half), enable_fallback=0
        )
    except Exception as error:
        raise not_started(accelerator, name, _first_line(error)) from error
    if provider not in session.get_providers():
        raise not_started(accelerator, name)
    return session


def _mapped(model: Path, threads: int) -> Any:
    """Return a session that maps its weights from a large file; None for a small one, and where that cannot be done."""
    try:
        file = model.resolve()  # a hub's cache has links
        if file.stat().st_size < LARGE_MODEL or (graph := without_weights(file)) is None:
            return None
        options = _options(threads)
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(file.parent))
        return onnx_runtime().InferenceSession(graph, options, providers=[CPU_PROVIDER])
    except Exception:  # what is wrong is said when the file is opened as it is
        return None


def _options(threads: int) -> Any:
    options = onnx_runtime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
