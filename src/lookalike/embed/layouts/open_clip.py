"""Repositories of OpenCLIP models as Immich publishes them: forty models in many languages.

visual/model.onnx with preprocess_cfg.json, textual/model.onnx with tokenizer.json and tokenizer_config.json, and
config.json, the configuration of OpenCLIP.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookalike.embed.layouts.graph_files import Graph, numbers, open_graph, optional_json, pad_id, pixels, read_json
from lookalike.embed.layouts.transformers import license_of
from lookalike.embed.model_files import ModelFiles, checksum
from lookalike.embed.text_tower import MASK_INPUT, TOKEN_INPUTS
from lookalike.errors import BrokenModel
from lookalike.types import Card, Preprocessing, TextTower

GRAPHS = ("visual/model.onnx",)
CONFIG_FILES = (
    "config.json",
    "visual/preprocess_cfg.json",
    "textual/tokenizer.json",
    "textual/tokenizer_config.json",
    "README.md",
)
_RESIZES = {"shortest": "crop", "squash": "squash"}
_DEFAULT_CONTEXT = 77
_MAX_MASKED_CONTEXT = 512  # of XLM-RoBERTa, whose tokenizer may state a limit without meaning


def required_graphs(names: list[str], precision: str) -> list[str]:
    """Return the graphs of the towers among a repository's files, that of the images first; [] without one."""
    if GRAPHS[0] not in names or precision != "fp32":
        return []
    return [graph for graph in (*GRAPHS, "textual/model.onnx") if graph in names]


def matches(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / GRAPHS[0]).is_file()


def read(folder: Path, name: str, precision: str) -> ModelFiles:
    """Return the card and the files. Raises BrokenModel."""
    if precision != "fp32":
        raise BrokenModel(f"{name} has no weights in {precision}; it has fp32")
    graph = open_graph(folder / GRAPHS[0], name)
    if len(graph.inputs) != 1:
        raise BrokenModel(f"{name} has the inputs {graph.input_names}; choose another export")
    output, dim = graph.output(("embedding", "image_embeds"), name)
    config = read_json(folder / "config.json", name)
    text_file = folder / "textual" / "model.onnx"
    card = Card(
        name=name,
        dim=dim,
        preprocessing=_preprocessing(read_json(folder / "visual" / "preprocess_cfg.json", name), graph, name),
        sha256=checksum(graph.file, graph.data_files),
        license=license_of(folder),
        source=name,
        output=output,
        text=_text_tower(open_graph(text_file, name), config, dim, name) if text_file.is_file() else None,
        data_files=graph.data_files,
    )
    if card.text is None:
        return ModelFiles(card=card, model=graph.file)
    return ModelFiles(
        card=card, model=graph.file, text_model=text_file, tokenizer=text_file.with_name("tokenizer.json")
    )


def _preprocessing(raw: Mapping[str, Any], graph: Graph, name: str) -> Preprocessing:
    mode, interpolation = raw.get("resize_mode", "shortest"), str(raw.get("interpolation", "bicubic")).lower()
    if mode not in _RESIZES or interpolation not in ("bicubic", "bilinear"):
        raise BrokenModel(f"{name} resizes images by {mode!r} and {interpolation!r}, which is not supported")
    side = raw.get("size", 224)
    height, width = side if isinstance(side, list) and len(side) == 2 else (side, side)
    size = pixels(height, f"size of {name}"), pixels(width, f"size of {name}")
    shape: dict[str, Any] = {"size": size, "resize": _RESIZES[mode], "interpolation": interpolation}
    if graph.inputs[0].type == "tensor(uint8)":  # the graph normalizes by itself
        return Preprocessing(layout="NHWC", dtype="uint8", **shape)
    mean = numbers(raw.get("mean", 0.0), 3, f"mean of {name}")
    std = numbers(raw.get("std", 1.0), 3, f"std of {name}")
    if min(std) <= 0:
        raise BrokenModel(f"std of {name} is {std}, and pixels are divided by it; choose another repository")
    return Preprocessing(
        layout="NCHW", dtype="float32", mean=tuple(m * 255 for m in mean), std=tuple(s * 255 for s in std), **shape
    )


def _text_tower(graph: Graph, config: Mapping[str, Any], dim: int, name: str) -> TextTower:
    label = f"the text tower of {name}"
    output, text_dim = graph.output(("embedding", "text_embeds"), label)
    if text_dim != dim:
        raise BrokenModel(f"{label} makes {text_dim} numbers, and that of the images {dim}; choose another repository")
    tokens = next((one for one in graph.inputs if one.name in TOKEN_INPUTS), None)
    if tokens is None:
        raise BrokenModel(f"{label} has the inputs {graph.input_names}; choose another export")
    raw = config.get("text_cfg")
    text_config: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    fixed = tokens.shape[1] if isinstance(tokens.shape[1], int) else None
    # A graph with a mask, as that of M-CLIP, averages the tokens of the text itself: any padding gives the same.
    masked = any(one.name == MASK_INPUT for one in graph.inputs)
    tokenizer = graph.file.with_name("tokenizer.json")
    tokenizer_config = optional_json(tokenizer.with_name("tokenizer_config.json"), name)
    default = _masked_context(tokenizer_config) if masked else _DEFAULT_CONTEXT
    context = fixed or text_config.get("context_length", default)
    if not isinstance(context, int) or not 0 < context < 65_536:
        raise BrokenModel(f"context_length of {name} is {context!r}, not a number of tokens; choose another repository")
    options = text_config.get("tokenizer_kwargs")
    canonicalizes = isinstance(options, dict) and options.get("clean") == "canonicalize"
    sigmoid = "init_logit_bias" in config or "siglip" in name.lower()
    return TextTower(
        sha256=checksum(graph.file, graph.data_files),
        tokenizer_sha256=checksum(tokenizer),
        context=context,
        pad_left=tokenizer_config.get("padding_side") == "left",
        pad_to_context=fixed is not None or not masked,
        pad_id=pad_id(tokenizer, tokenizer_config),
        clean="canonicalize" if canonicalizes else "spaces",
        output=output,
        scale=117.33 if sigmoid else 100.0,
        bias=-12.93 if sigmoid else 0.0,
        sigmoid=sigmoid,
        data_files=graph.data_files,
    )


def _masked_context(tokenizer_config: Mapping[str, Any]) -> int:
    limit = tokenizer_config.get("model_max_length")
    usable = isinstance(limit, int | float) and 0 < limit <= _MAX_MASKED_CONTEXT
    return int(limit) if usable and limit is not None else _MAX_MASKED_CONTEXT
