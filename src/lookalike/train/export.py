"""Export a PyTorch network to a folder that lookalike.embed opens: model.onnx and card.json, after a parity check."""

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lookalike.embed.card import CARD_FILE, MODEL_FILE, card_to_json
from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.errors import BrokenModel
from lookalike.similarity import normalize
from lookalike.types import Card, Vectors

OPSET = 18
MIN_COSINE = 0.9999  # below this, near-duplicate scores would shift in their fourth digit
HALF_FROM = 1024  # values; smaller tensors (biases, centers) stay float32: they take no space and matter most


@dataclass(frozen=True, slots=True)
class Parity:
    """The difference between the exported model and PyTorch over `count` images."""

    count: int
    worst_cosine: float
    largest_difference: float

    def __str__(self) -> str:
        return (
            f"worst cosine {self.worst_cosine:.6f}, largest difference {self.largest_difference:.1e} over {self.count}"
        )


class ExportGraph(nn.Module):
    """The exported graph: uint8 (N, H, W, 3) to unit vectors (N, dim), around a network of float (N, 3, H, W)."""

    def __init__(self, module: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.tensor(mean or (0.0,)).reshape(1, -1, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(std or (1.0,)).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)  # N x H x W x 3 to N x 3 x H x W
        return functional.normalize(self.module((pixels - self.mean) * self.scale), dim=1)


def export(
    module: nn.Module, folder: Path, card: Card, *, samples: NDArray[np.uint8], half_storage: bool = True
) -> Parity:
    """Export `module` to `folder` after comparing PyTorch and ONNX Runtime on `samples`. Returns the parity.

    `module` maps float32 (N, 3, H, W), normalized by the card's mean and std, to (N, dim). `samples` (N, H, W, 3) are
    images at the card's size. The written card says uint8 NHWC without mean and std, since the graph normalizes its
    input, and has dim and sha256 filled in. `half_storage`: weights are stored as float16 and widened when the file is
    opened; arithmetic is float32 either way. Raises BrokenModel, and writes nothing, if parity fails.
    """
    check_samples(samples, card)
    graph = ExportGraph(module, card.preprocessing.mean, card.preprocessing.std).eval()
    with torch.no_grad():
        expected: Vectors = graph(torch.from_numpy(samples)).numpy()
    model = onnx_bytes(graph, samples[:2], half_storage=half_storage)
    parity = measure_parity(expected, run_onnx(model, samples))
    if not parity.worst_cosine >= MIN_COSINE:  # NaN fails too
        raise BrokenModel(
            f"{card.name} was not written: {parity}; at least {MIN_COSINE} is required, look for unusual operators"
        )
    shape = replace(card.preprocessing, layout="NHWC", dtype="uint8", mean=(), std=())
    digest = hashlib.sha256(model).hexdigest()
    card = replace(card, dim=expected.shape[1], preprocessing=shape, sha256=digest)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / MODEL_FILE, model)
    write_atomic(folder / CARD_FILE, (card_to_json(card) + "\n").encode())
    return parity


def check_samples(samples: NDArray[np.uint8], card: Card) -> None:
    """Raise BrokenModel for samples that are too few or not uint8 images at the card's size."""
    shape = (*card.preprocessing.size, 3)
    if len(samples) < 2 or samples.shape[1:] != shape or samples.dtype != np.uint8:
        raise BrokenModel(
            f"{card.name} cannot be checked with samples {samples.dtype} {samples.shape}; "
            f"pass two or more uint8 images of shape {shape}"
        )


def onnx_bytes(graph: nn.Module, example: NDArray[np.uint8], *, half_storage: bool) -> bytes:
    """Return the ONNX file: input "images" with a dynamic batch size, output "vectors", weights included."""
    import onnx

    with _silence_exporter():
        program = torch.onnx.export(
            graph,
            (torch.from_numpy(example),),
            input_names=["images"],
            output_names=["vectors"],
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    with TemporaryDirectory() as folder:
        file = Path(folder) / MODEL_FILE
        program.save(str(file), external_data=False)
        model = onnx.load(file)
    strip_metadata(model)
    if half_storage:
        halve_storage(model)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextmanager
def _silence_exporter() -> Iterator[None]:
    """Silence the exporter's notes on missing optional packages and deprecated names. Errors are still raised."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def strip_metadata(model: Any) -> None:
    """Remove source lines and local paths, so that the same network gives the same bytes."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "lookalike"
    for part in (
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        part.doc_string = ""
        del part.metadata_props[:]


def halve_storage(model: Any) -> None:
    """Store large weights as float16 with a Cast, which ONNX Runtime folds when it opens the file."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if (
            tensor.data_type != TensorProto.FLOAT
            or values.size < HALF_FROM
            or np.abs(values).max() > np.finfo(np.float16).max
        ):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def run_onnx(model: bytes, samples: NDArray[np.uint8]) -> Vectors:
    """Return the vectors of ONNX Runtime, in batches of another size than the example's: the batch is dynamic."""
    onnxruntime = onnx_runtime()

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    parts = [session.run(["vectors"], {"images": samples[start : start + 3]})[0] for start in range(0, len(samples), 3)]
    return np.concatenate(parts)


def measure_parity(expected: Vectors, actual: Vectors) -> Parity:
    """Compare two sets of vectors row by row. Rows whose length is not 1 get cosine 0."""
    lengths = np.linalg.norm(actual, axis=1)
    cosines = np.sum(normalize(expected) * normalize(actual), axis=1) * (np.abs(lengths - 1) < 1e-3)
    return Parity(len(expected), float(cosines.min()), float(np.abs(expected - actual).max()))


def write_atomic(file: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    temp = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temp.write_bytes(data)
        temp.replace(file)
    finally:
        temp.unlink(missing_ok=True)
