"""Models that a user adds: a card for any ONNX file, and two models side by side."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lookalike.cli.main import app
from lookalike.embed import get_embedder, known_models
from lookalike.embed.add_model import OnnxSource, add_onnx_model, join_models, remove_model
from lookalike.embed.registry import MODELS_VARIABLE
from lookalike.errors import BadQuery, BrokenModel, LookalikeError, UnknownModel
from lookalike.types import Part

onnx = pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def write_graph(
    file: Path, *, dtype: str = "FLOAT", first: bool = True, side: int | str = 16, node: str = "ReduceMean"
) -> Path:
    """Write a graph of images (n, 3, side, side), or channels last, to mean colors (n, 3)."""
    from onnx import TensorProto, helper

    shape = ["n", 3, side, side] if first else ["n", side, side, 3]
    pixels = helper.make_tensor_value_info("pixels", getattr(TensorProto, dtype), shape)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node(node, ["float"], ["mean"], axes=[2, 3] if first else [1, 2], keepdims=0),
        helper.make_node("Neg", ["mean"], ["negative"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("mean", "negative")]
    graph = helper.make_graph(nodes, "g", [pixels], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), file)
    return file


@pytest.mark.parametrize(("dtype", "first"), [("FLOAT", True), ("FLOAT", False), ("UINT8", False), ("UINT8", True)])
def test_a_graph_becomes_a_model(tmp_path: Path, dtype: str, first: bool) -> None:
    mean = (127.5, 127.5, 127.5) if dtype == "FLOAT" else ()
    source = OnnxSource(file=write_graph(tmp_path / "m.onnx", dtype=dtype, first=first), size=(16, 16), mean=mean)
    card = add_onnx_model("mine", source)
    assert (card.dim, card.preprocessing.layout) == (3, "NCHW" if first else "NHWC")
    assert "mine" in known_models()
    image = np.full((40, 60, 3), (255, 127, 0), np.uint8)
    expected = np.array([255.0, 127, 0]) - (mean or (0, 0, 0))
    assert np.allclose(get_embedder("mine").embed([image]), [expected / np.linalg.norm(expected)], atol=1e-2)


def test_the_named_output_is_used(tmp_path: Path) -> None:
    file = write_graph(tmp_path / "m.onnx")
    add_onnx_model("plus", OnnxSource(file=file, size=(16, 16)))
    add_onnx_model("minus", OnnxSource(file=file, size=(16, 16), output="negative"))
    image = [np.full((9, 9, 3), (200, 10, 10), np.uint8)]
    assert np.allclose(get_embedder("plus").embed(image), -get_embedder("minus").embed(image))


@pytest.mark.parametrize(
    ("graph", "source", "message"),
    [
        ({"side": 16}, {"size": (20, 20)}, "16 x 16"),
        ({}, {"size": (16, 16), "output": "men"}, "nearest: mean"),
        ({"dtype": "UINT8"}, {"size": (16, 16), "mean": (1.0, 1.0, 1.0)}, "leave --mean"),
        ({"dtype": "INT64"}, {"size": (16, 16)}, "not a batch of images"),
        ({}, {"size": (16, 16), "mean": (-1e6, -1e6, -1e6)}, "same vector"),
        ({}, {"size": (16, 16), "mean": (float("nan"),) * 3}, "no usable"),
    ],
)
def test_what_is_no_image_model_is_refused_with_a_reason(
    tmp_path: Path, own_models: Path, graph: dict[str, object], source: dict[str, object], message: str
) -> None:
    file = write_graph(tmp_path / "m.onnx", **graph)  # type: ignore[arg-type]
    with pytest.raises(LookalikeError, match=message):
        add_onnx_model("mine", OnnxSource(file=file, **source))  # type: ignore[arg-type]
    assert not own_models.exists() or not list(own_models.iterdir())


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "efficientnet-lite1.in1k", "hub:a/b"])
def test_names_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadQuery):
        add_onnx_model(name, OnnxSource(file=write_graph(tmp_path / "m.onnx"), size=(16, 16)))


def test_a_model_is_replaced_only_when_asked(tmp_path: Path) -> None:
    source = OnnxSource(file=write_graph(tmp_path / "m.onnx"), size=(16, 16))
    add_onnx_model("mine", source)
    with pytest.raises(BadQuery, match="already"):
        add_onnx_model("mine", source)
    add_onnx_model("mine", source, overwrite=True)
    remove_model("mine")
    with pytest.raises(UnknownModel):
        get_embedder("mine")
    with pytest.raises(UnknownModel):
        remove_model("efficientnet-lite1.in1k")


def test_files_that_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    for name in ("x.onnx", "missing.onnx"):
        with pytest.raises(BrokenModel):
            add_onnx_model("mine", OnnxSource(file=tmp_path / name, size=(16, 16)))


def test_two_models_side_by_side(tmp_path: Path) -> None:
    file = write_graph(tmp_path / "m.onnx", side="s")
    add_onnx_model("small", OnnxSource(file=file, size=(8, 8)))
    add_onnx_model("large", OnnxSource(file=file, size=(16, 16), output="negative", parts={"copy": 0}))
    card = join_models("pair", alike="small", copy="large")
    assert card.parts == (Part("alike", 3), Part("copy", 3))
    assert card.preprocessing.size == (16, 16)
    assert known_models()["pair"] == get_embedder("pair").card == card
    image = [np.full((9, 9, 3), (200, 10, 10), np.uint8)]
    (vector,) = get_embedder("pair").embed(image)
    assert np.allclose(vector[:3], -vector[3:], atol=1e-6)
    with pytest.raises(BadQuery, match="pair"):
        join_models("pair", alike="pair", copy="large", overwrite=True)
    join_models("above", alike="pair", copy="large")
    with pytest.raises(BadQuery, match="above"):
        join_models("pair", alike="above", copy="large", overwrite=True)
    remove_model("small")
    with pytest.raises(UnknownModel, match="small"):
        get_embedder("pair")
    assert "pair" not in known_models()  # the list of models does not fail because of it


def test_on_the_command_line(tmp_path: Path) -> None:
    file = write_graph(tmp_path / "m.onnx")
    run = CliRunner().invoke
    added = run(app, ["models", "add", "mine", "--onnx", str(file), "--size", "16", "--mean", "0.5,0.5,0.5", "--json"])
    assert added.exit_code == 0, added.output
    assert get_embedder("mine").card.preprocessing.mean == (127.5, 127.5, 127.5)
    assert "mine" in run(app, ["models"]).output
    joined = run(app, ["models", "add", "pair", "--alike", "mine", "--copy", "mine"])
    assert joined.exit_code == 0, joined.output
    assert run(app, ["models", "remove", "mine"]).exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--alike", "a"],
        ["--onnx", "x", "--alike", "a", "--copy", "b"],
        ["--onnx", "x", "--size", "0"],
        ["--onnx", "x", "--size", "a"],
        ["--onnx", "x", "--mean", "1,2"],
        ["--onnx", "x", "--mean", "nan,1,1"],
        ["--onnx", "x", "--std", "0,1,1"],
        ["--onnx", "x", "--resize", "stretch"],
        ["--onnx", "x", "--parts", "words"],
        ["--onnx", "x", "--parts", "alike,copy"],
    ],
)
def test_mistyped_options_are_usage_errors(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["models", "add", "mine", *options])
    assert result.exit_code == 2, result.output
