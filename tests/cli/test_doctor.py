"""lookalike doctor: one line a check, and the way out of what is not in order."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lookalike.cli import doctor
from lookalike.search import Collection
from tests.cli.conftest import Cli
from tests.conftest import ColourEmbedder
from tests.words_model import write_words_model


def findings(cli: Cli, *words: object) -> dict[str, list[dict[str, str]]]:
    by_check: dict[str, list[dict[str, str]]] = {}
    for line in cli("doctor", "--json", *words).out.splitlines():
        finding = json.loads(line)
        by_check.setdefault(finding["check"], []).append(finding)
    return by_check


def test_all_is_in_order(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("index", photos, "-c", tmp_path / "c").code == 0
    ran = cli("doctor", "-c", tmp_path / "c")
    assert ran.code == 0, ran.out
    assert "WRONG" not in ran.out
    by_check = findings(cli, "-c", tmp_path / "c")
    checks = ("python", "packages", "memory", "decoders", "model", "devices", "collection", "search", "disk")
    assert [check for check in checks if check not in by_check] == []
    assert "5 images" in by_check["collection"][0]["says"]
    assert "images a second" in by_check["model"][0]["says"]


def test_no_collection_is_no_fault_unless_it_is_named(cli: Cli, tmp_path: Path) -> None:
    assert cli("doctor").code == 0
    ran = cli("doctor", "-c", tmp_path / "none")
    assert ran.code == 1
    assert f"begin with: lookalike index FOLDER -c {tmp_path / 'none'}" in ran.out
    assert str(tmp_path / "none") in ran.out.split("begin with")[0]


def test_every_fault_says_its_way_out(cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
    model, place = write_words_model(tmp_path / "words"), tmp_path / "c"
    (photos / "bad.png").write_bytes(b"bad")
    assert cli("index", photos, "-c", place, "--model", model, "--add").code == 0
    with Collection.open(place) as opened:
        opened.added_models.delete(opened.ids()[:2])
    shutil.move(photos, tmp_path / "away")
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "MIN_MEMORY", 1 << 60)
    monkeypatch.setattr(doctor, "MAX_FILES", 0)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("faiss", "torch") else find_spec(name))
    by_check = findings(cli, "-c", place)
    ways_out = {
        "packages": "pip install", "extras": "lookalike[NAME]", "memory": "close other programs",
        "temporary": "free some", "files": "info --failures", "folder": "--prune",
        "data": f"lookalike optimize -c {place}", "disk": "free some",
    }  # fmt: skip
    for check, words in ways_out.items():
        assert words in by_check[check][0]["way_out"], check
    assert by_check["packages"][0]["state"] == "wrong"
    assert "2 images without a vector" in by_check["model"][1]["says"]
    assert cli("doctor", "-c", place).code == 1
    shutil.rmtree(model)
    (broken,) = [one for one in findings(cli, "-c", place)["model"] if one["state"] == "wrong"]
    assert f"remove --model words -c {place}" in broken["way_out"]


def test_a_check_that_fails_does_not_end_the_others(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise RuntimeError("nobody foresaw this")
        yield

    monkeypatch.setattr(doctor, "_decoders", fail)
    by_check = findings(cli)
    assert (by_check["decoders"][0]["state"], "nobody foresaw" in by_check["decoders"][0]["says"]) == ("wrong", True)
    assert by_check["collection"][0]["state"] == "ok"


def test_a_large_collection_without_an_index_is_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lookalike.store.lance import store

    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.add(vectors=[[1.0, 0.0, 0.0]], ids=["a"])
    monkeypatch.setattr(store, "INDEX_ROWS", 1)
    (index,) = findings(cli, "-c", tmp_path / "c")["index"]
    assert cli("doctor", "-c", tmp_path / "c").code == 1  # its model is an object of the test
    assert (index["state"], f"lookalike optimize -c {tmp_path / 'c'}" in index["way_out"]) == ("advice", True)
