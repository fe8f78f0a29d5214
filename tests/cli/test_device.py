"""`--device` and its environment variable reach the model, and nothing of them stays."""

import os
from pathlib import Path

import pytest

from lookalike.embed.devices import DEVICE_VARIABLE
from lookalike.embed.onnx_runtime import onnx_runtime
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def only_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime(), "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)


def test_a_missing_device_is_named_with_what_to_install(cli: Cli, photos: Path, tmp_path: Path) -> None:
    ran = cli("index", photos, "-c", tmp_path / "c", "--device", "cuda")
    assert ran.code == 1
    assert "the device cuda needs CUDAExecutionProvider" in ran.err
    assert "onnxruntime-gpu" in ran.err
    assert not (tmp_path / "c").exists()
    assert DEVICE_VARIABLE not in os.environ


def test_the_variable_is_used_unless_the_option_says_otherwise(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "rocm")
    files = (photos / "red.png", photos / "blue.png")
    assert "the device rocm needs MIGraphXExecutionProvider" in cli("embed", *files, "-o", tmp_path / "x.npy").err
    assert cli("embed", *files, "-o", tmp_path / "x.npy", "--device", "auto").code == 0
    assert os.environ[DEVICE_VARIABLE] == "rocm"
    monkeypatch.setenv(DEVICE_VARIABLE, "gpu")
    ran = cli("index", photos)
    assert (ran.code, "--device" in ran.err) == (2, True)
