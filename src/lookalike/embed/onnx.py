"""Embedder that runs an ONNX model on ONNX Runtime; images are preprocessed as the card states."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.device_session import DeviceSession, open_on_device, probes, repeated
from lookalike.embed.devices import CPU, candidates
from lookalike.embed.graph_signature import depends_on_the_batch
from lookalike.embed.model_files import ModelFiles, check_file, files_in
from lookalike.embed.onnx_session import LARGE_MODEL, create_session
from lookalike.errors import BrokenModel
from lookalike.image import fit
from lookalike.parts import normalize_row_parts
from lookalike.types import RGB, Card, Preprocessing, Vectors

# Alone, a thread takes 6.3 ms an image at batch 2 and at 4; beside a second one 6.4 at 2 and 6.9 at 4: each has half of
# the cache (docs/benchmarks.md).
BATCH = 2
# A model that is larger than any cache: an image takes 48 ms of CPU at batch 2, 45 at 4 and 43.5 at 8 of ViT-B/32,
# whose weights are read from memory once for each batch.
LARGE_BATCH = 8


class OnnxEmbedder:
    """Embedder for an ONNX model; thread-safe.

    `model`: the bytes of an ONNX file, or its path, which a model with data files needs. `threads`: of one forward
    pass. `output`: the graph output with the vectors, by default the first; if it has three axes (tokens), the first
    token is used. `device`: see `get_embedder`. Raises BrokenModel when the graph cannot be loaded or does not fit the
    card, ModelError if the device cannot be used.
    """

    def __init__(
        self,
        model: bytes | Path,
        card: Card,
        *,
        threads: int = 1,
        output: str | None = None,
        device: str | None = CPU,
    ) -> None:
        accelerators = candidates(device)
        self._card = card
        self._model = model
        self._threads, self._requested_output, self._requested_device = threads, output, device
        self._session = create_session(model, threads=threads, name=card.name)
        self._input = self._session.get_inputs()[0]
        self._output = output or card.output or self._session.get_outputs()[0].name
        self._batch = _batch_size(self._input, card.name, model)
        self._on_device: DeviceSession | None = None
        if accelerators and (on_device := self._open_on_device()) is not None:
            self._on_device = on_device
            self._session, self._batch = on_device.session, on_device.batch

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the model itself: other processes, also of other machines, open their own session.

        A model with data files is opened again at its path, which all of them must reach.
        """
        by_path = isinstance(self._model, Path) and not self._card.data_files
        model = read_model(self._model) if by_path and isinstance(self._model, Path) else self._model
        options = {"threads": self._threads, "output": self._requested_output, "device": self._requested_device}
        return _opened, (type(self), model, self._card, options)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, device: str | None = CPU) -> Self:
        """Open a folder with model.onnx and card.json; the weights must match the checksum in the card."""
        return cls.open(files_in(folder), threads=threads, device=device)

    @classmethod
    def open(cls, files: ModelFiles, *, threads: int = 1, device: str | None = CPU) -> Self:
        """Open the files of a model; the weights must match the checksum in the card."""
        check_file(files.model, files.card.sha256, files.card.data_files)
        return cls(files.model, files.card, threads=threads, device=device)

    @property
    def card(self) -> Card:
        return self._card

    @property
    def device(self) -> str:
        """The device that runs the model: "cpu", "cuda" ..."""
        return CPU if self._on_device is None else self._on_device.device

    @property
    def precision(self) -> str:
        """The precision of the computations on a device, "fp16" or "fp32"; "" on the CPU: that of the file."""
        return "" if self._on_device is None else self._on_device.precision

    @property
    def batch(self) -> int:
        """The number of images of a forward pass; `embed` takes any number."""
        return self._batch

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB images of any sizes. Returns (len(images), dim), rows of length 1."""
        step = self._batch
        parts = [self._run(images[start : start + step]) for start in range(0, len(images), step)]
        return np.concatenate(parts) if parts else np.zeros((0, self._card.dim), np.float32)

    def _open_on_device(self) -> DeviceSession | None:
        images = probes(self._card.preprocessing) if self._batch > 1 else probes(self._card.preprocessing, 1)
        return open_on_device(
            self._model, self._requested_device, name=self._card.name, inputs=self._inputs(images),
            expected=self.embed(images), forward=self._forward,
        )  # fmt: skip

    def _run(self, images: Sequence[RGB]) -> Vectors:
        inputs = self._inputs(images)
        if self._on_device is not None and self._on_device.pads:
            inputs = repeated(inputs, self._batch)
        return self._forward(self._session, inputs)[: len(images)]

    def _inputs(self, images: Sequence[RGB]) -> NDArray[Any]:
        batch = to_input(images, self._card.preprocessing)
        return batch.astype(np.float16) if self._input.type == "tensor(float16)" else batch

    def _forward(self, session: Any, inputs: NDArray[Any]) -> Vectors:
        (out,) = session.run([self._output], {self._input.name: inputs})
        vectors = out[:, 0] if out.ndim == 3 else out
        if vectors.shape != (len(inputs), self._card.dim):
            raise BrokenModel(
                f"{self._card.name} returns vectors of shape {vectors.shape[1:]}, but its card {self._card.dim}; "
                "export the model again"
            )
        return normalize_row_parts(vectors, self._card)


def _batch_size(graph_input: Any, name: str, model: bytes | Path) -> int:
    """Images of one forward pass on the CPU; a graph may take no more than one. Raises BrokenModel."""
    fixed = graph_input.shape[0]
    if isinstance(fixed, int) and fixed != 1:
        raise BrokenModel(f"{name} takes batches of {fixed} images and no others; export it with a free batch size")
    if fixed == 1 or depends_on_the_batch(model):
        return 1
    size = len(model) if isinstance(model, bytes) else model.stat().st_size
    return LARGE_BATCH if size > LARGE_MODEL else BATCH


def _opened(kind: type[OnnxEmbedder], model: bytes | Path, card: Card, options: dict[str, Any]) -> OnnxEmbedder:
    return kind(model, card, **options)


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
