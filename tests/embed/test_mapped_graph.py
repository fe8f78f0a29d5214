"""A graph whose weights are mapped from its file gives the same numbers; one with weights elsewhere is left alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.embed import onnx_session
from lookalike.embed.mapped_graph import without_weights
from lookalike.embed.onnx_session import create_session
from lookalike.errors import BrokenModel

onnx = pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
ROWS = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)


@pytest.fixture(autouse=True)
def every_model_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_session, "LARGE_MODEL", 0)


def write_graph(file: Path, **options: Any) -> Path:
    """Write a graph that multiplies rows (n, 64) by a random matrix and adds a small vector."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(random.normal(size=(64, 64)).astype(np.float32), "w"),
        numpy_helper.from_array(random.normal(size=64).astype(np.float32), "bias"),
    ]
    rows, out = (helper.make_tensor_value_info(one, TensorProto.FLOAT, ["n", 64]) for one in ("rows", "out"))
    nodes = [
        helper.make_node("MatMul", ["rows", "w"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["out"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [rows], [out], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, file, **options)
    return file


def run(session: Any) -> np.ndarray:
    return np.asarray(session.run(None, {"rows": ROWS})[0])


def test_the_results_are_the_same(tmp_path: Path) -> None:
    file = write_graph(tmp_path / "m.onnx")
    graph = without_weights(file)
    assert graph is not None
    assert len(graph) < 1000 < file.stat().st_size
    assert np.array_equal(run(create_session(file, name="m")), run(create_session(file.read_bytes(), name="m")))
    assert onnx.load_model_from_string(graph).graph.initializer[0].data_location == onnx.TensorProto.EXTERNAL


def test_a_link_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    file = write_graph(tmp_path / "blobs" / "1234")
    (tmp_path / "m.onnx").symlink_to(file)
    assert np.array_equal(run(create_session(tmp_path / "m.onnx", name="m")), run(create_session(file, name="m")))


def test_weights_elsewhere_are_not_touched(tmp_path: Path) -> None:
    options = {"save_as_external_data": True, "location": "m.onnx_data", "size_threshold": 0}
    file = write_graph(tmp_path / "m.onnx", **options)
    assert without_weights(file) is None
    assert run(create_session(file, name="m")).shape == (3, 64)


def test_a_path_that_climbs_out_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    options = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    file = write_graph(tmp_path / "in" / "m.onnx", **options)
    (tmp_path / "in" / "m.data").rename(tmp_path / "m.data")
    file.write_bytes(file.read_bytes().replace(b"m.data", b"../m.d"))
    (tmp_path / "m.data").rename(tmp_path / "m.d")
    with pytest.raises(BrokenModel):
        create_session(file, name="m")


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    whole = write_graph(tmp_path / "m.onnx").read_bytes()
    for size in (0, 1, 10, 200, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        with pytest.raises(BrokenModel, match="the model m cannot be loaded"):
            create_session(tmp_path / "cut.onnx", name="m")
