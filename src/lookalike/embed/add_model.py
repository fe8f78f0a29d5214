"""Models that a user adds: any ONNX image model with a card of its own, or two models side by side.

They are folders under `user_models_folder()`: model.onnx and card.json, or join.json, which names the model that says
alike and the one that says copy.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.embed.card import CARD_FILE, MODEL_FILE, card_to_json
from lookalike.embed.combined import join
from lookalike.embed.onnx import OnnxEmbedder, read_model
from lookalike.embed.onnx_session import create_session
from lookalike.embed.registry import JOIN_FILE, get_embedder, joins, known_models, model_names, user_models_folder
from lookalike.errors import BadQuery, BrokenModel, UnknownModel, nearest
from lookalike.parts import ALIKE, COPY
from lookalike.text import expanded
from lookalike.types import Card, Embedder, Part, Preprocessing, TextEmbedder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHECK_SIDE = 300
_CHECK_TEXTS = ("a photo of a dog", "snow on a mountain at night")
_MIN_TEXT_DIFFERENCE = 1e-4
_MIN_DIFFERENCE = 1e-3  # of one minus the cosine between two random images


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSource:
    """An ONNX file and how its input is made.

    `size`: (height, width). `mean` and `std`: on the scale 0..255; a file with uint8 input normalizes by itself.
    `parts`: what the vectors say, by name and dims; a dim of 0 is the whole vector. `output`: the name of the graph's
    output, by default the first.
    """

    file: Path
    size: tuple[int, int]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str = "squash"
    parts: Mapping[str, int] | None = None
    output: str | None = None
    license: str = "unknown"
    source: str = ""


def add_onnx_model(name: str, source: OnnxSource, *, overwrite: bool = False) -> Card:
    """Copy an ONNX model into the user's models and write its card, after trying it on two images.

    Raises BadQuery for a name that cannot be used, BrokenModel for a file that is no image model.
    """
    folder = new_folder(name, overwrite=overwrite)
    model = read_model(expanded(source.file))
    card = _card(name, model, source)
    check_embedder(OnnxEmbedder(model, card))
    _write(folder, {MODEL_FILE: model, CARD_FILE: f"{card_to_json(card)}\n".encode()})
    return card


def join_models(name: str, *, alike: str, copy: str, overwrite: bool = False) -> Card:
    """Add a model that puts the vectors of two models side by side. Raises BadQuery, UnknownModel, BrokenModel."""
    folder = new_folder(name, overwrite=overwrite)
    for model in (alike, copy):
        if joins(model, name):
            raise BadQuery(
                f"{name} cannot be made of itself; choose another name than that of {model}, or of its parts"
            )
    embedder = join(get_embedder(alike), get_embedder(copy), name)
    check_embedder(embedder)
    names = {part: _lasting_name(model) for part, model in ((ALIKE, alike), (COPY, copy))}
    _write(folder, {JOIN_FILE: json.dumps(names).encode()})
    return embedder.card


def remove_model(name: str) -> None:
    """Delete a model that was added, or what is there of its download. Raises UnknownModel.

    The package's own models stay.
    """
    folder = user_models_folder() / name
    partial = download_folder(name)
    if _NAME.fullmatch(name) and partial.is_dir():
        shutil.rmtree(partial)
        if not folder.is_dir():
            return
    if not _NAME.fullmatch(name) or not folder.is_dir():
        own = [path.name for path in user_models_folder().glob("[!.]*") if path.is_dir()]
        raise UnknownModel(f"no added model is called {name!r}; {nearest(name, own)}")
    shutil.rmtree(folder)


def check_embedder(embedder: Embedder) -> None:
    """Embed two random images. Raises BrokenModel unless the vectors are finite, of the card's dim, and differ."""
    random = np.random.default_rng(0)
    fine = random.integers(0, 256, (_CHECK_SIDE, _CHECK_SIDE, 3), dtype=np.uint8)
    coarse = np.kron(random.integers(0, 256, (4, 4, 3)), np.ones((75, 75, 1))).astype(np.uint8)
    vectors = embedder.embed([fine, coarse])
    name = embedder.card.name
    if vectors.shape != (2, embedder.card.dim) or not np.isfinite(vectors).all():
        raise BrokenModel(f"{name} gives no usable vectors for a test image; check --size, --mean and --std")
    if 1 - float(vectors[0] @ vectors[1]) < _MIN_DIFFERENCE:
        raise BrokenModel(
            f"{name} gives the same vector for two different images; check --mean, --std and the output of the graph"
        )


