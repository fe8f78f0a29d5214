"""What the layouts share: graphs with their data files and signatures, JSON files within limits."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.embed.card import is_file_name
from lookalike.embed.graph_signature import read_signature
from lookalike.embed.onnx_data_files import referenced_files
from lookalike.embed.onnx_session import create_session
from lookalike.embed.text_tower import open_tokenizer
from lookalike.errors import BrokenModel

MAX_JSON_BYTES = 4 * 2**20
MAX_DIM = 16_384
# Best first: projected vectors, then the pooled token, then all tokens, of which the first counts.
IMAGE_OUTPUTS = ("image_embeds", "image_embeddings", "vectors", "embedding", "pooler_output", "last_hidden_state")
TEXT_OUTPUTS = ("text_embeds", "text_embeddings", "embedding", "pooler_output")


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file: `inputs` and `outputs` as ONNX Runtime reports them; `data_files`: names of files beside it."""

    file: Path
    data_files: tuple[str, ...]
    inputs: Sequence[Any]
    outputs: Sequence[Any]

    @property
    def input_names(self) -> str:
        """The names of the inputs, separated by commas."""
        return ", ".join(one.name for one in self.inputs)

    def output(self, names: Sequence[str], label: str) -> tuple[str, int]:
        """Return the name and the number of dimensions of the first output of those names, or of the only output.

        Raises BrokenModel.
        """
        by_name = {one.name: one.shape for one in self.outputs}
        usable = [name for name in names if _dim(by_name.get(name))]
        if not usable and len(by_name) == 1:
            usable = [name for name, shape in by_name.items() if _dim(shape)]
        if not usable:
            raise BrokenModel(
                f"{label} has the outputs {', '.join(by_name)}, none of which contains vectors; choose another export"
            )
        return usable[0], _dim(by_name[usable[0]])


def open_graph(file: Path, label: str) -> Graph:
    """Read the signature of an ONNX file. Raises BrokenModel, also for data files that do not lie beside it."""
    names = data_files(file, label)
    for name in names:
        if not (file.parent / name).is_file():
            raise BrokenModel(f"{label} lacks {name}, which its graph {file.name} refers to; copy or download it again")
    signature = read_signature(file)
    # Where the file has a name for the number of dimensions, ONNX Runtime may derive it.
    if signature and all(one.shape and isinstance(one.shape[-1], int) for one in signature[1]):
        return Graph(file, names, *signature)
    session = create_session(file, name=label)
    return Graph(file, names, session.get_inputs(), session.get_outputs())


def data_files(file: Path, label: str) -> tuple[str, ...]:
    """Return the names of the files that a graph refers to. Raises BrokenModel for one that leads out of its folder."""
    names = tuple(dict.fromkeys(name.removeprefix("./") for name in referenced_files(file)))
    for name in names:
        if not is_file_name(name):
            raise BrokenModel(
                f"the graph {file.name} of {label} refers to the file {name!r}, which is not one beside it; "
                "export it with data files in its own folder"
            )
    return names


def read_json(path: Path, label: str) -> Mapping[str, Any]:
    """Read a JSON object of at most 4 MB. Raises BrokenModel."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise BrokenModel(f"{path.name} of {label} is larger than {MAX_JSON_BYTES // 2**20} MB; choose another one")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenModel(f"{label} has no usable {path.name} ({error}); choose another repository") from None
    if not isinstance(raw, dict):
        raise BrokenModel(f"{path.name} of {label} is no JSON object; choose another repository")
    return raw


def optional_json(path: Path, label: str) -> Mapping[str, Any]:
    """Read a JSON object if the file exists, else return an empty one. Raises BrokenModel."""
    return read_json(path, label) if path.is_file() else {}


def numbers(raw: Any, count: int, what: str) -> tuple[float, ...]:
    """Return `count` finite numbers; a single one stands for all. Raises BrokenModel."""
    values = [raw] * count if isinstance(raw, int | float) else raw
    if not isinstance(values, list | tuple) or len(values) != count or not all(map(_is_number, values)):
        raise BrokenModel(f"{what} is {raw!r}, not {count} numbers; choose another repository")
    return tuple(float(value) for value in values)


def pixels(raw: Any, what: str) -> int:
    """Return a number of pixels. Raises BrokenModel."""
    if not _is_number(raw) or not 0 < raw < 4096 or int(raw) != raw:
        raise BrokenModel(f"{what} is {raw!r}, not a number of pixels from 1 to 4095; choose another repository")
    return int(raw)


def pad_id(tokenizer: Path, tokenizer_config: Mapping[str, Any]) -> int:
    """Return the id of the token that fills a text, as tokenizer_config.json names it; else 0."""
    token = tokenizer_config.get("pad_token")
    text = token.get("content") if isinstance(token, dict) else token
    number = open_tokenizer(tokenizer).token_to_id(text) if isinstance(text, str) else None
    return int(number) if number is not None else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _dim(shape: Any) -> int:
    """The number of dimensions of an output's vectors, 0 if it contains none."""
    usable = shape and len(shape) in (2, 3) and isinstance(shape[-1], int) and 0 < shape[-1] <= MAX_DIM
    return int(shape[-1]) if usable else 0


def is_data_file(name: str, graph: str) -> bool:
    """Return whether a file has large tensors of a graph, by the names that exporters give."""
    return name.startswith((f"{graph}_data", f"{graph}.data", f"{graph.removesuffix('.onnx')}.data"))
