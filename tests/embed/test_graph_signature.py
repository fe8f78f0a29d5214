"""The signature of a file is what ONNX Runtime says of it, and damaged files have none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.embed.graph_signature import read_signature
from lookalike.embed.onnx_session import create_session
from lookalike.embed.registry import known_models, model_folder

onnx = pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")


def signature(session: Any) -> list[list[tuple[str, str, list[Any]]]]:
    values = session.get_inputs(), session.get_outputs()
    return [[(one.name, one.type, one.shape) for one in side] for side in values]


def write_graph(file: Path, *, weights_are_inputs: bool = False, shape: Any = ("n", None, 4)) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", None, 4])]
    if weights_are_inputs:
        values.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    weights = [numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")]
    model = helper.make_model(
        helper.make_graph([node], "g", values, outputs, weights),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, file)
    return file


@pytest.mark.parametrize("weights_are_inputs", [False, True])
def test_the_signature_is_that_of_onnx_runtime(tmp_path: Path, weights_are_inputs: bool) -> None:
    file = write_graph(tmp_path / "m.onnx", weights_are_inputs=weights_are_inputs)
    result = read_signature(file)
    assert result is not None
    found = [[(one.name, one.type, one.shape) for one in side] for side in result]
    assert found[0] == [("x", "tensor(float)", ["n", None, 4])]
    expected = signature(create_session(file, name="m"))
    assert [[(name, kind) for name, kind, _ in side] for side in found] == [
        [(name, kind) for name, kind, _ in side] for side in expected
    ]
    assert found[1][0][2][-1] == expected[1][0][2][-1] == 4


@pytest.mark.parametrize("name", list(known_models(added=False)))
def test_the_models_of_the_package_too(name: str) -> None:
    file = model_folder(name) / "model.onnx"
    result = read_signature(file)
    assert result is not None
    assert [[(one.name, one.type, one.shape) for one in side] for side in result] == signature(
        create_session(file, name=name)
    )


def test_a_file_that_leaves_a_shape_out_is_left_to_onnx_runtime(tmp_path: Path) -> None:
    assert read_signature(write_graph(tmp_path / "m.onnx", shape=None)) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a" * 50, b"\xff" * 64, b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_what_is_no_graph_has_no_signature(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    assert read_signature(tmp_path / "m.onnx") is None
    assert read_signature(tmp_path / "none.onnx") is None


def test_a_file_that_was_cut_has_no_signature_or_the_right_one(tmp_path: Path) -> None:
    whole = write_graph(tmp_path / "m.onnx").read_bytes()
    expected = read_signature(tmp_path / "m.onnx")
    for size in range(len(whole)):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        assert read_signature(tmp_path / "cut.onnx") in (None, expected), size
