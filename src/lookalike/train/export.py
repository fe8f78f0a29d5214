"""Write a PyTorch network as a folder that lookalike.embed opens: model.onnx and card.json, proved equal first."""

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
HALF_FROM = 1024  # smaller tensors (biases, centres) stay float32: they weigh nothing and matter most


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the written model is from PyTorch over `count` pictures: the worst cosine, the largest difference."""

    count: int
    worst_cosine: float
    largest_difference: float

    def __str__(self) -> str:
        return (
            f"worst cosine {self.worst_cosine:.6f}, largest difference {self.largest_difference:.1e} over {self.count}"
        )


class Graph(nn.Module):
    """What is exported: uint8 (N, H, W, 3) to unit vectors (N, dim), with a network of float (N, 3, H, W) inside."""

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
    """Write `module` to `folder` and prove it: the same pictures through PyTorch and ONNX Runtime.

    `module` maps float32 (N, 3, H, W), normalised by the card's mean and std, to (N, dim). `samples` (N, H, W, 3) are
    pictures at the card's size. The written card says uint8 NHWC without mean and std, for the graph normalises by
    itself, and has dim and sha256 filled in. `half_storage`: weights lie in the file as float16 and are widened when
    the file is opened; arithmetic is float32 either way. Raises BrokenModel, writing nothing, when parity fails.
    """
    check_samples(samples, card)
    graph = Graph(module, card.preprocessing.mean, card.preprocessing.std).eval()
    with torch.no_grad():
        wanted: Vectors = graph(torch.from_numpy(samples)).numpy()
    model = onnx_bytes(graph, samples[:2], half_storage=half_storage)
    parity = compare(wanted, run(model, samples))
    if not parity.worst_cosine >= MIN_COSINE:  # not a number fails too
        raise BrokenModel(
            f"{card.name} was not written: {parity}; at least {MIN_COSINE} is wanted, look for unusual operators"
        )
    shape = replace(card.preprocessing, layout="NHWC", dtype="uint8", mean=(), std=())
    digest = hashlib.sha256(model).hexdigest()
    card = replace(card, dim=wanted.shape[1], preprocessing=shape, sha256=digest)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / MODEL_FILE, model)
    write(folder / CARD_FILE, (card_to_json(card) + "\n").encode())
    return parity


def check_samples(samples: NDArray[np.uint8], card: Card) -> None:
    """Refuse an empty proof, or one at another size than the card's."""
    wanted = (*card.preprocessing.size, 3)
    if len(samples) < 2 or samples.shape[1:] != wanted or samples.dtype != np.uint8:
        raise BrokenModel(
            f"{card.name} cannot be proved with samples {samples.dtype} {samples.shape}; "
            f"two or more uint8 pictures of shape {wanted} are wanted"
        )


def onnx_bytes(graph: nn.Module, example: NDArray[np.uint8], *, half_storage: bool) -> bytes:
    """The ONNX file: input "images" with a free batch size, output "vectors", weights inside."""
    import onnx

    with _quiet():
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
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / MODEL_FILE
        program.save(str(file), external_data=False)
        model = onnx.load(file)
    forget_origin(model)
    if half_storage:
        halve_storage(model)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks about itself: packages that it does without, names that will change. Errors still come."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def forget_origin(model: Any) -> None:
    """Drop the exporter's notes (source lines, paths of this machine): the same network gives the same bytes."""
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
    """Keep large weights as float16 followed by a Cast, which ONNX Runtime folds away when it opens the file."""
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


def run(model: bytes, samples: NDArray[np.uint8]) -> Vectors:
    """The vectors of ONNX Runtime, in batches of another size than the example's: the batch must be free."""
    onnxruntime = onnx_runtime()

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    parts = [session.run(["vectors"], {"images": samples[start : start + 3]})[0] for start in range(0, len(samples), 3)]
    return np.concatenate(parts)


def compare(wanted: Vectors, found: Vectors) -> Parity:
    """Parity of two sets of vectors, row by row. Rows that are not of length 1 count as wrong."""
    lengths = np.linalg.norm(found, axis=1)
    cosines = np.sum(normalize(wanted) * normalize(found), axis=1) * (np.abs(lengths - 1) < 1e-3)
    return Parity(len(wanted), float(cosines.min()), float(np.abs(wanted - found).max()))


def write(file: Path, data: bytes) -> None:
    """All of it or nothing: under another name first, then renamed."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        scratch.write_bytes(data)
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
