"""Open the image tower of a model on another device than the CPU; precision and batch size are measured."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.devices import AUTO, Accelerator, candidates, provider_of, requested_device
from lookalike.embed.half_precision import to_half_precision
from lookalike.embed.onnx_session import create_device_session
from lookalike.errors import ModelError
from lookalike.types import RGB, Preprocessing

MAX_LOSS = 1e-3  # of one minus the cosine to the vectors of the CPU
BATCHES = (4, 8, 16, 32, 64, 128)
COMPILED_BATCH = 8
MIN_GAIN = 1.05  # in images a second, for which a batch twice as large is used
PROBES = 8  # random images

Forward = Callable[[Any, NDArray[Any]], NDArray[Any]]
"""Runs a session on a batch of inputs (n, ...) and returns the vectors (n, dim), rows of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSession:
    """A session on a device.

    `batch`: images of one forward pass; if `pads`, of each, so that the graph is compiled once. `loss`: one minus the
    worst cosine to the vectors of the CPU, over random images.
    """

    session: Any
    device: str
    precision: str
    batch: int
    pads: bool
    loss: float


def open_on_device(
    model: bytes | Path,
    device: str | None,
    *,
    name: str,
    inputs: NDArray[Any],
    expected: NDArray[Any],
    forward: Forward,
) -> DeviceSession | None:
    """Return a session on a device, None if that is the CPU.

    `device`: a name (devices.py), None for $LOOKALIKE_DEVICE. `name`: what errors call the model. `inputs`: probes
    (n, ...), and `expected`: their vectors by the CPU. Raises ModelError if a device that was named cannot be used;
    "auto" goes on with the next one.
    """
    is_auto = requested_device(device) == AUTO
    for accelerator in candidates(device):
        try:
            return _best_precision(model, accelerator, name, inputs, expected, forward)
        except ModelError:
            if not is_auto:
                raise
    return None


def probes(preprocessing: Preprocessing, count: int = PROBES) -> Sequence[RGB]:
    """Return random images of the model's input size, each with cells of another size: from noise to large shapes."""
    random = np.random.default_rng(0)
    height, width = preprocessing.size
    images = []
    for n in range(count):
        cell = 2 ** (n % 6)
        grid = random.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
        images.append(np.kron(grid, np.ones((cell, cell, 1), np.uint8))[:height, :width])
    return images


def best_batch(run: Callable[[int], object], *, clock: Callable[[], float] = time.perf_counter) -> int:
    """Return the batch size with the most images a second; a larger one must gain `MIN_GAIN`.

    `run` embeds a batch of that many images. A batch that fails, for want of memory, ends the measurement.
    """
    best, rate = 1, 0.0
    for batch in BATCHES:
        try:
            run(batch)  # the first of a shape chooses algorithms and gets memory
            start = clock()
            run(batch)
            measured = batch / max(clock() - start, 1e-9)
        except Exception:  # the exceptions of onnxruntime have no public base class
            break
        if measured < rate * MIN_GAIN:
            break
        best, rate = batch, measured
    return best


def _best_precision(
    model: bytes | Path, accelerator: Accelerator, name: str, inputs: NDArray[Any], expected: NDArray[Any],
    forward: Forward,
) -> DeviceSession:  # fmt: skip
    loss = 1.0
    for precision, source, half in _variants(model, accelerator):
        session = create_device_session(source, accelerator, name=name, half=half)
        batch = COMPILED_BATCH if accelerator.compiles else len(inputs)
        try:
            vectors = forward(session, repeated(inputs, batch))
        except Exception as error:
            raise ModelError(f"{accelerator.name} cannot run {name} ({str(error)[:200]}); use --device cpu") from error
        loss = _loss(vectors[: len(inputs)], expected[:batch])
        if loss < MAX_LOSS:
            if not accelerator.compiles:
                batch = best_batch(lambda n, session=session: forward(session, repeated(inputs, n)))  # type: ignore[misc]
            return DeviceSession(
                session=session, device=accelerator.name, precision=precision, batch=batch, pads=accelerator.compiles,
                loss=loss,
            )  # fmt: skip
    raise ModelError(
        f"{accelerator.name} gives other vectors for {name} than the CPU (cosine {1 - loss:.4f}); use --device cpu"
    )


def _variants(model: bytes | Path, accelerator: Accelerator) -> Iterator[tuple[str, bytes | Path, bool]]:
    """Yield (precision, model, whether the provider's options for float16 are used), float16 first."""
    half = accelerator.half.get(provider_of(accelerator) or "")
    if half:
        yield "fp16", model, True
    elif half is not None and (converted := to_half_precision(model)) is not None:
        yield "fp16", converted, False
    yield "fp32", model, False


def repeated(inputs: NDArray[Any], count: int) -> NDArray[Any]:
    """Return `count` rows: the inputs again and again."""
    return np.resize(inputs, (count, *inputs.shape[1:]))


def _loss(vectors: NDArray[Any], expected: NDArray[Any]) -> float:
    rows = min(len(vectors), len(expected))
    cosines = np.sum(vectors[:rows].astype(np.float64) * expected[:rows], axis=1)
    return float(1 - cosines.min()) if np.isfinite(cosines).all() else 1.0
