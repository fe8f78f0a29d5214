"""Words on the command line: search, label --names, and what is said when they cannot be used."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.conftest import COLOURS
from tests.words_model import write_words_model

pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")


@pytest.fixture
def worded(cli: Cli, tmp_path: Path, photos: Path) -> str:
    """The name of a collection of one picture of each colour, whose model reads words."""
    model, collection = write_words_model(tmp_path / "colours"), str(tmp_path / "c")
    ran = cli("index", str(photos), "-c", collection, "--model", str(model))
    assert ran.code == 0, ran.err
    return collection


def test_words_find_images_with_rank_and_percentile(cli: Cli, worded: str) -> None:
    ran = cli("search", "text:a red thing", "-k", "2", "-c", worded)
    assert ran.code == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.split()[:2] == ["1", "100%"]
    assert first.endswith("red.png")
    assert second.split()[:2] == ["2", "75.00%"]
    facts = json.loads(cli("search", "text:red", "-k", "1", "-c", worded, "--json").out)
    assert facts["percentile"] == 100
    assert facts["score"] < 0.9


def test_words_and_an_image_minus_words(cli: Cli, worded: str, photos: Path) -> None:
    ran = cli("search", str(photos / "red.png"), "text:blue", "-k", "1", "-c", worded)
    assert ran.out.rstrip().endswith("violet.png")
    ran = cli("search", "text:violet", "--minus", "text:blue", "-k", "1", "-c", worded, "--where", "width > 1")
    assert ran.out.rstrip().endswith("red.png")


def test_a_text_that_is_too_long_is_cut_and_said(cli: Cli, worded: str) -> None:
    ran = cli("search", "text:" + "red " * 30, "-k", "1", "-c", worded)
    assert ran.code == 0
    assert "too long for colours: only its beginning counts" in ran.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["text:red", "--relations"], "no pixels"),
        (["text:red", "--by", "copy"], "words say nothing about copies"),
        (["text:"], "no words follow"),
        (["text:red", "--region", "0,0,1,1"], "no regions"),
        (["text:red", "--parts"], "no pixels"),
        (["text:red", "--min-score", "90%"], "no pixels"),
    ],
)
def test_what_words_cannot_do_is_one_sentence(cli: Cli, worded: str, words: list[str], sentence: str) -> None:
    ran = cli("search", *words, "-c", worded)
    assert ran.code in (1, 2)
    assert sentence in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


def test_a_collection_without_words_says_which_command_adds_them(cli: Cli, tmp_path: Path, photos: Path) -> None:
    assert cli("index", str(photos), "-c", str(tmp_path / "plain")).code == 0
    ran = cli("search", "text:red", "-c", str(tmp_path / "plain"))
    assert ran.code == 1
    assert "lookalike models add clip" in ran.err
    assert cli("label", "--names", "red", "-c", str(tmp_path / "plain")).code == 1


def test_a_model_for_words_is_added_to_a_collection(cli: Cli, tmp_path: Path, photos: Path) -> None:
    collection, model = str(tmp_path / "plain"), write_words_model(tmp_path / "words")
    assert cli("index", str(photos), "-c", collection).code == 0
    assert cli("index", "-c", collection, "--add").code == 2
    ran = cli("index", "-c", collection, "--model", str(model))
    assert (ran.code, "--add" in ran.err) == (1, True), ran.err
    ran = cli("index", "-c", collection, "--model", str(model), "--add")
    assert ran.code == 0, ran.err
    assert f"words: {len(COLOURS)} images embedded" in ran.err

    ran = cli("search", "text:red", "-k", "1", "-c", collection)
    assert ran.out.rstrip().endswith("red.png")
    assert "searched by words" in ran.err
    assert "searched by" not in cli("search", str(photos / "red.png"), "-c", collection).err
    ran = cli("search", str(photos / "red.png"), "--by", "words", "-k", "2", "-c", collection, "--json", "--relations")
    facts = [json.loads(line) for line in ran.out.splitlines()]
    assert [fact["model"] for fact in facts] == ["words"] * 2
    assert facts[0]["verdict"]["relation"] == "identical"
    assert cli("label", "--names", "red, blue", "-c", collection).code == 0

    (photos / "more.png").write_bytes((photos / "red.png").read_bytes() + b"x")  # it is remembered
    assert "words: 1 image embedded" in cli("index", "-c", collection).err
    (facts,) = json.loads(cli("info", "-c", collection, "--json").out)["added_models"]
    assert (facts["name"], facts["images"], facts["words"]) == ("words", len(COLOURS) + 1, True)
    assert "words, 4 numbers per image" in cli("info", "-c", collection).out
    assert cli("remove", "--model", "wrods", "-c", collection).code == 1
    assert cli("remove", "--model", "words", "-c", collection).code == 0
    assert cli("search", "text:red", "-c", collection).code == 1


def test_a_model_is_added_with_the_first_index_of_a_collection(cli: Cli, tmp_path: Path, photos: Path) -> None:
    collection, model = str(tmp_path / "both"), write_words_model(tmp_path / "words")
    ran = cli("index", str(photos), "-c", collection, "--model", str(model), "--add")
    assert ran.code == 0, ran.err
    assert cli("search", "text:green", "-k", "1", "-c", collection).out.rstrip().endswith("green.png")
    ran = cli("index", str(tmp_path / "nothing"), "-c", str(tmp_path / "none"), "--model", str(model), "--add")
    assert ran.code == 1
    assert not (tmp_path / "none").exists()


def test_images_are_named_by_words(cli: Cli, worded: str, tmp_path: Path) -> None:
    ran = cli("label", "--names", "red, blue, neither", "--min-confidence", "0.5", "-c", worded)
    assert ran.code == 0, ran.err
    by_id = {line.split()[-1].split("/")[-1]: line.rsplit("  ", 2)[0] for line in ran.out.splitlines()}
    assert len(by_id) == len(COLOURS)
    assert by_id["red.png"] == "red"
    assert by_id["blue.png"] == "blue"
    assert "not calibrated" in ran.err
    table = tmp_path / "names.csv"
    assert cli("label", "--names", "red", "--template", "so {}", "-o", str(table), "-c", worded).code == 0
    assert "label" in table.read_text().splitlines()[0]


def test_names_do_not_combine_with_other_labels(cli: Cli, worded: str) -> None:
    assert cli("label", "--names", "red", "--spread", "-c", worded).code == 2
    assert cli("label", "--names", "red", "--plot", "x.png", "-c", worded).code == 2
    assert cli("label", "--template", "so {}", "-c", worded).code == 2
