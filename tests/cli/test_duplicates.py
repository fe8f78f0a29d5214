"""lookalike duplicates and lookalike undo, as a person types them; with the default model and a collection on disk."""

import base64
import csv
import io
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.duplicates import Decisions
from lookalike.duplicates.review.saved_groups import DUPLICATES
from lookalike.errors import StoreFailed
from lookalike.search import open_collection
from lookalike.search.saved_results import save_result, saved_result
from tests.cli.conftest import Cli
from tests.duplicates.conftest import trash
from tests.duplicates.pictures import save, scene

__all__ = ["trash"]
SURE = ("--probability", "0.5")  # how sure one may be of a small made picture is not the question here
UGLY = "<b>\u202e&\"'日本\n.jpg"


@pytest.fixture
def indexed(cli: Cli, tmp_path: Path) -> Path:
    """Four scenes; a smaller copy of the first, ugly by name; a mirrored one of the second; a twin of the third."""
    folder = tmp_path / "photos"
    for seed in range(1, 5):
        save(scene(seed, size=(256, 192)), folder / f"scene{seed}.png")
    save(scene(1, size=(256, 192)), folder / UGLY, scale=0.7)
    save(np.ascontiguousarray(scene(2, size=(256, 192))[:, ::-1]), folder / "mirror.jpg")
    shutil.copy2(folder / "scene3.png", folder / "scene3 copy.png")
    assert cli("index", folder).code == 0
    return folder


