"""lookalike evaluate and benchmark as a person types them, with the model that ships."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.embed import DEFAULT_MODEL
from tests.cli.conftest import Cli
from tests.conftest import COLOURS

MODEL = DEFAULT_MODEL


@pytest.fixture
def truth(photos: Path, write: Callable[..., Path]) -> Path:
    """A second image of each color as its query."""
    lines = ["path,label,role,kind"]
    for n, name in enumerate(COLOURS):
        write(f"queries/{name}.jpg", name, seed=50 + n, form="JPEG")
        lines += [f"{name}.png,{name},gallery,", f"queries/{name}.jpg,{name},query,{'even' if n % 2 else 'odd'}"]
    path = photos / "truth.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_table_on_stdout_and_files_in_the_folder(cli: Cli, truth: Path, tmp_path: Path) -> None:
    (truth.parent / "red.png").write_bytes(b"bad")
    ran = cli("evaluate", MODEL, truth, "-o", tmp_path / "run", "-k", "1,3", "--by", "kind")
    assert ran.code == 0
    head, first, *_ = ran.out.splitlines()
    assert head.split() == ["figure", MODEL, "95%", "interval"]
    assert first.split()[0] == "recall@1"
    assert "recall@3" in ran.out
    assert "recall@5" not in ran.out
    assert [line.split()[:2] for line in ran.out.splitlines() if line.startswith(("even", "odd"))] == [
        ["even", "2"],
        ["odd", "3"],
    ]
    assert "red.png" in ran.err
    assert "4 queries with a right answer, 1 queries without, 4 gallery images" in ran.err
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        "report.json",
        "report.md",
        "figures.png",
        "vectors",
    }


def test_json_is_one_object(cli: Cli, truth: Path) -> None:
    ran = cli("evaluate", MODEL, truth, "--against", MODEL, "--json")
    (line,) = ran.out.splitlines()
    report = json.loads(line)
    assert [model["model"] for model in report["models"]] == [MODEL, MODEL]
    assert report["differences"]["mAP"]["difference"] == 0
    assert report["differences"]["mAP"]["more_than_chance"] is False
    assert report["counts"]["queries with a right answer"] == 5


def test_figures_that_any_model_gets_come_with_a_warning(cli: Cli, photos: Path) -> None:
    (photos / "one.csv").write_text("path,label\nred.png,a\nblue.png,a\ngreen.png,a\n")
    ran = cli("evaluate", MODEL, photos / "one.csv", "--json")
    assert json.loads(ran.out)["warning"].startswith("every image has the same label")
    assert "warning: every image has the same label" in ran.err
    (photos / "two.csv").write_text("path,label\nred.png,a\nblue.png,a\ngreen.png,b\n")
    assert "warning" not in cli("evaluate", MODEL, photos / "two.csv").err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nosuch", "truth.csv"], "no model is called 'nosuch'"),
        ([MODEL, "nowhere.csv"], "no such file or folder"),
        ([MODEL, "truth.csv", "-k", "one"], "-k: 'one' is not understood; give whole numbers"),
        ([MODEL, "truth.csv", "-k", "0"], "-k: '0' is not understood; give whole numbers"),
        ([MODEL, "truth.csv", "--by", "knd"], "no column 'knd' to break down by; nearest: kind"),
        ([MODEL, "truth.csv", "--together", "lable"], "--together: 'lable' is not known; nearest: label"),
    ],
)
def test_a_mistake_is_one_sentence(
    cli: Cli, truth: Path, args: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(truth.parent)
    ran = cli("evaluate", *args)
    assert (ran.code, ran.out) == (2 if len(args) > 2 else 1, "")
    assert message in " ".join(ran.err.split())


def test_benchmark_recommends(cli: Cli, photos: Path, tmp_path: Path) -> None:
    ran = cli("benchmark", photos, "--edits", "flip,jpeg", "--sample", 5, "-o", tmp_path / "b")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == [MODEL]
    assert [line[0] for line in lines[2:]] == ["flip", "jpeg", "all"]
    assert "recommended: --model" in ran.err or "no score is safe" in ran.err
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"benchmark.json", "benchmark.png"}


def test_benchmark_as_json(cli: Cli, photos: Path) -> None:
    ran = cli("benchmark", photos, "--edits", "flip", "--sample", 5, "--json")
    (line,) = ran.out.splitlines()
    result = json.loads(line)
    assert result["recommended"]["model"] == MODEL
    assert (result["sources"], result["held_out"], result["gallery"]) == (5, 1, 4)
    assert len(result["models"][0]["cells"]) == 5
    assert cli("benchmark", photos, "--edits", "flop").code == 2
