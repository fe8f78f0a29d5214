"""An ONNX model as an embedder: pictures are fitted to its input as its card says, and run on ONNX Runtime."""

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
from lookalike.similarity import normalize
from lookalike.types import RGB, Card, Preprocessing, Vectors

# One picture takes 12.1 ms of a core at 1, 12.0 at 4, 12.6 at 8 and 14.2 at 16: larger buffers leave the cache.
BATCH = 4


class OnnxEmbedder:
    """Runs `model` (the bytes of an ONNX file); thread-safe, and one session may serve many threads.

    `output`: the name of the graph's output that holds the vectors; where it has three axes (tokens), the first
    token is taken. Raises BrokenModel when the graph cannot be loaded or does not fit the card.
    """

    def __init__(self, model: bytes, card: Card, *, threads: int = 1, output: str | None = None) -> None:
        self._card = card
        self._session = _session(model, threads, card.name)
        self._input = self._session.get_inputs()[0].name
        self._output = output or self._session.get_outputs()[0].name

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Self:
        """Open a folder with model.onnx and card.json; the weights must have the checksum that the card tells."""
        card = load_card(folder)
        model = read_model(folder / MODEL_FILE)
        found = hashlib.sha256(model).hexdigest()
        if found != card.sha256:
            raise BrokenModel(
                f"{folder / MODEL_FILE} is not the file its card describes "
                f"(sha256 {found[:12]}…, the card says {card.sha256[:12]}…); "
                "copy or export the model again"
            )
        return cls(model, card, threads=threads)

    @property
    def card(self) -> Card:
        return self._card

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB pictures of any sizes. Returns (len(images), dim), rows of length 1."""
        parts = [self._run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self._card.dim), np.float32)

    def _run(self, images: Sequence[RGB]) -> Vectors:
        batch = to_input(images, self._card.preprocessing)
        (out,) = self._session.run([self._output], {self._input: batch})
        vectors = out[:, 0] if out.ndim == 3 else out
        if vectors.shape != (len(images), self._card.dim):
            raise BrokenModel(
                f"{self._card.name} gives vectors of shape {vectors.shape[1:]}, its card says {self._card.dim}; "
                "export it again"
            )
        return normalize(vectors)


def to_input(images: Sequence[RGB], preprocessing: Preprocessing) -> NDArray[Any]:
    """Fit, stack, normalise and lay out a batch as the card says: (n, H, W, 3) or (n, 3, H, W)."""
    batch: NDArray[Any] = np.stack([fit(image, preprocessing) for image in images])
    if preprocessing.dtype == "float32":
        batch = batch.astype(np.float32)
        if preprocessing.mean:
            batch -= np.array(preprocessing.mean, np.float32)
        if preprocessing.std:
            batch /= np.array(preprocessing.std, np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if preprocessing.layout == "NCHW" else batch


def read_model(path: Path) -> bytes:
    """The bytes of a model file. Raises BrokenModel with the reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read ({error.strerror}); copy or export the model again") from None


def _session(model: bytes, threads: int, name: str) -> Any:
    onnxruntime = onnx_runtime()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        reason = str(error).splitlines()[0][:200]
        raise BrokenModel(f"the model {name} cannot be loaded by ONNX Runtime ({reason}); export it again") from error
