"""Repositories as transformers.js and Optimum write them: CLIP, SigLIP, MobileCLIP, DINOv2 and others.

onnx/vision_model.onnx and onnx/text_model.onnx, or onnx/model.onnx of a model of images alone; config.json,
preprocessor_config.json, tokenizer.json, tokenizer_config.json. The weights in another precision have a suffix.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookalike.embed.layouts.graph_files import (
    IMAGE_OUTPUTS,
    TEXT_OUTPUTS,
    Graph,
    numbers,
    open_graph,
    optional_json,
    pad_id,
    pixels,
    read_json,
)
from lookalike.embed.model_files import ModelFiles, checksum
from lookalike.embed.text_tower import MASK_INPUT, TOKEN_INPUTS
from lookalike.errors import BrokenModel
from lookalike.types import Card, Preprocessing, TextTower

GRAPHS = ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx")
CONFIG = "preprocessor_config.json"
CONFIG_FILES = ("config.json", CONFIG, "tokenizer.json", "tokenizer_config.json", "README.md")
SUFFIXES = {
    "fp32": ("",),
    "fp16": ("_fp16",),
    "int8": ("_int8", "_quantized"),
    "uint8": ("_uint8",),
    "q4": ("_q4",),
    "q4f16": ("_q4f16",),
    "bnb4": ("_bnb4",),
}
# PIL.Image.Resampling by its numbers, which the configurations contain.
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_DEFAULT_CONTEXT = 77
_CLIP_SCALE = 100.0  # CLIP's logit scale is limited to 100 in training, and reaches it
_SIGLIP_SCALE, _SIGLIP_BIAS = 117.33, -12.93  # of google/siglip-base-patch16-224; a graph of one tower has neither


def graph_names(precision: str) -> list[str]:
    """Return the paths that the graph of the images may have, best first."""
    return [g.replace(".onnx", f"{suffix}.onnx") for g in GRAPHS for suffix in SUFFIXES[precision]]


def required_graphs(names: list[str], precision: str) -> list[str]:
    """Return the graphs of the towers among a repository's files, that of the images first; [] without one."""
    images = next((graph for graph in graph_names(precision) if graph in names), None)
    if images is None:
        return []
    text = images.replace("vision_model", "text_model")
    return [images, text] if text != images and text in names else [images]


def matches(folder: Path) -> bool:
    """Return whether a folder has this layout, in any precision."""
    return any((folder / graph).is_file() for precision in SUFFIXES for graph in graph_names(precision)) and (
        (folder / CONFIG).is_file() or not (folder / "card.json").is_file()
    )


def read(folder: Path, name: str, precision: str) -> ModelFiles:
    """Return the card and the files. Raises BrokenModel."""
    file = _graph_file(folder, name, precision)
    graph = open_graph(file, name)
    if graph.input_names != "pixel_values":
        raise BrokenModel(
            f"{name} has the inputs {graph.input_names} instead of pixel_values alone; "
            "choose a repository with onnx/vision_model.onnx"
        )
    output, dim = graph.output(IMAGE_OUTPUTS, name)
    config = optional_json(folder / "config.json", name)
    text_file = file.with_name(file.name.replace("vision_model", "text_model"))
    has_text = text_file != file and text_file.is_file() and (folder / "tokenizer.json").is_file()
    card = Card(
        name=name,
        dim=dim,
        preprocessing=preprocessing(read_json(folder / CONFIG, name), name),
        sha256=checksum(file, graph.data_files),
        license=license_of(folder),
        source=name,
        output=output,
        text=_text_tower(folder, open_graph(text_file, name), config, dim, name) if has_text else None,
        data_files=graph.data_files,
    )
    if card.text is None:
        return ModelFiles(card=card, model=file)
    return ModelFiles(card=card, model=file, text_model=text_file, tokenizer=folder / "tokenizer.json")


