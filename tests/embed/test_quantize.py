"""int8 weights are a model of their own whose card tells the loss; its vectors do not depend on the batch."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lookalike.cli.main import app
from lookalike.embed import get_embedder
from lookalike.embed.card import card_to_json
from lookalike.embed.graph_signature import depends_on_the_batch
from lookalike.embed.model_files import ModelFiles, checksum, files_in
from lookalike.embed.onnx import OnnxEmbedder
from lookalike.embed.quantize import quantize_model
from lookalike.embed.registry import MODELS_VARIABLE
from lookalike.errors import BrokenModel, ModelError
from lookalike.types import Card, Preprocessing

onnx = pytest.importorskip("onnx", reason="onnx quantizes; it comes with the train extra")
SIDE, DIM = 16, 64


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    """A model whose vectors are the pixels times a random matrix."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, DIM)).astype(np.float32)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", DIM])
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["rows"], axis=1),
        helper.make_node("MatMul", ["rows", "w"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "g", [pixels], [vectors], [numpy_helper.from_array(weights, "w")])
    folder = tmp_path / "plain"
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    card = Card(
        name="plain", dim=DIM, sha256=checksum(folder / "model.onnx"), license="cc0-1.0", source="tests",
        preprocessing=Preprocessing(size=(SIDE, SIDE), layout="NCHW", dtype="float32", mean=(127.5,) * 3),
    )  # fmt: skip
    (folder / "card.json").write_text(card_to_json(card))
    return files_in(folder)


def test_the_card_tells_the_loss(files: ModelFiles, tmp_path: Path) -> None:
    images = [np.random.default_rng(n).integers(0, 256, (20, 30, 3), dtype=np.uint8) for n in range(12)]
    made, report = quantize_model(files, tmp_path / "small", name="small", images=images)
    plain, small = get_embedder(files.model.parent), get_embedder(tmp_path / "small")
    cosines = np.sum(plain.embed(images) * small.embed(images), axis=1)
    assert (report.worst, report.middle) == pytest.approx((cosines.min(), np.median(cosines)), abs=1e-6)
    assert 0.98 < report.worst < 0.999999
    assert (
        f"cosine to float32 {report.middle:.4f} (median) and {report.worst:.4f} (worst) of 12" in small.card.description
    )
    assert (small.card.name, small.card.license) == ("small", "cc0-1.0")
    assert made.model.stat().st_size < 0.4 * files.model.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "small"]


def test_the_list_of_models_tells_it(files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    _, report = quantize_model(files, tmp_path / "models" / "small", name="small")
    (row,) = (line for line in CliRunner().invoke(app, ["models"]).stdout.splitlines() if line.startswith("small"))
    assert row.endswith(str(report))


def test_a_vector_does_not_depend_on_the_batch(files: ModelFiles, tmp_path: Path) -> None:
    made, _ = quantize_model(files, tmp_path / "small", name="small")
    assert depends_on_the_batch(made.model)
    assert depends_on_the_batch(made.model.read_bytes())
    assert not depends_on_the_batch(files.model)
    dim = np.full((SIDE, SIDE, 3), 120, np.uint8)
    dim[0] = 130
    bright = np.full((SIDE, SIDE, 3), 255, np.uint8)
    embedder = OnnxEmbedder.open(made)
    assert embedder.batch == 1
    assert np.array_equal(embedder.embed([dim, bright])[:1], embedder.embed([dim]))


def test_what_has_no_float32_is_not_quantized_twice(files: ModelFiles, tmp_path: Path) -> None:
    made, _ = quantize_model(files, tmp_path / "small", name="small")
    with pytest.raises(BrokenModel, match="small has few weights in float32 to quantize"):
        quantize_model(made, tmp_path / "smaller", name="smaller")
    assert not (tmp_path / "smaller").exists()


def test_without_onnx_the_error_says_what_to_install(
    files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ImportError

    monkeypatch.setattr("lookalike.embed.quantize.quantization", missing)
    with pytest.raises(ModelError, match="pip install onnx"):
        quantize_model(files, tmp_path / "small", name="small")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain"]