def lines(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def names(out: str) -> dict[str, list[str]]:
    """{kept: extras} of what --json printed."""
    groups = [line for line in lines(out) if "group" in line]
    return {
        os.path.basename(g["keep"]["path"]): [os.path.basename(e["path"]) for e in g["extras"]]  # type: ignore[index, attr-defined]
        for g in groups
    }


EXPECTED = {"scene1.png": [UGLY], "scene2.png": ["mirror.jpg"], "scene3.png": ["scene3 copy.png"]}


def test_a_dry_run_tells_all_and_touches_nothing(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    before = sorted(p.name for p in indexed.iterdir())
    ran = cli("duplicates", *SURE, "--json", "--csv", tmp_path / "d.csv", "--page", tmp_path / "d.html")
    assert ran.code == 0, ran.err
    assert names(ran.out) == EXPECTED
    assert f"no file was changed; review {tmp_path / 'd.html'}" in ran.err
    first = lines(ran.out)[0]
    assert list(first) == ["group", "keep", "extras"]
    assert list(first["keep"]) == [  # type: ignore[call-overload]
        "id", "reference", "path", "width", "height", "size", "format", "mtime_ns", "sha256"
    ]  # fmt: skip
    assert list(first["extras"][0]) == [  # type: ignore[index]
        "id", "relation", "probability", "score", "words", "changes", "reason", "unsure", "left", "companions",
        "path", "width", "height", "size", "format", "mtime_ns", "sha256",
    ]  # fmt: skip
    kinds = [{c["kind"] for c in extra["changes"]} for line in lines(ran.out) for extra in line["extras"]]  # type: ignore[attr-defined]
    assert any("mirror" in each for each in kinds)
    with (tmp_path / "d.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["role"]) for row in rows] == [(str(n), r) for n in (1, 2, 3) for r in ("keep", "extra")]
    assert sorted(p.name for p in indexed.iterdir()) == before
    human = cli("duplicates", *SURE)
    assert re.search(r"mirror\.jpg  \(\d\d\.\d%: .*mirrored.*; the kept image ", human.out), human.out
    assert len(human.out.splitlines()) == 6


def test_the_page_of_a_partial_search_shows_a_command_with_the_same_options(
    cli: Cli, indexed: Path, tmp_path: Path
) -> None:
    options = ["--keep", "smallest", "--reference", str(indexed), "--min-score", "0.5", "--probability", "0.5"]
    options += ["--where", "width > 10", "--quick", "--no-turned"]
    assert cli("duplicates", *options, "--page", tmp_path / "d.html").code == 0
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    (commands,) = re.findall(r'<script type="application/json" id="commands">(.*)</script>', page)
    apply = shlex.split(json.loads(commands)[1])
    assert [word for word in apply if word in options] == options
    assert "--last" not in apply


def test_the_minimum_probability_is_the_one_that_was_typed(cli: Cli, indexed: Path) -> None:
    groups = [group for group in lines(cli("duplicates", *SURE, "--json").out) if "group" in group]
    sure = {float(extra["probability"]) for group in groups for extra in group["extras"]}  # type: ignore[attr-defined]
    assert max(sure) == 1  # of the same bytes
    assert min(sure) < 1
    assert names(cli("duplicates", "--probability", 1, "--json").out) == {"scene3.png": ["scene3 copy.png"]}


def test_what_was_found_is_there_for_the_page_of_the_server(cli: Cli, indexed: Path) -> None:
    def read_saved() -> dict[str, object] | None:
        with open_collection(None, create=False, read_only=True) as photos:
            return saved_result(photos, DUPLICATES)

    assert cli("duplicates", *SURE, "--where", "width > 10").code == 0
    assert read_saved() is None  # of a part, not of the whole
    assert cli("duplicates", *SURE).code == 0
    result = read_saved()
    assert result is not None
    assert len(result["groups"]) == 3  # type: ignore[arg-type]


def test_a_search_without_write_permission_prints_its_groups(
    cli: Cli, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreFailed("the collection cannot be written to (read-only file system)")

    monkeypatch.setattr("lookalike.duplicates.review.saved_groups.save_duplicates", refused)
    ran = cli("duplicates", *SURE, "--json")
    assert (ran.code, names(ran.out)) == (0, EXPECTED)
    assert "the groups were not saved for lookalike serve: the collection cannot be written to" in ran.err


def test_the_page_needs_nothing_else_and_survives_ugly_names(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    assert cli("duplicates", *SURE, "--page", tmp_path / "d.html").code == 0
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    (result,) = re.findall(r'<script type="application/json" id="groups">(.*)</script>', page)
    groups = json.loads(result)
    assert [len(group["extras"]) for group in groups] == [1, 1, 1]
    assert [kind for group in groups for extra in group["extras"] for kind in extra["kinds"]] == [
        "resized", "turned", "identical",
    ]  # fmt: skip
    pictures = re.findall(r'<script type="text/plain" id="pictures-\d">(\S+) (\S+)</script>', page)
    assert len(pictures) == 3
    assert all(base64.b64decode(jpeg).startswith(b"\xff\xd8") for pair in pictures for jpeg in pair)
    assert not re.search(r'(src|href)="(?!data:|file://)', page)
    assert "<b>" not in page
    assert "\u202e" not in page, "a name turns the text around"
    assert "__" not in page.replace("__proto__", "")


def test_only_accepted_extras_are_removed_and_the_page_shows_the_command(
    cli: Cli, indexed: Path, tmp_path: Path, trash: Path
) -> None:
    nobody = cli("duplicates", "--last", "--json")
    assert (nobody.code, nobody.out) == (1, "")
    assert "leave --last out" in nobody.err
    assert cli("duplicates", *SURE, "--page", tmp_path / "d.html").code == 0
    assert names(cli("duplicates", "--last", "--json").out) == EXPECTED
    assert cli("duplicates", "--last", "--accepted-only", "--json").out == ""
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    (result,) = re.findall(r'<script type="application/json" id="commands">(.*)</script>', page)
    take, apply = (shlex.split(command) for command in json.loads(result))
    with open_collection(None, create=False, read_only=True) as photos:
        (row,) = photos.get(["photos/scene2.png"], ["sha256"])
        (other,) = photos.get(["photos/mirror.jpg"], ["sha256"])
    assert row is not None
    assert other is not None
    line = {"first": row.metadata["sha256"], "second": other.metadata["sha256"], "verdict": "copy"}
    (tmp_path / take[-1]).write_text(json.dumps(line))
    assert cli(*take[1:-1], tmp_path / take[-1]).code == 0
    assert names(cli("duplicates", "--last", "--accepted-only", "--json").out) == {"scene2.png": ["mirror.jpg"]}
    journal = tmp_path / apply[-1]
    ran = cli(*apply[1:-1], journal)
    assert ran.code == 0, ran.err
    assert not (indexed / "mirror.jpg").exists()
    assert len(list((trash / "files").iterdir())) == 1
    assert cli("undo", journal).code == 0
    assert (indexed / "mirror.jpg").exists()
    assert cli("duplicates", *SURE, "--keep", "smallest").code == 0  # it keeps another one of each
    with open_collection(None, create=False) as photos:  # in the same second, perhaps
        save_result(
            photos, DUPLICATES, {**(saved_result(photos, DUPLICATES) or {}), "when": "2026-02-01T12:00:00+00:00"}
        )
    later = cli(*apply[1:-1], tmp_path / "second.jsonl")
    assert (later.code, later.out) == (1, "")
    assert "were replaced by a search at" in later.err
    assert (indexed / "mirror.jpg").exists()
    assert cli("duplicates", "--found-at", "x").code == 2
    odd = cli("duplicates", "--last", "--where", "width > 1")
    assert odd.code == 2
    assert "it uses the groups of the last search, so --where has no effect" in odd.err


def test_a_group_of_which_another_is_to_be_kept_waits(cli: Cli, indexed: Path) -> None:
    assert cli("duplicates", *SURE).code == 0
    with open_collection(None, create=False) as photos:
        Decisions(photos).decide_ids([("photos/scene2.png", "photos/mirror.jpg", "copy")])
        assert Decisions(photos).by_pair()
    assert len(lines(cli("duplicates", "--last", "--accepted-only", "--json").out)) == 1
    assert cli("duplicates", "--keep-this", indexed / "mirror.jpg").code == 0
    assert cli("duplicates", "--last", "--accepted-only", "--json").out == ""


def test_a_user_chooses_the_image_to_keep(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    smaller = indexed / UGLY
    chosen = cli("duplicates", "--keep-this", smaller)
    assert (chosen.code, chosen.out) == (0, "")
    assert "is always kept before its copies" in chosen.err
    ran = cli("duplicates", *SURE, "--json")
    assert names(ran.out)[UGLY] == ["scene1.png"]
    assert "was chosen by you" in ran.out
    (line,) = lines(cli("duplicates", "--list-decisions").out)
    assert set(line) == {"keep", "name", "when"}
    assert "choice removed" in cli("duplicates", "--forget-this", smaller).err
    assert names(cli("duplicates", *SURE, "--json").out) == EXPECTED
    (tmp_path / "saved.jsonl").write_text(json.dumps(line) + "\n")
    assert "1 decision imported" in cli("duplicates", "--decisions", tmp_path / "saved.jsonl").err
    assert names(cli("duplicates", *SURE, "--json").out)[UGLY] == ["scene1.png"]
    for nothing in (tmp_path / "nobody.jpg", indexed, ""):
        assert cli("duplicates", "--keep-this", nothing).code == 1
    both = cli("duplicates", "--keep-this", smaller, "--apply", "trash")
    assert (both.code, both.out) == (2, "")
    assert "cannot be combined" in both.err


def test_apply_and_undo(cli: Cli, indexed: Path, tmp_path: Path, trash: Path) -> None:
    before = {p.name: p.read_bytes() for p in indexed.iterdir()}
    journal = tmp_path / "j.jsonl"
    ran = cli("duplicates", *SURE, "--apply", "trash", "--journal", journal, "--json")
    assert ran.code == 0, ran.err
    assert [line["done"] for line in lines(ran.out) if "done" in line] == [True, True, True]
    assert sorted(p.name for p in indexed.iterdir()) == [f"scene{n}.png" for n in range(1, 5)]
    assert len(list((trash / "files").iterdir())) == 3
    back = cli("undo", journal)
    assert (back.code, len(back.out.splitlines())) == (0, 3), back.err
    assert {p.name: p.read_bytes() for p in indexed.iterdir()} == before
    again = cli("undo", journal, "--json")
    assert (again.code, again.out) == (0, "")
    assert "j.jsonl has already been undone; 3 files were restored then" in again.err


def test_companions_are_listed_first_and_move_along(cli: Cli, indexed: Path, tmp_path: Path, trash: Path) -> None:
    beside = ("mirror.MOV", "mirror.jpg.xmp", "mirror.xmp")
    for name in (*beside, "scene2.xmp", "mirror.txt"):
        (indexed / name).write_bytes(name.encode())
    before = sorted(p.name for p in indexed.iterdir())
    paths = [str(indexed / name) for name in beside]
    ran = cli("duplicates", *SURE, "--csv", tmp_path / "d.csv", "--page", tmp_path / "d.html")
    assert "; with mirror.MOV, mirror.jpg.xmp, mirror.xmp)" in ran.out
    assert "3 companions (live photos' videos, sidecars)" in ran.err
    assert '"companions": ["mirror.MOV", "mirror.jpg.xmp", "mirror.xmp"]' in (tmp_path / "d.html").read_text()
    with (tmp_path / "d.csv").open(newline="", encoding="utf-8") as file:
        assert [row["companions"].split("\n") for row in csv.DictReader(file) if row["companions"]] == [paths]
    ran = cli("duplicates", *SURE, "--json", "--apply", "trash", "--journal", tmp_path / "j.jsonl")
    result = [extra["companions"] for group in lines(ran.out) for extra in group.get("extras", ())]  # type: ignore[attr-defined]
    done = {os.path.basename(str(one["path"])): one["companions"] for one in lines(ran.out) if "done" in one}
    assert sorted(result) == sorted(done.values()) == [[], [], paths]  # type: ignore[type-var]
    assert done["mirror.jpg"] == paths
    assert "3 files and 3 companions" in ran.err
    assert not any((indexed / name).exists() for name in beside)
    assert cli("undo", tmp_path / "j.jsonl").code == 0
    assert sorted(p.name for p in indexed.iterdir()) == before


@pytest.mark.parametrize("kind", ["trash", "move", "hardlink"])
def test_the_file_is_kept_and_a_link_to_one_elsewhere_is_left(cli: Cli, tmp_path: Path, trash: Path, kind: str) -> None:
    folder = tmp_path / "photos"
    elsewhere = save(scene(1, size=(256, 192)), tmp_path / "real/05.png")
    folder.mkdir()
    (folder / "a.png").symlink_to(elsewhere)
    for name in ("the wall.png", "the wall, once more.png"):
        shutil.copy2(elsewhere, folder / name)
    assert cli("index", folder).code == 0
    action = f"move:{tmp_path / 'away'}" if kind == "move" else kind
    ran = cli("duplicates", *SURE, "--apply", action, "--journal", tmp_path / "j", "--json")
    result = lines(ran.out)[0]
    assert os.path.basename(result["keep"]["path"]) == "the wall.png"  # type: ignore[index]
    assert {e["reason"] for e in result["extras"]} >= {"is a file, not a link"}  # type: ignore[index, attr-defined]
    assert "a.png" in ran.out.split('"done": false')[-2]
    assert (folder / "a.png").is_symlink()
    assert (folder / "the wall.png").read_bytes() == elsewhere.read_bytes()
    assert cli("undo", tmp_path / "j").code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["a.png", "the wall, once more.png", "the wall.png"]


def test_a_wrong_decision_is_told_with_its_file_and_line(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    good = json.dumps({"first": "a" * 64, "second": "b" * 64, "verdict": "keep-both"})
    for wrong in ("{not json", "[1]", '{"first": "a"}', good.replace("keep-both", "keep-bot")):
        file.write_text(f"{good}\n\n{wrong}\n")
        ran = cli("duplicates", "--decisions", file)
        assert (ran.code, f"{file}, line 3" in ran.err) == (1, True), ran.err
    file.write_text(f"[{good}, {{}}]")
    assert f"{file}, decision 2" in cli("duplicates", "--decisions", file).err
    assert cli("duplicates", "--list-decisions").out == ""


def test_applying_twice_does_not_go_on_to_the_kept_ones(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    assert cli("duplicates", *SURE, "--apply", f"move:{tmp_path / 'away'}", "--journal", tmp_path / "1").code == 0
    ran = cli("duplicates", *SURE, "--apply", f"move:{tmp_path / 'away'}", "--journal", tmp_path / "2")
    assert ran.code == 0
    assert "3 images left out" in ran.err
    assert "no files to remove" in ran.err
    assert len(list(indexed.iterdir())) == 4
    assert "3 removed" in cli("index").err


def test_decisions_by_option_by_page_and_on_stdin(
    cli: Cli, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = cli("duplicates", "--not-a-copy", indexed / "scene2.png", indexed / "mirror.jpg")
    assert (ran.code, "not-a-copy" in ran.err) == (0, True)
    ran = cli("duplicates", "--keep-both", indexed / "scene3.png", "photos/scene3 copy.png", "--list-decisions")
    assert [line["verdict"] for line in lines(ran.out)] in (["not-a-copy", "keep-both"], ["keep-both", "not-a-copy"])
    ran = cli("duplicates", *SURE, "--json")
    assert list(names(ran.out)) == ["scene1.png"]
    assert "2 pairs left out because of your decisions" in ran.err
    saved = cli("duplicates", "--list-decisions").out
    cli("duplicates", "--forget", indexed / "mirror.jpg", indexed / "scene2.png")
    cli("duplicates", "--forget", indexed / "scene3.png", indexed / "scene3 copy.png")
    assert names(cli("duplicates", *SURE, "--json").out) == EXPECTED
    (tmp_path / "decisions.jsonl").write_text(saved, encoding="utf-8")
    assert "2 decisions imported" in cli("duplicates", "--decisions", tmp_path / "decisions.jsonl").err
    monkeypatch.setattr(sys, "stdin", io.StringIO(saved))
    assert "2 decisions imported" in cli("duplicates", "--decisions", "-").err
    assert list(names(cli("duplicates", *SURE, "--json").out)) == ["scene1.png"]


def test_against_a_folder_or_a_collection(cli: Cli, indexed: Path, tmp_path: Path) -> None:
    save(scene(4, size=(256, 192)), tmp_path / "masters/m.jpg", quality=80)
    for named in (tmp_path / "masters", tmp_path / "other"):
        ran = cli("duplicates", *SURE, "--against", named, "--json", "--page", tmp_path / "d.html")
        assert names(ran.out) == {"m.jpg": ["scene4.png"]}, ran.err
        page = (tmp_path / "d.html").read_text(encoding="utf-8")
        assert re.search(r'id="pictures-0">/9j\S+ /9j\S+<', page), "the master has no picture"
        cli("index", tmp_path / "masters", "-c", tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "bigest"], "nearest: "),
        (["--reference", "/nowhere"], "reference folder /nowhere does not exist"),
        (["--against", "/nowhere"], "neither a collection nor a folder"),
        (["--apply", "shred"], "nearest: "),
        (["--journal", "j"], "--journal: without --apply no file is touched"),
        (["--decisions", "/nowhere"], "cannot be read"),
        (["--not-a-copy", "/x", "/y"], "is not an image of"),
    ],
)
def test_mistakes_end_with_a_sentence(cli: Cli, indexed: Path, options: list[str], message: str) -> None:
    ran = cli("duplicates", *options)
    assert (ran.code, ran.out) == (2 if {"--keep", "--apply", "--journal"} & set(options) else 1, "")
    assert message in ran.err


def test_undo_of_something_else(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}\n")
    ran = cli("undo", tmp_path / "x")
    assert (ran.code, "is not a journal" in ran.err) == (1, True)


def test_a_read_only_collection_is_searched(cli: Cli, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., bool] = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **o: False if mode == os.W_OK else real(path, mode, **o))
    assert names(cli("duplicates", *SURE, "--json").out) == EXPECTED
