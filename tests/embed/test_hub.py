"""Repositories in the layouts of CLIP, SigLIP and DINOv2, created with onnx; and the hub client offline."""

import json
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import get_embedder
from lookalike.embed.hub import embedder_of_repository
from lookalike.errors import BrokenModel, UnknownModel

onnx = pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")

CLIP = {
    "do_center_crop": True,
    "crop_size": {"height": 16, "width": 16},
    "size": {"shortest_edge": 16},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
    "rescale_factor": 1 / 255,
}
SIGLIP = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def write_repository(
    folder: Path, graph: str, outputs: list[str], config: dict[str, object], *, inputs: int = 1
) -> Path:
    """Write a model that maps pixel_values (n, 3, 16, 16) to mean colors; last_hidden_state are tokens (n, 2, 3)."""
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, 16, 16])
    more = [helper.make_tensor_value_info(f"input_{n}", TensorProto.INT64, ["n"]) for n in range(inputs - 1)]
    nodes = [helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=[2, 3], keepdims=0)]
    results = []
    for name in outputs:
        if name == "last_hidden_state":
            nodes += [
                helper.make_node("Unsqueeze", ["mean"], ["first"], axes=[1]),
                helper.make_node("Neg", ["first"], ["second"]),
                helper.make_node("Concat", ["first", "second"], [name], axis=1),
            ]
            results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, 3]))
        else:
            nodes.append(helper.make_node("Identity", ["mean"], [name]))
            results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]))
    model = helper.make_model(
        helper.make_graph(nodes, "g", [pixels, *more], results),
        opset_imports=[helper.make_opsetid("", 11)],
        ir_version=8,
    )
    (folder / graph).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / graph)
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


@pytest.mark.parametrize(
    ("graph", "outputs", "config", "resize"),
    [
        ("onnx/vision_model.onnx", ["last_hidden_state", "image_embeds"], CLIP, "crop"),
        ("onnx/vision_model.onnx", ["last_hidden_state", "pooler_output"], SIGLIP, "squash"),
        ("onnx/model.onnx", ["last_hidden_state"], CLIP, "crop"),
    ],
)
def test_a_layout_becomes_an_embedder(
    tmp_path: Path, graph: str, outputs: list[str], config: dict[str, object], resize: str
) -> None:
    embedder = embedder_of_repository(write_repository(tmp_path, graph, outputs, config), "hub:a/b")
    assert (embedder.card.preprocessing.resize, embedder.card.license, embedder.card.dim) == (resize, "mit", 3)
    image = np.full((40, 60, 3), (255, 127.5, 0), np.uint8)
    # (x / 255 - 0.5) / std is 0.5, 0, -0.5 times a constant: mean and std are applied on the right scale.
    assert np.allclose(embedder.embed([image]), [[0.7071, 0, -0.7071]], atol=5e-3)


def test_a_text_and_image_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match="pixel_values alone"):
        embedder_of_repository(
            write_repository(tmp_path, "onnx/model.onnx", ["image_embeds"], CLIP, inputs=2), "hub:a/b"
        )


def test_a_repository_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match="no ONNX graph"):
        embedder_of_repository(tmp_path, "hub:a/b")


def test_the_hub_client_finds_its_cache_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="comes with the hub extra")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--model"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    write_repository(repository / "snapshots" / commit, "onnx/model.onnx", ["pooler_output"], SIGLIP)
    assert get_embedder("hub:some/model").card.dim == 3
    with pytest.raises(UnknownModel, match="HF_HUB_OFFLINE"):
        get_embedder("hub:some/other")
