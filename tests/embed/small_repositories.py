"""Repositories of models with words, made by hand: an image's vector is its mean color, a text's that of its words."""

import json
from pathlib import Path
from typing import Any

import numpy as np

WORDS = {"[PAD]": 0, "[UNK]": 1, "red": 2, "green": 3, "blue": 4, "a": 5, "photo": 6, "snow": 7}
COLORS = np.array(
    [[0, 0, 0], [0.1, 0.1, 0.1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0.01, 0, 0], [0, 0.02, 0], [0.5, 0.5, 0.6]],
    np.float32,
)
CROP = {
    "do_center_crop": True, "crop_size": {"height": 16, "width": 16}, "size": {"shortest_edge": 16},
    "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "rescale_factor": 1 / 255,
}  # fmt: skip


def write_clip(folder: Path, *, license: str = "mit", precision: str = "", text_name: str = "input_ids") -> Path:
    """Write a model in the layout of transformers.js."""
    write_graph(folder / f"onnx/vision_model{precision}.onnx", image_graph("pixel_values", "image_embeds"))
    write_graph(folder / f"onnx/text_model{precision}.onnx", text_graph(text_name, "text_embeds", masked=True))
    write_json(folder / "preprocessor_config.json", CROP)
    write_json(folder / "config.json", {"model_type": "clip"})
    write_tokenizer(folder)
    (folder / "README.md").write_text(f"---\nlicense: {license}\n---\n")
    return folder


def write_mclip(folder: Path, *, tokens: int | str = "t", data: str = "") -> Path:
    """Write a model in the layout of Immich, whose text graph has a mask; the tensors of both are in files `data`."""
    write_graph(folder / "visual/model.onnx", image_graph("image", "embedding"), data=data)
    write_graph(
        folder / "textual/model.onnx", text_graph("input_ids", "embedding", masked=True, tokens=tokens), data=data
    )
    config = {"size": 16, "interpolation": "bicubic", "resize_mode": "shortest", "mean": [0.5] * 3, "std": [0.25] * 3}
    write_json(folder / "visual/preprocess_cfg.json", config)
    write_json(folder / "config.json", {"embed_dim": 3})
    write_tokenizer(folder / "textual")
    return folder


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 8})


def write_graph(path: Path, graph: Any, *, data: str = "") -> None:
    import onnx
    from onnx import helper

    path.parent.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if data:
        onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=60)
    else:
        onnx.save(model, path)


def image_graph(name: str, output: str) -> Any:
    """pixels (n, 3, 16, 16) -> mean colors (n, 3), times a tensor that may lie elsewhere."""
    from onnx import TensorProto, helper, numpy_helper

    return helper.make_graph(
        [
            helper.make_node("ReduceMean", [name], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], [output]),
        ],
        "images",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32), "weights")],
    )


def text_graph(name: str, output: str, *, masked: bool, tokens: int | str = "t") -> Any:
    """tokens (n, t), and a mask -> the sum of the words' colors (n, 3)."""
    from onnx import TensorProto, helper, numpy_helper

    shape = ["n" if isinstance(tokens, str) else 1, tokens]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape)]
    nodes = [helper.make_node("Gather", ["colors", name], ["words"])]
    if masked:
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["ones"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["ones", "last"], ["column"]),
            helper.make_node("Mul", ["words", "column"], ["counted"]),
        ]
    nodes.append(helper.make_node("ReduceSum", ["counted" if masked else "words", "first"], [output], keepdims=0))
    constants = [
        numpy_helper.from_array(COLORS, "colors"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "first"),
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[0], 3])]
    return helper.make_graph(nodes, "texts", inputs, outputs, constants if masked else [constants[0], constants[2]])