def preprocessing(raw: Mapping[str, Any], name: str) -> Preprocessing:
    """Read a configuration of transformers' image processors: mean and std apply after rescale_factor, on 0..1."""
    crops = bool(raw.get("do_center_crop", False))
    resized = raw.get("size", 224)
    short = 0
    if isinstance(resized, dict) and "shortest_edge" in resized:
        short = pixels(resized["shortest_edge"], f"size of {name}")
    elif isinstance(resized, int) and crops:
        short = pixels(resized, f"size of {name}")
    size = _height_width(raw.get("crop_size", resized) if crops else resized, name)
    rescale = numbers(raw.get("rescale_factor", 1 / 255), 1, f"rescale_factor of {name}")[0]
    rescale = rescale if raw.get("do_rescale", True) and rescale > 0 else 1.0
    normalizes = raw.get("do_normalize", True)
    mean = numbers(raw.get("image_mean", 0.0) if normalizes else 0.0, 3, f"image_mean of {name}")
    std = numbers(raw.get("image_std", 1.0) if normalizes else 1.0, 3, f"image_std of {name}")
    if min(std) <= 0:
        raise BrokenModel(f"image_std of {name} is {std}, and pixels are divided by it; choose another repository")
    return Preprocessing(
        size=size,
        resize="crop" if crops and short else "squash",
        layout="NCHW",
        dtype="float32",
        mean=tuple(m / rescale for m in mean),
        std=tuple(s / rescale for s in std),
        interpolation=_RESAMPLING.get(raw.get("resample", 3), "bicubic"),
        short_side=short if crops else 0,
    )


def license_of(folder: Path) -> str:
    """Return the license in the front matter of the README, or "unknown"; of license "other", its name."""
    readme = folder / "README.md"
    if not readme.is_file():
        return "unknown"
    with readme.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(65_536).splitlines()[:100]
    stated = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = stated.get("license") or "unknown"
    return (stated.get("license_name") or name)[:100] if name == "other" else name[:100]


def _graph_file(folder: Path, name: str, precision: str) -> Path:
    for graph in graph_names(precision):
        if (folder / graph).is_file():
            return folder / graph
    others = [one for one in SUFFIXES if any((folder / graph).is_file() for graph in graph_names(one))]
    raise BrokenModel(f"{name} has no weights in {precision}; it has {', '.join(others)}")


def _text_tower(folder: Path, graph: Graph, config: Mapping[str, Any], dim: int, name: str) -> TextTower:
    label = f"the text tower of {name}"
    output, text_dim = graph.output(TEXT_OUTPUTS, label)
    if text_dim != dim:
        raise BrokenModel(f"{label} makes {text_dim} numbers, and that of the images {dim}; choose another repository")
    tokens = next((one for one in graph.inputs if one.name in TOKEN_INPUTS), None)
    if tokens is None:
        raise BrokenModel(f"{label} has the inputs {graph.input_names}; choose another export")
    tokenizer_config = optional_json(folder / "tokenizer_config.json", name)
    text_config = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    fixed = tokens.shape[1] if isinstance(tokens.shape[1], int) else None
    siglip = str(config.get("model_type", "")).lower().startswith("siglip")
    # Without a mask a text is as long as in training: MobileCLIP's tokens see those behind them; CLIP's do not.
    masked = any(one.name == MASK_INPUT for one in graph.inputs)
    return TextTower(
        sha256=checksum(graph.file, graph.data_files),
        tokenizer_sha256=checksum(folder / "tokenizer.json"),
        context=fixed or _context(tokenizer_config, text_config or {}, siglip=siglip),
        pad_left=tokenizer_config.get("padding_side") == "left",
        pad_to_context=fixed is not None or siglip or not masked,
        pad_id=pad_id(folder / "tokenizer.json", tokenizer_config),
        clean=_cleaning(tokenizer_config) if siglip else "",
        output=output,
        scale=_SIGLIP_SCALE if siglip else _CLIP_SCALE,
        bias=_SIGLIP_BIAS if siglip else 0.0,
        sigmoid=siglip,
        data_files=graph.data_files,
    )


def _cleaning(tokenizer_config: Mapping[str, Any]) -> str:
    """What SigLIP does to a text before the tokenizer. SigLIP 2 has the same model type, and another tokenizer."""
    return (
        "canonicalize"
        if tokenizer_config.get("tokenizer_class", "SiglipTokenizer") == "SiglipTokenizer"
        else "lowercase"
    )


def _context(tokenizer_config: Mapping[str, Any], text_config: Mapping[str, Any], *, siglip: bool) -> int:
    """The most tokens of a text; a tokenizer without a limit has a huge one."""
    limits = [text_config.get("max_position_embeddings"), tokenizer_config.get("model_max_length")]
    usable = [int(one) for one in limits if isinstance(one, int | float) and 0 < one < 65_536]
    return min(usable, default=64 if siglip else _DEFAULT_CONTEXT)


def _height_width(raw: Any, name: str) -> tuple[int, int]:
    if isinstance(raw, dict):
        side = raw.get("shortest_edge", 224)
        return pixels(raw.get("height", side), f"size of {name}"), pixels(raw.get("width", side), f"size of {name}")
    return pixels(raw, f"size of {name}"), pixels(raw, f"size of {name}")
