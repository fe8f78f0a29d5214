"""Learning what alike means, at a size for tests: never worse in silence, clear words where nothing can be learnt."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lookalike.embed import BASE_MODEL, get_embedder
from lookalike.embed.card import load_card
from lookalike.embed.registry import model_folder
from lookalike.errors import BadQuery, BrokenModel, SourceError
from lookalike.types import Card, Preprocessing

torch = pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
for part in ("onnx", "onnxscript", "pytorch_metric_learning"):
    pytest.importorskip(part, reason="needs the extra: pip install 'lookalike[train]'")

from tests.conftest import COLOURS, ColourEmbedder, encode, picture  # noqa: E402

from lookalike.train import similarity  # noqa: E402
from lookalike.train.config import SimilarityConfig  # noqa: E402
from lookalike.train.loop import no_progress  # noqa: E402
from lookalike.train.models.folded_lite import read_weights  # noqa: E402
from lookalike.train.models.small_cnn import SmallCNN  # noqa: E402
from lookalike.train.models.tuned import Head, Tuned  # noqa: E402
from lookalike.train.similarity_dataset import labels_of  # noqa: E402
from lookalike.train.similarity_training import best_interpolation, interpolate, to_input  # noqa: E402
from lookalike.train.split import Split  # noqa: E402
from lookalike.train.validation import ValidationResult, validator_by_edits, validator_by_labels  # noqa: E402

FAST = {"model": "small-cnn", "side": 28, "width": 4, "dim": 8, "batch": 16, "epochs": 2, "objective": "supcon"}


class Coin:
    """An embedder that knows nothing: a picture's vector is drawn from its own sum."""

    card = Card(name="coin", dim=4, preprocessing=Preprocessing(size=(28, 28)), sha256="", license="-", source="-")

    def embed(self, images):
        rows = [np.random.default_rng(int(image.sum())).normal(size=4) for image in images]
        return (np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Five colours of sixteen pictures, eleven of each to train on."""
    folder, paths = tmp_path_factory.mktemp("pictures"), []
    for name, colour in COLOURS.items():
        for n in range(16):
            path = folder / f"{name}-{n}.png"
            path.write_bytes(encode(picture(colour, size=(32, 32), seed=n)))
            paths.append(str(path))
    labels = [Path(path).name.split("-")[0] for path in paths]
    return Split(paths=paths, labels=labels, parts=["val" if n % 16 >= 11 else "train" for n in range(80)])


def run(split, folder, monkeypatch, embedder=None, lines=None, **settings):
    """Train with a stand-in for the base model."""
    monkeypatch.setattr(similarity, "get_embedder", lambda *_a, **_k: embedder or Coin())
    config = SimilarityConfig.of(FAST | settings)
    return similarity.train_similarity(
        split, config, folder, on_progress=no_progress, log=(lines if lines is not None else []).append
    )


def test_labels_teach_it_and_the_folder_is_a_model(split, tmp_path, monkeypatch):
    bad = Split(
        paths=[*split.paths, str(tmp_path / "none.png")], labels=[*split.labels, "red"], parts=[*split.parts, "train"]
    )
    lines: list[str] = []
    result = run(bad, tmp_path / "mine", monkeypatch, lines=lines, epochs=6, rate=0.01)
    assert result.selected == "trained"
    assert result.after["mAP"] > result.before["mAP"] + 0.2
    assert "the trained model is saved" in str(result)
    assert [failure.path for failure in result.failed] == [str(tmp_path / "none.png")]
    assert any("skipped" in line for line in lines)
    card = load_card(tmp_path / "mine")
    assert (card.name, card.dim, card.preprocessing.size) == ("mine", 8, (28, 28))
    vectors = get_embedder(tmp_path / "mine").embed([picture(COLOURS[c], seed=n) for c in COLOURS for n in (50, 51)])
    scores = vectors @ vectors.T
    assert all(scores[2 * n, 2 * n + 1] > np.delete(scores[2 * n], [2 * n, 2 * n + 1]).max() for n in range(5))
    assert not (tmp_path / "mine" / "cache").exists()


def test_missing_images_are_logged(split, tmp_path, monkeypatch):
    lines: list[str] = []
    incomplete = Split(
        paths=split.paths, labels=split.labels, parts=split.parts, missing=[("a.png", "val"), ("b", "test")]
    )
    run(incomplete, tmp_path / "mine", monkeypatch, lines=lines, epochs=1)
    assert "1 image of the split is missing and left out; the first is a.png" in lines


def test_training_that_makes_it_no_better_saves_the_base_model(split, tmp_path, monkeypatch):
    """The mean colour tells the labels apart without a fault: nothing that is learnt can be better."""
    result = run(split, tmp_path / "mine", monkeypatch, ColourEmbedder(), epochs=1, rate=1e-6)
    assert result.before["mAP"] == 1
    assert result.selected == "before"
    assert "no improvement, so" in str(result)
    assert load_card(tmp_path / "mine").name == BASE_MODEL
    assert get_embedder(tmp_path / "mine").card.sha256 == load_card(model_folder(BASE_MODEL)).sha256


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([""] * 80, "no training image has a label"),
        (["red"] * 80, "one label, 'red'"),
        ([str(n) for n in range(80)], "each of 55 labels has only one training image"),
    ],
)
def test_labels_that_teach_nothing(split, labels, reason):
    with pytest.raises(SourceError, match=rf"{reason}.*--from edits"):
        labels_of(Split(paths=split.paths, labels=labels, parts=split.parts), SimilarityConfig())


def test_too_few_to_validate_on(split):
    train, none = np.arange(80), np.array([], np.int64)
    pixels = np.zeros((80, 8, 8, 3), np.uint8)
    with pytest.raises(SourceError, match=r"--val 0\.1"):
        validator_by_labels(pixels, split.labels, train, none, 0)
    with pytest.raises(SourceError, match=r"--val 0\.1"):
        validator_by_edits(pixels, train, none, 0)


def test_validation_leaves_a_picture_out_of_its_own_answer():
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 4, 4, 3), np.uint8)
    validator = validator_by_labels(pixels, ["a", "b", "a", "b", "a", "b"], np.arange(2), np.arange(2, 6), 0)
    same = validator.metrics(lambda inputs: np.eye(256, dtype=np.float32)[inputs[:, 0, 0, 0]])
    assert same["recall@1"] == 0  # all others score 0: the worst order among ties
    right = validator.metrics(lambda inputs: np.eye(2, dtype=np.float32)[inputs[:, 0, 0, 0] % 2])
    assert right["recall@1"] == right["mAP"] == 1


def test_validation_of_one_label_is_asked_among_training_pictures_or_refused():
    """Of one label alone no answer is wrong, and nothing that is learnt could ever be better."""
    pixels = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((60, 4, 4, 3), np.uint8)
    labels = ["a" if row < 30 else "b" for row in range(60)]
    validator = validator_by_labels(pixels, labels, np.arange(30, 60), np.arange(30), 0)
    assert set(validator.gallery_labels) == {"a", "b"}
    assert validator.metrics(lambda inputs: np.ones((len(inputs), 1), np.float32))["recall@1"] == 0
    with pytest.raises(SourceError, match=r"all 30 validation images have one label, 'a'.*--val 0\.1"):
        validator_by_labels(pixels, ["a"] * 60, np.arange(30, 60), np.arange(30), 0)


weights_needed = pytest.mark.skipif(
    not (model_folder(BASE_MODEL) / "model.onnx").exists(), reason="the default model's weights are not here"
)


@pytest.fixture(scope="module")
def tuned() -> Tuned:
    return Tuned(read_weights(model_folder(BASE_MODEL) / "model.onnx")).eval()


@weights_needed
def test_it_starts_as_the_shipped_model(tuned):
    coarse = np.random.default_rng(1).integers(0, 256, (3, 14, 14, 3), dtype=np.uint8)
    samples = coarse.repeat(16, axis=1).repeat(16, axis=2)
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(tuned(to_input(torch.from_numpy(samples))), dim=1).numpy()
    assert (vectors * get_embedder(BASE_MODEL).embed(list(samples))).sum(axis=1).min() >= 0.9999


@weights_needed
def test_what_learns(tuned):
    counts = {}
    for what in ("head", "last", "all"):
        network = Tuned(read_weights(model_folder(BASE_MODEL) / "model.onnx"), hidden=8)
        network.set_trainable(what)
        own, rest = network.groups()
        counts[what] = (sum(p.numel() for p in own), sum(p.numel() for p in rest))
    assert counts["head"][1] == 0 < counts["last"][1] < counts["all"][1]
    assert len({own for own, _ in counts.values()}) == 1
    network.set_trainable("last")
    network(to_input(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))).sum().backward()
    learnt = [p.grad is not None for p in network.backbone._blocks[0].parameters()]
    assert not any(learnt)


def test_a_model_that_is_not_ours_cannot_be_trained_further(split, tmp_path, monkeypatch):
    run(split, tmp_path / "mine", monkeypatch, epochs=1)
    with pytest.raises(BrokenModel, match=r"start from efficientnet-lite1\.in1k"):
        read_weights(tmp_path / "mine" / "model.onnx")


def test_a_fresh_head_changes_nothing_but_the_size():
    x = torch.randn(3, 6)
    assert torch.equal(Head(6, 6, 4)(x), x)
    assert torch.equal(Head(6, 4, 0)(x), x[:, :4])


@pytest.mark.parametrize(("best", "share"), [(0.5, 0.5), (0.3, 0.25), (0.9, 1.0), (2.0, 1.0)])
def test_the_mixture_that_validates_best_is_kept(best, share):
    """A network of one weight, 0 before training and 1 after it, judged by how near it is to the best."""
    network = torch.nn.Linear(1, 1, bias=False)
    start, end = ({"weight": torch.tensor([[value]])} for value in (0.0, 1.0))
    network.load_state_dict(end)
    validator = SimpleNamespace(
        evaluate=lambda embed: ValidationResult(
            metrics={"mAP": -abs(embed(None) - best)}, first_hits=np.zeros(0), correct=np.zeros(0)
        )
    )
    task = SimpleNamespace(
        network=network,
        config=SimpleNamespace(metric="mAP"),
        validator=validator,
        embed=lambda module, _: float(module.weight.detach()),
    )
    answer, chosen = best_interpolation(task, start)
    assert chosen == share
    assert float(network.weight.detach()) == pytest.approx(share)
    assert answer.metrics["mAP"] == pytest.approx(-abs(share - best))
    network.load_state_dict(end)
    assert best_interpolation(task, None)[1] == 1.0
    assert torch.equal(network.weight.detach(), end["weight"])


def test_weights_are_mixed_in_their_proportion():
    start, end = {"w": torch.tensor([0.0, 2.0])}, {"w": torch.tensor([4.0, 2.0])}
    assert interpolate(start, end, 0.25)["w"].tolist() == [1.0, 2.0]
    assert interpolate(start, end, 1) is end


def test_the_small_network_takes_several_sizes():
    for side, halvings in ((28, 2), (64, 3)):
        assert SmallCNN(dim=5, width=4, halvings=halvings)(torch.zeros(2, 3, side, side)).shape == (2, 5)


@weights_needed
def test_a_head_from_edits_and_one_from_pairs(split, tmp_path, monkeypatch):
    """The default model's own size, four pictures: what matters is that both ways go through."""
    rows = [*range(0, 80, 8)]
    few = Split(
        paths=[split.paths[r] for r in rows],
        labels=[""] * 10,
        parts=["train"] * 6 + ["val"] * 4,
    )
    pairs = tmp_path / "pairs.csv"
    names = [Path(path).name for path in few.paths]
    pairs.write_text(
        "a,b,same\n" + "".join(f"{names[n]},{names[n + 1]},1\n" for n in range(0, 10, 2)) + f"{names[0]},{names[2]},0\n"
    )
    written = []
    monkeypatch.setattr(
        "lookalike.train.similarity_training.export", lambda *args, **_: written.append(args[1]) or "exported"
    )
    for source in ("edits", str(pairs)):
        config = SimilarityConfig.of({"source": source, "epochs": 1, "views": 1, "hidden": 8, "batch": 8})
        result = similarity.train_similarity(few, config, tmp_path / Path(source).stem)
        assert result.metric == ("micro-AP" if source == "edits" else "mAP")
        assert (tmp_path / Path(source).stem / "metrics.csv").exists()
    with pytest.raises(BadQuery, match="--train last"):
        similarity.train_similarity(few, SimilarityConfig.of({"source": "edits", "side": 96}), tmp_path / "x")
