"""Make int8 weights of a model in float32, for the CPU. It needs the onnx library (the extra train has it).

Weights of matrix products get eight bits, with a scale for each column; what is multiplied with them is rounded to
eight bits while the model runs ("dynamic quantization"). Convolutions and tables of words stay as they are.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from lookalike.embed.card import CARD_FILE, MODEL_FILE, TEXT_MODEL_FILE, TOKENIZER_FILE, card_to_json
from lookalike.embed.device_session import probes
from lookalike.embed.model_files import ModelFiles, check_file, checksum, files_in
from lookalike.embed.onnx import OnnxEmbedder
from lookalike.embed.onnx_runtime import quantization
from lookalike.errors import BrokenModel, ModelError
from lookalike.types import RGB, Card

IMAGES = 32
ROUNDS = 3  # in turn, of a measurement of speed
TIMED_IMAGES = 8
QUANTIZED = ("MatMul", "Gemm")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationReport:
    """What int8 weights cost and gain. `worst` and `middle`: cosines to the vectors of the model in float32, the least
    and the median, over `images`. `speedup`: images a second on this machine, in terms of the model's before.
    """

    worst: float
    middle: float
    images: int
    speedup: float

    def __str__(self) -> str:
        return (
            f"int8: cosine to float32 {self.middle:.4f} (median) and {self.worst:.4f} (worst) of {self.images} images; "
            f"{self.speedup:.1f} times as fast where it was made"
        )


def quantize_model(
    files: ModelFiles, folder: Path, *, name: str, images: Sequence[RGB] = ()
) -> tuple[ModelFiles, QuantizationReport]:
    """Write a model with int8 weights into a folder that does not exist yet; its card's description has the report.

    `images`: for the report, by default random ones. The text tower is quantized as well. Raises ModelError without the
    onnx library, BrokenModel if the weights are not in float32 or the files are not those of the card.
    """
    card = files.card
    check_file(files.model, card.sha256, card.data_files)
    temporary = folder.with_name(f".{folder.name}.quantizing")
    temporary.mkdir(parents=True)
    try:
        _quantize(files.model, temporary / MODEL_FILE, card.name)
        sha256, source = checksum(temporary / MODEL_FILE), f"int8 weights of {card.source}"
        smaller = replace(card, name=name, sha256=sha256, data_files=(), source=source)
        if card.text is not None:
            smaller = _with_text_tower(files, temporary, smaller)
        report = _compare(OnnxEmbedder(files.model, card), OnnxEmbedder(temporary / MODEL_FILE, smaller), images)
        text = card_to_json(replace(smaller, description=f"{card.description} {report}".strip()))
        (temporary / CARD_FILE).write_text(f"{text}\n", encoding="utf-8")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return files_in(folder), report


def _with_text_tower(files: ModelFiles, folder: Path, card: Card) -> Card:
    text = card.text
    assert text is not None
    assert files.text_model is not None
    assert files.tokenizer is not None
    check_file(files.text_model, text.sha256, text.data_files)
    _quantize(files.text_model, folder / TEXT_MODEL_FILE, f"the text tower of {card.name}")
    shutil.copyfile(files.tokenizer, folder / TOKENIZER_FILE)
    return replace(card, text=replace(text, sha256=checksum(folder / TEXT_MODEL_FILE), data_files=()))


def _quantize(source: Path, target: Path, name: str) -> None:
    try:
        module = quantization()
    except ImportError:
        raise ModelError("int8 weights are made by the onnx library; install it with: pip install onnx") from None
    try:
        with _without_advice():
            module.quantize_dynamic(
                str(source), str(target), op_types_to_quantize=list(QUANTIZED), per_channel=True,
                weight_type=module.QuantType.QInt8,
            )  # fmt: skip
    except Exception as error:  # onnxruntime and onnx raise many kinds
        raise BrokenModel(f"{name} cannot be quantized ({str(error)[:200]}); choose weights in fp32") from error
    if target.stat().st_size > 0.9 * source.stat().st_size:
        raise BrokenModel(f"{name} has few weights in float32 to quantize; choose weights in fp32")


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the advice to preprocess the graph, which changes nothing here, out of the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _compare(before: OnnxEmbedder, after: OnnxEmbedder, images: Sequence[RGB]) -> QuantizationReport:
    images = images or probes(before.card.preprocessing, IMAGES)
    cosines = np.sum(before.embed(images) * after.embed(images), axis=1)
    seconds = [(_seconds(before, images), _seconds(after, images)) for _ in range(ROUNDS)]
    return QuantizationReport(
        worst=float(cosines.min()),
        middle=float(np.median(cosines)),
        images=len(images),
        speedup=median(slow / fast for slow, fast in seconds),
    )


def _seconds(embedder: OnnxEmbedder, images: Sequence[RGB]) -> float:
    start = time.perf_counter()
    embedder.embed(images[:TIMED_IMAGES])
    return time.perf_counter() - start
