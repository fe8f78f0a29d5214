"""A model of two towers that a person can compute: an image is its mean colour, a text the sum of its colour words.

Vectors are (red, green, blue, tower): the fourth number is 1 for images and -1 for texts, so that texts lie apart from
images, as those of real models do.
"""

import json
from pathlib import Path

import numpy as np

from tests.conftest import COLOURS

SIDE, GREY = 32, 100.0
CONTEXT = 8
VOCABULARY = ["[PAD]", "[UNK]", *COLOURS]


def write_words_model(folder: Path) -> Path:
    """Write the model in the layout of transformers.js."""
    (folder / "onnx").mkdir(parents=True)
    _write_image_tower(folder / "onnx" / "vision_model.onnx")
    _write_text_tower(folder / "onnx" / "text_model.onnx")
    _write_tokenizer(folder)
    preprocessing = {"size": {"height": SIDE, "width": SIDE}, "do_rescale": False, "do_normalize": False, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    config = {"model_type": "clip", "text_config": {"max_position_embeddings": CONTEXT}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def _write_image_tower(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Sub", ["mean", "grey"], ["colour"]),
        helper.make_node("Div", ["colour", "scale"], ["scaled"]),
        helper.make_node("ReduceSum", ["scaled", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["tower"]),
        helper.make_node("Concat", ["scaled", "tower"], ["image_embeds"], axis=1),
    ]
    constants = {"grey": [GREY], "scale": [100.0], "zero": [0.0], "one": [1.0]}
    tensors = [numpy_helper.from_array(np.array(values, np.float32), name) for name, values in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    vectors = helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["n", 4])
    _save(path, helper.make_graph(nodes, "image", [pixels], [vectors], tensors))


def _write_text_tower(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    colours = [[(value - GREY) / 100 for value in colour] for colour in COLOURS.values()]
    table = np.array([[0.0] * 4, [0.0] * 4, *([*colour, 0.0] for colour in colours)], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("ReduceSum", ["words", "axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "tower"], ["text_embeds"]),
    ]
    tensors = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
        numpy_helper.from_array(np.array([0, 0, 0, -1], np.float32), "tower"),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "tokens"])
    vectors = helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, ["n", 4])
    _save(path, helper.make_graph(nodes, "text", [ids], [vectors], tensors))


def _save(path: Path, graph: object) -> None:
    import onnx
    from onnx import helper

    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = {word: n for n, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "model_max_length": CONTEXT}))
