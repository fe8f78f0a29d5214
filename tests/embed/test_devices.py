"""A model runs on the device that is asked for, or the error says what is missing; a fake provider stands for a GPU."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.embed import device_session, devices, get_embedder, onnx_session
from lookalike.embed.device_session import BATCHES, best_batch, probes
from lookalike.embed.devices import DEVICE_VARIABLE, DEVICES, candidates, requested_device
from lookalike.embed.half_precision import to_half_precision
from lookalike.embed.onnx import OnnxEmbedder
from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.embed.registry import DEFAULT_MODEL
from lookalike.errors import BadQuery, ModelError
from lookalike.types import RGB

CUDA = "CUDAExecutionProvider"


class FakeSession:
    """A session of the CPU that calls itself one of `providers`."""

    def __init__(self, runtime: "FakeRuntime", session: Any, providers: list[str], half: bool) -> None:
        self._runtime, self._session, self._providers, self._half = runtime, session, providers, half

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        (batch,) = inputs.values()
        self._runtime.batches.append(len(batch))
        if len(batch) > self._runtime.memory:
            raise RuntimeError("out of memory")
        vectors = self._session.run(outputs, inputs)
        if self._half:  # the first number moves by 1 / 2,000 of a vector of length 1, or by much more
            vectors[0] = vectors[0] + self._runtime.error_of_half
        return vectors


class FakeRuntime:
    """ONNX Runtime with other providers. Those in `broken` are in the list, and a session does without them."""

    def __init__(self, *providers: str, broken: Sequence[str] = (), memory: int = 1000) -> None:
        self._real, self._providers, self._broken = onnx_runtime(), [*providers, "CPUExecutionProvider"], broken
        self.memory, self.error_of_half = memory, 0.0
        self.batches: list[int] = []
        self.opened: list[tuple[str, dict[str, Any]]] = []
        self.SessionOptions = self._real.SessionOptions

    def get_available_providers(self) -> list[str]:
        return self._providers

    def InferenceSession(self, model: Any, options: Any, providers: list[Any], **settings: Any) -> Any:
        session = self._real.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if providers == ["CPUExecutionProvider"]:
            return session
        assert settings == {"enable_fallback": 0}
        first, settings = providers[0]
        self.opened.append((first, settings))
        names = [name for name, _ in providers if name not in self._broken]
        return FakeSession(self, session, names, half=isinstance(model, bytes) or settings != {})


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    # The conversion of the default model takes a second; the fake only looks at whether it is one.
    monkeypatch.setattr(
        device_session, "to_half_precision", lambda model: model if isinstance(model, bytes) else model.read_bytes()
    )

    def install(*providers: str, **settings: Any) -> FakeRuntime:
        fake = FakeRuntime(*providers, **settings)
        for module in (devices, onnx_session):
            monkeypatch.setattr(module, "onnx_runtime", lambda: fake)
        return fake

    return install


def images(count: int) -> list[RGB]:
    return [np.random.default_rng(n).integers(0, 256, (50 + n, 60, 3), dtype=np.uint8) for n in range(count)]


def test_without_an_accelerator_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    embedders = [get_embedder(), get_embedder(device="auto"), get_embedder(device="cpu")]
    vectors = [embedder.embed(images(3)) for embedder in embedders]
    assert [embedder.device for embedder in embedders if isinstance(embedder, OnnxEmbedder)] == ["cpu"] * 3
    assert all(np.array_equal(vectors[0], other) for other in vectors[1:])


def test_a_device_that_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime(), "get_available_providers", lambda: ["CPUExecutionProvider"])
    for name, package in {
        "cuda": "onnxruntime-gpu",
        "tensorrt": "tensorrt",
        "directml": "onnxruntime-directml",
        "openvino": "onnxruntime-openvino",
        "rocm": "onnxruntime-migraphx",
    }.items():
        with pytest.raises(
            ModelError, match=f"the device {name} needs .*only CPUExecutionProvider.* pip install .*{package}"
        ):
            get_embedder(device=name)
    with pytest.raises(ModelError, match=r"on a machine with macOS install it with: pip install onnxruntime$"):
        get_embedder(device="coreml")


def test_the_variable_names_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert (requested_device(None), requested_device("auto")) == ("cpu", "auto")
    monkeypatch.setenv(DEVICE_VARIABLE, "gpu")
    with pytest.raises(BadQuery, match=r"'gpu' is no device; .*cpu"):
        get_embedder()


@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        (("TensorrtExecutionProvider", CUDA), ["cuda"]),
        (("MIGraphXExecutionProvider",), ["rocm"]),
        (("DmlExecutionProvider",), ["directml"]),
        (("CoreMLExecutionProvider", "OpenVINOExecutionProvider"), []),
    ],
)
def test_auto_tries_gpus(runtime: Any, providers: Sequence[str], expected: list[str]) -> None:
    runtime(*providers)
    assert [one.name for one in candidates("auto")] == expected
    assert candidates("cpu") == ()


@pytest.mark.parametrize("name", [one for one in DEVICES if one not in ("auto", "cpu")])
def test_every_device_gives_the_vectors_of_the_cpu(runtime: Any, name: str) -> None:
    expected = get_embedder(device="cpu").embed(images(11))
    provider = devices.ACCELERATORS[name].providers[0]
    fake = runtime(provider)
    embedder = get_embedder(device=name)
    assert isinstance(embedder, OnnxEmbedder)
    fake.batches.clear()
    assert np.allclose(embedder.embed(images(11)), expected, atol=1e-5)
    assert (embedder.device, fake.opened[0][0]) == (name, provider)
    if devices.ACCELERATORS[name].compiles:
        assert set(fake.batches) == {embedder.batch} == {8}


@pytest.mark.parametrize(("error", "precision"), [(1e-4, "fp16"), (1.0, "fp32")])
def test_float16_is_used_where_it_loses_little(runtime: Any, error: float, precision: str) -> None:
    fake = runtime(CUDA)
    fake.error_of_half = error
    embedder = get_embedder(device="cuda")
    assert isinstance(embedder, OnnxEmbedder)
    assert embedder.precision == precision
    assert len(fake.opened) == (1 if precision == "fp16" else 2)


def test_a_device_that_does_not_start_is_an_error_if_it_was_named(runtime: Any) -> None:
    fake = runtime(CUDA, broken=[CUDA])
    with pytest.raises(ModelError, match=f"cuda cannot run {DEFAULT_MODEL}: {CUDA} is installed and did not start"):
        get_embedder(device="cuda")
    embedder = get_embedder()
    assert isinstance(embedder, OnnxEmbedder)
    assert embedder.device == "cpu"
    assert fake.batches == []


def test_another_process_chooses_its_own_device(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(get_embedder())
    runtime(CUDA)
    assert pickle.loads(data).device == "cuda"
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert pickle.loads(data).device == "cpu"


def test_the_batch_with_the_most_images_a_second_is_used() -> None:
    time = [0.0]

    def run(batch: int) -> None:  # up to 32 images take the time of one
        time[0] += 0.01 * max(1, batch / 32)

    assert best_batch(run, clock=lambda: time[0]) == 32


def test_a_batch_beyond_the_memory_is_not_used() -> None:
    time, tried = [0.0], list[int]()

    def run(batch: int) -> None:
        tried.append(batch)
        time[0] += 1.0
        if batch > 32:
            raise MemoryError

    assert best_batch(run, clock=lambda: time[0]) == 32
    assert max(tried) == 64 < max(BATCHES)


def test_probes_differ_and_have_the_size_of_the_input() -> None:
    embedder = get_embedder(device="cpu")
    made = probes(embedder.card.preprocessing)
    assert {image.shape for image in made} == {(*embedder.card.preprocessing.size, 3)}
    vectors = embedder.embed(made)
    assert np.max(vectors @ vectors.T - np.eye(len(made))) < 0.99


def test_a_graph_in_float16_gives_nearly_the_same_vectors(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx converts graphs; it comes with the train extra")
    graph = linear_graph(onnx)
    converted = to_half_precision(graph)
    assert converted is not None
    assert len(converted) < 0.6 * len(graph)
    rows = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    a, b = (onnx_session.create_session(model, name="x").run(None, {"rows": rows})[0] for model in (graph, converted))
    assert np.allclose(a, b, rtol=1e-2, atol=1e-2)
    assert not np.array_equal(a, b)
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    assert to_half_precision(tmp_path / "m.onnx") is None


def linear_graph(onnx: Any) -> bytes:
    """A graph that multiplies rows (n, 64) by a random matrix (64, 64)."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    rows, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in ("rows", "out"))
    node = helper.make_node("MatMul", ["rows", "w"], ["out"])
    graph = helper.make_graph([node], "g", [rows], [out], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
