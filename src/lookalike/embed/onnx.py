"""Embedder that runs an ONNX model on ONNX Runtime; images are preprocessed as the card states."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.card import MODEL_FILE, load_card
from lookalike.embed.onnx_runtime import onnx_runtime
from lookalike.errors import BrokenModel
from lookalike.image import fit
from lookalike.parts import normalize_row_parts
from lookalike.types import RGB, Card, Preprocessing, Vectors

# Alone, a thread takes 6.3 ms an image at batch 2 and at 4; beside a second one 6.4 at 2 and 6.9 at 4: each has half of
# the cache (docs/benchmarks.md).
BATCH = 2


class OnnxEmbedder:
    """Embedder for an ONNX model; thread-safe.

    `model`: the bytes of an ONNX file. `threads`: of one forward pass. `output`: the graph output with the vectors, by
    default the first; if it has three axes (tokens), the first token is used. Raises BrokenModel when the graph cannot
    be loaded or does not fit the card.
    """

    def __init__(self, model: bytes, card: Card, *, threads: int = 1, output: str | None = None) -> None:
        self._card = card
        self._model: bytes | Path = model
        self._threads, self._requested_output = threads, output
        self._session = create_session(model, threads, card.name)
        self._input = self._session.get_inputs()[0].name
        self._output = output or card.output or self._session.get_outputs()[0].name

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the model itself: other processes, also of other machines, open their own session."""
        model = read_model(self._model) if isinstance(self._model, Path) else self._model
        return _opened, (type(self), model, self._card, self._threads, self._requested_output)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Self:
        """Open a folder with model.onnx and card.json; the weights must match the checksum in the card."""
        card = load_card(folder)
        model = read_model(folder / MODEL_FILE)
        checksum = hashlib.sha256(model).hexdigest()
        if checksum != card.sha256:
            raise BrokenModel(
                f"{folder / MODEL_FILE} is not the file its card describes "
                f"(sha256 {checksum[:12]}…, the card says {card.sha256[:12]}…); "
                "copy or export the model again"
            )
        embedder = cls(model, card, threads=threads)
        embedder._model = folder / MODEL_FILE  # not kept in memory
        return embedder

    @property
    def card(self) -> Card:
        return self._card

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB images of any sizes. Returns (len(images), dim), rows of length 1."""
        parts = [self._run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self._card.dim), np.float32)

    def _run(self, images: Sequence[RGB]) -> Vectors:
        batch = to_input(images, self._card.preprocessing)
        (out,) = self._session.run([self._output], {self._input: batch})
        vectors = out[:, 0] if out.ndim == 3 else out
        if vectors.shape != (len(images), self._card.dim):
            raise BrokenModel(
                f"{self._card.name} returns vectors of shape {vectors.shape[1:]}, but its card {self._card.dim}; "
                "export the model again"
            )
        return normalize_row_parts(vectors, self._card)


def _opened(kind: type[OnnxEmbedder], model: bytes, card: Card, threads: int, output: str | None) -> OnnxEmbedder:
    return kind(model, card, threads=threads, output=output)


def to_input(images: Sequence[RGB], preprocessing: Preprocessing) -> NDArray[Any]:
    """Resize, stack and normalize a batch as the card states: (n, H, W, 3) or (n, 3, H, W)."""
    batch: NDArray[Any] = np.stack([fit(image, preprocessing) for image in images])
    if preprocessing.dtype == "float32":
        batch = batch.astype(np.float32)
        if preprocessing.mean:
            batch -= np.array(preprocessing.mean, np.float32)
        if preprocessing.std:
            batch /= np.array(preprocessing.std, np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if preprocessing.layout == "NCHW" else batch


def read_model(path: Path) -> bytes:
    """Read a model file. Raises BrokenModel."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read ({error.strerror}); copy or export the model again") from None


def create_session(model: bytes, threads: int, name: str) -> Any:
    onnxruntime = onnx_runtime()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of onnxruntime have no public base class
        reason = str(error).splitlines()[0][:200]
        raise BrokenModel(f"the model {name} cannot be loaded by ONNX Runtime ({reason}); export it again") from error
