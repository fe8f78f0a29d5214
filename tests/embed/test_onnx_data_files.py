"""The files that a graph refers to, read from its bytes; checked against onnx, which writes them."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.embed.onnx_data_files import referenced_files
from lookalike.errors import BrokenModel

onnx = pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")


def tensor(name: str, location: str = "") -> "onnx.TensorProto":
    made = onnx.numpy_helper.from_array(np.zeros(4, np.float32), name)
    if location:
        made.ClearField("raw_data")
        made.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("offset", "0"), ("location", location), ("length", "16")):
            made.external_data.add(key=key, value=value)
    return made


def save(path: Path) -> Path:
    """A graph with tensors elsewhere as initializers, in a constant, and in the branches of a condition."""
    helper = onnx.helper
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", [f"w{n}"], ["y"])], f"g{n}", [], [], [tensor(f"w{n}", f"{n}.bin")]
        )
        for n in range(2)
    ]
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor("c", "constant.bin")),
        helper.make_node("If", ["x"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    initializers = [tensor("a"), tensor("b", "b.bin"), tensor("d", "b.bin")]
    unused = tensor("e")
    unused.external_data.add(key="location", value="not-external.bin")
    graph = helper.make_graph(nodes, "g", [], [], [*initializers, unused])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_every_tensor_is_looked_at(tmp_path: Path) -> None:
    assert referenced_files(save(tmp_path / "m.onnx")) == ["0.bin", "1.bin", "b.bin", "constant.bin"]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "m.onnx").read_bytes()
    damaged = tmp_path / "damaged.onnx"
    for data in (b"", b"\x80", b"\x07", whole[:-1], b"\x80\x04 a pickle", b"\xff" * 40):
        damaged.write_bytes(data)
        with pytest.raises(BrokenModel, match="is no ONNX file, or a damaged one"):
            referenced_files(damaged)
    with pytest.raises(BrokenModel, match="cannot be read"):
        referenced_files(tmp_path / "none.onnx")
    random = np.random.default_rng(0)
    for _ in range(300):  # any bytes end in an answer
        data = bytearray(whole)
        data[random.integers(len(data))] = random.integers(256)
        damaged.write_bytes(data)
        try:
            referenced_files(damaged)
        except BrokenModel:
            continue
