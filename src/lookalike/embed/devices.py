"""Devices that run a model: their names, the execution providers of ONNX Runtime behind them, and what to install.

A wheel of ONNX Runtime contains a few providers. Names and options: https://onnxruntime.ai/docs/execution-providers/.
"""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.errors import BadQuery, ModelError, nearest

DEVICE_VARIABLE = "LOOKALIKE_DEVICE"
"""The environment variable that names the device where none is named otherwise."""

AUTO, CPU = "auto", "cpu"
CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
_HALF_GRAPH: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A device other than the CPU.

    `providers`: any of them will do, the best first. `package`: the wheel that contains them, and `needs`: what else
    the machine needs. `options`: those of a provider by its name. `half`: its options for float16; empty where a graph
    in float16 is needed, missing where the provider chooses the precision itself. `compiles`: a graph is compiled for
    each batch size, which takes long, so that there is only one.
    """

    name: str
    providers: tuple[str, ...]
    package: str
    needs: str
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    half: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    compiles: bool = False

    def chain(self, provider: str, *, half: bool) -> list[tuple[str, dict[str, Any]]]:
        """Return the providers of a session with their options: operators that one lacks are run by the next."""
        options = {**self.options.get(provider, {}), **(self.half.get(provider, {}) if half else {})}
        # Where TensorRT lacks an operator, CUDA has it.
        more = [CUDA_PROVIDER] if self.name == "tensorrt" else []
        return [(provider, options), *((name, {}) for name in (*more, CPU_PROVIDER))]


ACCELERATORS = {
    one.name: one
    for one in (
        Accelerator(
            name="cuda",
            providers=(CUDA_PROVIDER,),
            package="'onnxruntime-gpu[cuda,cudnn]'",
            needs="an NVIDIA driver, CUDA and cuDNN",
            half={CUDA_PROVIDER: _HALF_GRAPH},
        ),
        Accelerator(
            name="tensorrt",
            providers=("TensorrtExecutionProvider",),
            package="'onnxruntime-gpu[cuda,cudnn]' tensorrt",
            needs="an NVIDIA driver, CUDA, cuDNN and TensorRT",
            half={"TensorrtExecutionProvider": {"trt_fp16_enable": True}},
            compiles=True,
        ),
        Accelerator(
            name="coreml",
            providers=("CoreMLExecutionProvider",),
            package="onnxruntime",
            needs="macOS",
            options={"CoreMLExecutionProvider": {"ModelFormat": "MLProgram"}},
            compiles=True,
        ),
        Accelerator(
            name="directml",
            providers=("DmlExecutionProvider",),
            package="onnxruntime-directml",
            needs="Windows and a GPU with DirectX 12",
            half={"DmlExecutionProvider": _HALF_GRAPH},
        ),
        Accelerator(
            name="openvino",
            providers=("OpenVINOExecutionProvider",),
            package="onnxruntime-openvino",
            needs="an Intel processor or GPU",
        ),
        Accelerator(
            name="rocm",
            providers=("MIGraphXExecutionProvider", "ROCMExecutionProvider"),
            package="onnxruntime-migraphx",
            needs="an AMD GPU and ROCm",
            half={"MIGraphXExecutionProvider": {"migraphx_fp16_enable": "1"}, "ROCMExecutionProvider": _HALF_GRAPH},
            compiles=True,
        ),
    )
}
DEVICES = (AUTO, CPU, *ACCELERATORS)
# CoreML and OpenVINO are not always faster than the CPU, and come with wheels that people have for other reasons.
AUTO_ORDER = ("cuda", "rocm", "directml")


def requested_device(device: str | None) -> str:
    """Return a device's name: `device`, else $LOOKALIKE_DEVICE, else "auto". Raises BadQuery for an unknown one."""
    name = device or os.environ.get(DEVICE_VARIABLE) or AUTO
    if name not in DEVICES:
        raise BadQuery(f"{name!r} is no device; {nearest(name, DEVICES)}")
    return name


def candidates(device: str | None) -> Sequence[Accelerator]:
    """Return the accelerators to try in turn for a device, none for the CPU.

    For a device that was named it is that one alone. Raises BadQuery for an unknown name, ModelError if the installed
    ONNX Runtime lacks the device's provider.
    """
    name = requested_device(device)
    if name == CPU:
        return ()
    if name == AUTO:
        return [ACCELERATORS[one] for one in AUTO_ORDER if provider_of(ACCELERATORS[one])]
    accelerator = ACCELERATORS[name]
    if provider_of(accelerator) is None:
        raise _missing(accelerator)
    return [accelerator]


def provider_of(accelerator: Accelerator) -> str | None:
    """Return the provider of a device that the installed ONNX Runtime has, None if it has none."""
    available = onnx_runtime().get_available_providers()
    return next((provider for provider in accelerator.providers if provider in available), None)


def load_libraries(accelerator: Accelerator) -> None:
    """Load the libraries of CUDA and cuDNN that pip has installed, before a session needs them."""
    runtime = onnx_runtime()
    if accelerator.name in ("cuda", "tensorrt") and hasattr(runtime, "preload_dlls"):
        # It prints which ones it lacks; the sentence of `not_started` says it instead.
        with contextlib.redirect_stdout(io.StringIO()):
            runtime.preload_dlls()


def not_started(accelerator: Accelerator, model: str, reason: str = "") -> ModelError:
    """Return the error for a device whose provider is installed and does not run a model."""
    why = f" ({reason})" if reason else ""
    return ModelError(
        f"{accelerator.name} cannot run {model}: {provider_of(accelerator)} is installed and did not start{why}; "
        f"it needs {accelerator.needs}; or use the CPU with: --device cpu"
    )


def _missing(accelerator: Accelerator) -> ModelError:
    available = ", ".join(onnx_runtime().get_available_providers())
    providers = " or ".join(accelerator.providers)
    replaces = "" if accelerator.package == "onnxruntime" else "pip uninstall -y onnxruntime && "
    return ModelError(
        f"the device {accelerator.name} needs {providers}, and the installed ONNX Runtime has only {available}; "
        f"on a machine with {accelerator.needs} install it with: {replaces}pip install {accelerator.package}"
    )