def check_texts(embedder: TextEmbedder) -> None:
    """Embed two texts. Raises BrokenModel unless the vectors are finite, of the card's dim, and differ."""
    vectors = embedder.embed_texts(_CHECK_TEXTS)
    name = embedder.card.name
    if vectors.shape != (2, embedder.card.dim) or not np.isfinite(vectors).all():
        raise BrokenModel(f"{name} gives no usable vectors for a text; choose another export or precision")
    if 1 - float(vectors[0] @ vectors[1]) < _MIN_TEXT_DIFFERENCE:
        raise BrokenModel(f"{name} gives the same vector for two different texts; choose another export or precision")


def download_folder(name: str) -> Path:
    """Return the folder of a model's download, which remains when that is interrupted."""
    return user_models_folder() / f".download-{name}"


def _card(name: str, model: bytes, source: OnnxSource) -> Card:
    session = create_session(model, name=name)
    if len(session.get_inputs()) != 1:
        names = ", ".join(one.name for one in session.get_inputs())
        raise BrokenModel(f"{source.file.name} has the inputs {names}; a model of images has one")
    graph_input = session.get_inputs()[0]
    shape = _preprocessing(graph_input, source)
    outputs = {one.name: one.shape for one in session.get_outputs()}
    output = source.output or next(iter(outputs))
    if output not in outputs:
        raise BrokenModel(f"{source.file.name} has no output {output!r}; {nearest(output, list(outputs))}")
    dim = outputs[output][-1]
    if not isinstance(dim, int) or len(outputs[output]) not in (2, 3):
        raise BrokenModel(f"the output {output!r} of {source.file.name} is {outputs[output]}, not one vector per image")
    return Card(
        name=name,
        dim=dim,
        preprocessing=shape,
        sha256=hashlib.sha256(model).hexdigest(),
        license=source.license,
        source=source.source or source.file.name,
        parts=tuple(Part(part, size or dim) for part, size in (source.parts or {}).items()),
        output=source.output or "",
    )


def _preprocessing(graph_input: Any, source: OnnxSource) -> Preprocessing:
    kinds = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
    if graph_input.type not in kinds or len(graph_input.shape) != 4:
        raise BrokenModel(
            f"the input of {source.file.name} is {graph_input.type} {graph_input.shape}, not a batch of images"
        )
    channels_first = graph_input.shape[1] == 3
    if not channels_first and graph_input.shape[3] != 3:
        raise BrokenModel(
            f"the input of {source.file.name} has the shape {graph_input.shape}; 3 channels are first or last"
        )
    fixed = tuple(graph_input.shape[2:] if channels_first else graph_input.shape[1:3])
    if all(isinstance(side, int) for side in fixed) and fixed != source.size:
        raise BrokenModel(f"{source.file.name} takes images of {fixed[1]} x {fixed[0]} pixels; pass that as --size")
    if kinds[graph_input.type] == "uint8" and (source.mean or source.std):
        raise BadQuery(f"{source.file.name} takes uint8 and normalizes by itself; leave --mean and --std out")
    return Preprocessing(
        size=source.size,
        resize=source.resize,
        layout="NCHW" if channels_first else "NHWC",
        dtype=kinds[graph_input.type],
        mean=source.mean,
        std=source.std,
    )


def new_folder(name: str, *, overwrite: bool) -> Path:
    """Return the folder that a model will have. Raises BadQuery for a name that is taken or cannot be one."""
    if not _NAME.fullmatch(name):
        raise BadQuery(f"{name!r} is no name for a model; use up to 64 letters, digits, dots, dashes and underscores")
    if name in known_models(added=False):
        raise BadQuery(f"{name} is a model of the package; choose another name")
    folder = user_models_folder() / name
    if folder.exists() and not overwrite:
        raise BadQuery(f"a model is called {name} already; choose another name, or add --overwrite")
    return folder


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder under a temporary name, then rename it."""
    temp = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temp.mkdir(parents=True)
        for name, data in files.items():
            (temp / name).write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        temp.rename(folder)
    except OSError as error:
        raise BrokenModel(f"{folder} cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _lasting_name(model: str) -> str:
    folder = expanded(model)
    return str(folder.resolve()) if folder.is_dir() and model not in model_names() else model
