"""Mistyped values end with exit status 2, before anything is read; help texts name every value."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from scripts.write_help import help_of

from lookalike.cli.main import app
from tests.cli.conftest import Cli

# Malformed values by verb and option; the arguments of the verb come first and do not exist.
FIGURE = {"--plot": "x.txt"}
RATES = {"--seed": "-1", "--sample": "2"}
TRAIN: dict[str, str] = {"--side": "5", "--epochs": "0", "--batch": "1", "--rate": "nan", "--seed": "-1"}
TRAIN |= {"--device": "gpu", "--objective": "none-such", "--set": "epochs"}
MALFORMED: dict[str, dict[str, str]] = {
    "benchmark x": RATES | {"--edits": "none-such", "--gallery": "2", "--ray": "head"},
    "calibrate": FIGURE | {"--sample": "19"},
    "cluster": {"--levels": "0", "--method": "k", "--table": "xls", "--tree": "hard", "--seeds": "0", "--seed": "-1"}
    | {"--ray": "head"},
    "compare a b": FIGURE,
    "duplicates": {"--keep": "foo", "--min-score": "2", "--probability": "0", "--apply": "delete"} | {"--ray": "head"},
    "embed x -o x.npy": {"--output": "x.txt", "--device": "gpu"},
    "evaluate m t": {"--k": "0,1", "--seed": "x", "--together": "group", "--ray": "head"},
    "find-in x": FIGURE | {"--limit": "0"},
    "index x": {
        "--frames": "0",
        "--workers": "0",
        "--max-pixels": "0",
        "--max-bytes": "-1",
        "--ray": "head",
        "--gpus-per-worker": "-1",
        "--device": "gpu",
    },
    "label": FIGURE | {"--min-confidence": "1.5", "--output": "x.txt", "--names": ", none", "--template": "a photo"},
    "map": {"--output": "m.txt"},
    "models add m --onnx x": {
        "--size": "0",
        "--mean": "1,2",
        "--std": "0,1,1",
        "--resize": "stretch",
        "--parts": "words",
    },
    "mcp": {"--device": "gpu"},
    "models add m": {"--from": "hub:x"},
    "models add clip": {"--precision": "fp99"},
    "optimize": {"--ray": "head"},
    "outliers": FIGURE | {"-k": "0", "--output": "x.txt"},
    "remove": {"--column": "width"},
    "representatives": FIGURE | {"-k": "0"},
    "search x": FIGURE
    | {"-k": "0", "--region": "1,2", "--min-score": "much", "--verify": "0", "--diversity": "nan"}
    | {"--recall": "0", "--device": "gpu"},
    "serve": {"--port": "0", "--workers": "0", "--rate": "inf", "--max-megabytes": "0", "--max-megapixels": "0"}
    | {"--allow-host": "https://x.example/", "--trust-proxy": "300.1.1.1", "--device": "gpu"}
    | {"--ray": "ray://head:10001", "--shards": "0", "--replicas": "0"},
    "split": {"--output": "x.txt", "--test": "2", "--val": "-1", "--seed": "-1", "--min-score": "2", "--labels": "all"},
    "train autoencoder s -o x": TRAIN | {"--code": "1"},
    "train similarity s -o x": TRAIN
    | {"--side": "-1", "--dim": "-1", "--from": "tags", "--train": "tail", "--augment": "none-such"},
    "verify x": FIGURE | {"--min": "2"},
}
MORE = [
    ("search x", "--min-score", "7"), ("search x", "--min-score", "190%"), ("search x", "--region", "0,0,2,1"),
    ("search x", "--region", "0,0,nan,1"), ("search x", "--min-score", "nan"), ("cluster", "--levels", "8,,64"),
    ("duplicates", "--apply", "move:"), ("duplicates", "--keep", "in:"), ("embed x", "--output", "x"),
    ("benchmark x", "--edits", ","), ("train similarity s -o x", "--set", "metric=none"), ("map", "--output", "m"),
]  # fmt: skip
# Any text can be right, or what it names is missing, which is a failure.
FREE = {
    "--collection", "--model", "--against", "--root", "--config", "--minus", "--inside", "--host", "--token-file",
    "--root-path", "--journal", "--not-a-copy", "--keep-both", "--keep-this", "--forget-this", "--forget",
    "--decisions", "--found-at", "--reference", "--page", "--csv", "--report",
    "--onnx", "--license", "--alike", "--copy",
}  # fmt: skip
FREE_FOLDERS = {
    "benchmark",
    "cluster",
    "demo",
    "evaluate",
    "models add",
    "train autoencoder",
    "train similarity",
}  # of --output
WITH_DATA = {("search", "--where"), ("duplicates", "--where"), ("evaluate", "--by"), ("search", "--by")}  # tested below


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))
TABLE = [(verb, option, value) for verb, values in MALFORMED.items() for option, value in values.items()] + MORE


def verb_of(words: str) -> str:
    return next(name for name in sorted(COMMANDS, key=len, reverse=True) if f"{words} ".startswith(f"{name} "))


def test_every_option_with_a_value_is_in_the_table() -> None:
    tested = {(verb_of(words), option) for words, option, _ in TABLE} | WITH_DATA
    for verb, command in COMMANDS.items():
        for parameter in command.params:
            names = set(parameter.opts)
            free = names & FREE or ("--output" in names and verb in FREE_FOLDERS)
            if parameter.param_type_name == "option" and not parameter.is_flag and not free:
                assert any((verb, name) in tested for name in names), f"lookalike {verb} {parameter.opts[0]}"


@pytest.mark.parametrize(("words", "option", "value"), TABLE)
def test_a_malformed_value_is_a_usage_error(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, option: str, value: str
) -> None:
    if words.startswith("train"):
        pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")
    monkeypatch.chdir(tmp_path)
    ran = cli(*words.split(), option, value)
    assert ran.code == 2, ran.err
    assert option.strip("-") in ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("condition", ["nonsense <", "", "wdith > 3", "width > 'a'"])
@pytest.mark.parametrize("verb", ["search", "duplicates"])
def test_a_malformed_condition_is_a_usage_error(cli: Cli, photos: Path, verb: str, condition: str) -> None:
    assert cli("index", photos).code == 0
    ran = cli(verb, *[photos / "red.png"] * (verb == "search"), "--where", condition)
    assert (ran.code, "--where" in ran.err) == (2, True), ran.err


def test_an_unknown_part_or_model_is_a_usage_error(cli: Cli, photos: Path) -> None:
    assert cli("index", photos).code == 0
    ran = cli("search", photos / "red.png", "--by", "copies")
    assert (ran.code, "--by" in ran.err, "nearest: copy" in ran.err) == (2, True, True), ran.err


def test_an_unknown_column_of_the_truth_is_a_usage_error(cli: Cli, photos: Path) -> None:
    (photos / "truth.csv").write_text("path,label\n" + "".join(f"{p.name},x\n" for p in photos.glob("*.png")))
    ran = cli("evaluate", "efficientnet-lite0", photos / "truth.csv", "--by", "camera")
    assert (ran.code, "--by" in ran.err) == (2, True), ran.err


@pytest.mark.parametrize(
    "words",
    [
        "remove", "duplicates --journal j.jsonl", "duplicates --found-at now", "duplicates --last --quick",
        "duplicates --forget-this a --apply trash", "cluster --tree links", "label -o x.csv",
        "label --spread --suspects", "search - -", "search a --region 0,0,1,1 --region 0,0,1,1",
        "serve --read-only --allow-apply", "serve --shards 2", "split x -c y", "split --test .9 --val .9",
        "search a b --parts", "search a --parts --relations", "search a --parts --by copy", "models add m --alike a",
        "models add none-such", "models add m --from hub:a/b --onnx x", "models add clip --mean 1,1,1",
        "models add m --onnx x --precision int8", "models add hub:a", "models add hub:a/b --alike x --copy y",
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_a_usage_error(cli: Cli, photos: Path, words: str) -> None:
    if "--last" in words:
        assert cli("index", photos).code == 0
    assert cli(*words.split()).code == 2


# "<str>", "[[SOURCE]...]", "{A}", "QUERY......"
RAW = re.compile(r"<[a-z][\w ]*(\[.*\])?>|\[\[|\]\.\.\.\]|[{}]|\.{4}")


@pytest.mark.parametrize("verb", ["", "train", *COMMANDS])
def test_help_shows_no_raw_type_names(verb: str) -> None:
    assert not RAW.search(help_of(verb)), verb


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_value_has_a_name(verb: str) -> None:
    for parameter in COMMANDS[verb].params:
        if not getattr(parameter, "is_flag", False):
            assert parameter.metavar, parameter.name
