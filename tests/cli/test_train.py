"""split and train as a person types them; the tutorial of docs/training.md, at a size for tests."""

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from lookalike.train.config import AutoencoderConfig
from lookalike.train.split import Split
from lookalike.train.split_file import write_split
from lookalike.types import RGB
from tests.cli.conftest import Cli
from tests.conftest import COLOURS, encode, picture

DOCS = Path(__file__).parents[2] / "docs" / "training.md"


def scene(colour: tuple[int, int, int], seed: int) -> RGB:
    """A ground of one colour with three blocks of any, so that no two pictures are near-copies."""
    random, image = np.random.default_rng(seed), picture(colour, size=(48, 48), seed=seed)
    for _ in range(3):
        top, left, tall, wide = random.integers(4, 28, 4)
        image[top : top + tall, left : left + wide] = random.integers(0, 256, 3)
    return image


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder of five labels, twelve pictures each, one of them twice, and one file that is no picture."""
    folder = tmp_path / "photos"
    for name, colour in COLOURS.items():
        for n in range(12):
            path = folder / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(scene(colour, len(name) * 100 + n)))
    (folder / "red" / "again.png").write_bytes((folder / "red" / "0.png").read_bytes())
    (folder / "red" / "bad.png").write_bytes(b"bad")
    return folder


def test_split_writes_once_and_tells_what_it_kept_together(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    command = ("split", labelled, "-o", tmp_path / "split.csv", "--val", 0.1, "--min-score", 1.01)
    ran = cli(*command, "--json")
    assert ran.code == 0
    report = json.loads(ran.out)
    assert report["counts"] == {"train": 43, "val": 6, "test": 12} or sum(report["counts"].values()) == 61
    assert (report["labels"], report["grouped"], report["groups"]) == (5, 2, 1)
    assert "bad.png" in ran.err
    assert "2 images in 1 group of near-copies" in ran.err
    with (tmp_path / "split.csv").open() as lines:
        parts = {row["path"]: row["part"] for row in csv.DictReader(lines)}
    assert parts["photos/red/0.png"] == parts["photos/red/again.png"]
    again = cli(*command)
    assert again.code == 1
    assert "made once" in again.err
    assert cli(*command, "--overwrite").code == 0


def test_split_of_a_collection_and_of_nothing(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    assert cli("index", labelled, "-c", tmp_path / "c").code == 0
    assert cli("split", "-c", tmp_path / "c", "-o", tmp_path / "split.parquet").code == 0
    assert "name a folder" in cli("split", "-o", tmp_path / "x.csv").err
    assert cli("index", labelled).code == 0  # into the one that $LOOKALIKE_COLLECTION names
    assert cli("split", "-o", tmp_path / "default.csv").code == 0
    assert cli("split", labelled, "-c", tmp_path / "c", "-o", tmp_path / "x.csv").code == 2
    assert "does not end in" in cli("split", labelled, "-o", tmp_path / "x.txt").err


def test_split_of_several_folders_takes_their_names(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    ran = cli("split", labelled / "red", labelled / "blue", "-o", tmp_path / "two.csv", "--json")
    assert json.loads(ran.out)["labels"] == 2
    with (tmp_path / "two.csv").open() as lines:
        assert all(row["path"].split("/")[1] == row["label"] for row in csv.DictReader(lines))
    ran = cli("split", labelled / "red", "-o", tmp_path / "one.csv")
    assert "; 0 labels" in ran.err
    assert "no image has a label: put the images of each label into a folder" in ran.err


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--test", "1.2"), ("--val", "-.1"), ("--labels", "foldr")])
def test_a_split_mistyped_ends_with_2_before_any_picture(cli: Cli, tmp_path: Path, option: tuple[str, str]) -> None:
    ran = cli("split", tmp_path / "nothing here", "-o", tmp_path / "x.csv", *option)
    assert ran.code == 2
    assert option[0] in ran.err
    assert "nothing here" not in ran.err


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A split of five labels whose pictures were never made: what is mistyped is answered before any is read."""
    file = tmp_path / "split.csv"
    names = [f"{label}/{n}.png" for label in COLOURS for n in range(6)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths, labels = [str(tmp_path / name) for name in names], [name.split("/")[0] for name in names]
    write_split(Split(paths=paths, labels=labels, parts=["train", "val"] * 15), file)
    return file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["autoencoder", "SPLIT", "--set", "epcohs=2"], "nearest: epochs"),
        (["autoencoder", "SPLIT", "--set", "epochs"], "NAME=VALUE"),
        (["similarity", "SPLIT", "--from", "lables"], "nearest: labels"),
        (["similarity", "SPLIT", "--from", "none.csv"], "none.csv: cannot be read"),
        (["similarity", "SPLIT", "--objective", "arkface"], "nearest: arcface"),
        (["similarity", "SPLIT", "--train", "hed"], "train 'hed' is not known; nearest: head"),
        (["similarity", "SPLIT", "--set", "metric=mAQ"], "metric 'mAQ' is not known; nearest: mAP"),
        (["similarity", "SPLIT", "--model", "nonesuch"], "no model is called"),
        (["similarity", "none.csv"], "lookalike split"),
    ],
)
def test_what_is_mistyped_is_answered(
    cli: Cli, split: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    pytest.importorskip("torch")
    ran = cli("train", *[str(split) if a == "SPLIT" else a for a in arguments], "-o", tmp_path / "model")
    assert ran.code == (1 if "none.csv" in arguments or "nonesuch" in arguments else 2)
    assert message in " ".join(ran.err.split())
    assert not (tmp_path / "model" / "model.onnx").exists()


def test_an_interrupted_run_tells_how_to_go_on(
    cli: Cli, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for verb in ("similarity", "autoencoder"):
        monkeypatch.setattr(f"lookalike.train.{verb}.train_{verb}", interrupted)
        ran = cli("train", verb, split, "-o", tmp_path / "m")
        assert ran.code == 130
        assert "the same command continues from the last checkpoint" in ran.err


def test_the_old_spelling_of_an_option_works_and_is_not_in_the_help(
    cli: Cli, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    given: list[bool] = []

    def interrupted(_split: object, config: AutoencoderConfig, *_: object, **__: object) -> None:
        given.append(config.gray)
        raise KeyboardInterrupt

    monkeypatch.setattr("lookalike.train.autoencoder.train_autoencoder", interrupted)
    for option in ("--gray", "--grey", "--color", "--colour"):
        cli("train", "autoencoder", split, option, "-o", tmp_path / "m")
    assert given == [True, True, False, False]
    text = cli("train", "autoencoder", "--help").out
    assert "--gray" in text
    assert "--grey" not in text


def commands(text: str) -> list[list[str]]:
    """The commands of the tutorial's blocks, in order."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    lines = [line.split("  #")[0] for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("lookalike ")]


SMALL = {
    "autoencoder": ["--side", "28", "--code", "8", "--epochs", "1", "--set", "width=4"],
    "similarity": ["--model", "small-cnn", "--side", "28", "--epochs", "2", "--set", "width=4"],
}


def test_the_tutorial_goes_through(cli: Cli, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of docs/training.md's walk, with smaller networks and fewer epochs."""
    for part in ("torch", "onnx", "onnxscript", "pytorch_metric_learning"):
        pytest.importorskip(part, reason="needs the extra: pip install 'lookalike[train]'")
    monkeypatch.chdir(tmp_path)
    walk = commands(DOCS.read_text().split("## Step by step")[1].split("\n## ")[0])
    assert 6 <= len(walk) <= 10
    trained = 0
    for command in walk:
        smaller = SMALL[command[1]] if command[0] == "train" else []
        ran = cli(*command, *smaller)
        assert ran.code == 0, (command, ran.err)
        if command[0] == "train":
            trained += 1
            folder = Path(command[command.index("-o") + 1])
            assert {"model.onnx", "card.json", "config.toml", "metrics.csv", "curves.png"} <= {
                path.name for path in folder.iterdir()
            }
    assert trained >= 2
    again = shlex.split("train similarity split.csv -o models/again --json") + SMALL["similarity"]
    (line,) = cli(*again).out.splitlines()
    assert json.loads(line)["model"] == "models/again"
    again = shlex.split("train autoencoder split.csv -o models/cae2 --json") + SMALL["autoencoder"]
    (line,) = cli(*again).out.splitlines()
    assert set(json.loads(line)) == {"model", "figures"}
    hits = cli("search", labelled / "blue" / "0.png", "-k", 3, "-c", "mine.lookalike", "--json")
    assert hits.code == 0
    assert "photos/blue/0.png" in hits.out
