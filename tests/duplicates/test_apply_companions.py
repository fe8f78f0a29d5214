"""What belongs to a picture goes with it, or both stay; and undo brings all of it back."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from lookalike.duplicates import Action, ApplyResult, apply_steps, parse_action, plan_steps, undo
from lookalike.duplicates.files import apply as apply_module
from lookalike.duplicates.files.journal import Step
from tests.duplicates.pictures import group

ALONG = ("IMG_1.AAE", "IMG_1.JPG.xmp", "IMG_1.MOV", "IMG_1.jpg.json", "IMG_1.xmp")
OTHERS = ("IMG_10.JPG", "IMG_10.xmp", "IMG_1.txt", "keep.jpg", "keep.xmp")


@pytest.fixture
def laid(tmp_path: Path) -> Path:
    """A live photo with all that belongs to it, the picture that is kept, and what belongs to others."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("IMG_1.JPG", *ALONG, *OTHERS):
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, ns=(10**18, 10**18))
    return folder


@pytest.fixture(params=["trash", "move"])
def action(request: pytest.FixtureRequest, tmp_path: Path, trash: Path) -> Action:
    return parse_action(f"move:{tmp_path / 'away'}" if request.param == "move" else request.param)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(folder: Path, action: Action, *extras: str, before: Callable[[], object] = lambda: None) -> ApplyResult:
    """`before`: what happens between the plan and the deed. The steps go through JSON, as a program may keep them."""
    steps, skipped = plan_steps([group(folder / "keep.jpg", *(folder / n for n in extras or ("IMG_1.JPG",)))], action)
    steps = [Step(**json.loads(json.dumps(asdict(step)))) for step in steps]
    before()
    applied = apply_steps(steps, action, folder.parent / "j.jsonl")
    applied.skipped += skipped
    return applied


def names(steps: list[Step]) -> list[str]:
    return sorted(Path(step.path).name for step in steps)


def test_all_that_belongs_to_a_picture_goes_with_it_and_comes_back(laid: Path, action: Action) -> None:
    before = files(laid)
    applied = run(laid, action)
    assert (names(applied.done), names(applied.companions), applied.skipped) == (["IMG_1.JPG"], sorted(ALONG), [])
    assert applied.moved_bytes == sum(len(before[name]) for name in ("IMG_1.JPG", *ALONG))
    assert sorted(files(laid)) == sorted(OTHERS)
    if action.kind == "move":
        assert files(Path(action.folder) / "photos") == {n: before[n] for n in ("IMG_1.JPG", *ALONG)}
    undone = undo(laid.parent / "j.jsonl")
    assert (len(undone.restored), undone.skipped) == (1 + len(ALONG), [])
    assert files(laid) == before
    assert {os.stat(laid / name).st_mtime_ns for name in before} == {10**18}


def test_a_hard_link_touches_nothing_but_the_picture(laid: Path) -> None:
    (laid / "IMG_1.JPG").write_bytes(b"keep.jpg")
    before = files(laid)
    applied = run(laid, Action("hardlink"))
    assert (names(applied.done), applied.companions, files(laid)) == (["IMG_1.JPG"], [], before)
    assert os.lstat(laid / "IMG_1.MOV").st_nlink == 1


@pytest.mark.parametrize("other", ["IMG_1.NEF", "IMG_1.HEIC", "img_1.png"])
def test_what_belongs_to_a_picture_that_stays_too_stays(laid: Path, action: Action, other: str) -> None:
    (laid / other).write_bytes(b"other")
    assert names(run(laid, action).companions) == ["IMG_1.JPG.xmp", "IMG_1.jpg.json"]
    assert {"IMG_1.MOV", "IMG_1.AAE", "IMG_1.xmp"} <= set(files(laid))


def test_a_name_that_is_taken_gives_all_of_them_another_that_still_belongs_together(laid: Path, tmp_path: Path) -> None:
    away = tmp_path / "away/photos"
    away.mkdir(parents=True)
    for taken in ("IMG_1.MOV", "IMG_1 (2).JPG.xmp"):
        (away / taken).write_bytes(b"mine")
    before = files(laid)
    assert run(laid, parse_action(f"move:{tmp_path / 'away'}")).skipped == []
    moved = {name: data for name, data in files(away).items() if data != b"mine"}
    assert moved == {
        "IMG_1 (3).JPG": b"IMG_1.JPG", "IMG_1 (3).JPG.json": b"IMG_1.jpg.json", "IMG_1 (3).JPG.xmp": b"IMG_1.JPG.xmp",
        "IMG_1 (3).AAE": b"IMG_1.AAE", "IMG_1 (3).MOV": b"IMG_1.MOV", "IMG_1 (3).xmp": b"IMG_1.xmp",
    }  # fmt: skip
    undo(tmp_path / "j.jsonl")
    assert files(laid) == before
    assert set(files(away).values()) == {b"mine"}


def test_pictures_of_one_name_from_two_folders_stay_apart(tmp_path: Path, laid: Path) -> None:
    """They were indexed one by one, so that all go into one folder."""
    other = tmp_path / "b"
    other.mkdir()
    for name in ("IMG_1.JPG", "IMG_1.xmp"):
        (other / name).write_bytes(b"b " + name.encode())
    both = group(laid / "keep.jpg", laid / "IMG_1.JPG", other / "IMG_1.JPG")
    for extra in both.extras:
        extra.metadata["root"] = ""  # type: ignore[index]
    steps, skipped = plan_steps([both], parse_action(f"move:{tmp_path / 'away'}"))
    targets = {os.path.relpath(step.path, tmp_path): os.path.basename(step.target) for step in steps}
    assert skipped == []
    assert (targets["b/IMG_1.JPG"], targets["b/IMG_1.xmp"]) == ("IMG_1 (2).JPG", "IMG_1 (2).xmp")
    assert targets["photos/IMG_1.xmp"] == "IMG_1.xmp"


REFUSED = [*ALONG, "IMG_1.JPG"]


@pytest.mark.parametrize("refused", REFUSED)
def test_where_one_is_refused_all_stay(
    laid: Path, action: Action, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    before, real = files(laid), apply_module._execute

    def touch(step: Step, action: Action) -> str:
        return "cannot be moved (locked)" if step.path.endswith(f"/{refused}") else real(step, action)

    monkeypatch.setattr(apply_module, "_execute", touch)
    applied = run(laid, action, "IMG_1.JPG", "IMG_10.JPG")
    assert (names(applied.done), names(applied.companions)) == (["IMG_10.JPG"], ["IMG_10.xmp"])
    (skipped,) = applied.skipped
    assert (Path(skipped.path).name, "cannot be moved (locked)" in skipped.reason) == ("IMG_1.JPG", True)
    assert refused == "IMG_1.JPG" or f"because its companion {laid / refused} " in skipped.reason
    assert {name: data for name, data in before.items() if "10" not in name} == files(laid)
    assert undo(laid.parent / "j.jsonl").skipped == []
    assert files(laid) == before


@pytest.mark.parametrize("companion", ALONG)
def test_a_companion_that_is_a_link_keeps_its_picture(laid: Path, action: Action, companion: str) -> None:
    (laid / companion).unlink()
    (laid / companion).symlink_to(laid / "keep.xmp")
    before = files(laid)
    applied = run(laid, action)
    assert (applied.done, applied.companions, files(laid)) == ([], [], before)
    assert f"because its companion {laid / companion} is a link to" in applied.skipped[0].reason


@pytest.mark.parametrize("companion", ALONG)
@pytest.mark.parametrize("change", ["longer", "same size and date", "gone", "a folder"])
def test_a_companion_that_changed_since_the_plan_keeps_its_picture(
    laid: Path, action: Action, companion: str, change: str
) -> None:
    file = laid / companion

    def alter() -> None:
        file.unlink()
        if change == "a folder":
            file.mkdir()
        elif change != "gone":
            file.write_bytes(b"longer than it was before" if change == "longer" else companion.swapcase().encode())
            os.utime(file, ns=(10**18, 10**18))

    applied = run(laid, action, before=alter)
    assert (applied.done, applied.companions) == ([], [])
    assert f"stays, because its companion {file} " in applied.skipped[0].reason
    assert set(files(laid)) | {companion} == {"IMG_1.JPG", *ALONG, *OTHERS}


def test_a_target_that_was_taken_since_the_plan_keeps_all_of_them(laid: Path, tmp_path: Path) -> None:
    before = files(laid)

    def take() -> None:
        (tmp_path / "away/photos").mkdir(parents=True)
        (tmp_path / "away/photos/IMG_1.MOV").write_bytes(b"mine")

    applied = run(laid, parse_action(f"move:{tmp_path / 'away'}"), before=take)
    assert (applied.done, "already exists" in applied.skipped[0].reason, files(laid)) == ([], True, before)
    assert files(tmp_path / "away") == {"photos/IMG_1.MOV": b"mine"}


def test_a_companion_that_cannot_be_read_keeps_its_picture(
    laid: Path, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookalike.duplicates.files import plan as planning

    real = planning.sha256_of

    def refuse(path: str) -> str:
        if path.endswith(".MOV"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(planning, "sha256_of", refuse)
    steps, skipped = plan_steps([group(laid / "keep.jpg", laid / "IMG_1.JPG")], action)
    assert (steps, "permission denied" in skipped[0].reason) == ([], True)


def test_a_picture_that_stays_after_all_keeps_what_it_shares(laid: Path, action: Action) -> None:
    """Two pictures of one stem were to go, the first of them has changed since."""
    (laid / "IMG_1.HEIC").write_bytes(b"heic")
    before = files(laid)
    applied = run(
        laid, action, "IMG_1.HEIC", "IMG_1.JPG", before=lambda: (laid / "IMG_1.HEIC").write_bytes(b"other one")
    )
    assert (names(applied.done), names(applied.companions)) == (["IMG_1.JPG"], ["IMG_1.JPG.xmp", "IMG_1.jpg.json"])
    reasons = {Path(skipped.path).name: skipped.reason for skipped in applied.skipped}
    assert set(reasons) == {"IMG_1.HEIC", "IMG_1.AAE", "IMG_1.MOV", "IMG_1.xmp"}
    assert reasons["IMG_1.MOV"] == f"also belongs to {laid / 'IMG_1.HEIC'}, which stays"
    undo(laid.parent / "j.jsonl")
    assert files(laid) == before | {"IMG_1.HEIC": b"other one"}


def test_pictures_of_one_stem_that_all_go_take_everything(laid: Path, action: Action) -> None:
    (laid / "IMG_1.HEIC").write_bytes(b"heic")
    before = files(laid)
    applied = run(laid, action, "IMG_1.HEIC", "IMG_1.JPG")
    assert (len(applied.done), names(applied.companions), applied.skipped) == (2, sorted(ALONG), [])
    undo(laid.parent / "j.jsonl")
    assert files(laid) == before


def test_a_link_beside_one_of_two_keeps_what_both_share(laid: Path, action: Action) -> None:
    """Left while the plan is made: the other is asked again, and leaves what they share."""
    (laid / "IMG_1.HEIC").write_bytes(b"heic")
    (laid / "IMG_1.HEIC.xmp").symlink_to(laid / "keep.xmp")
    applied = run(laid, action, "IMG_1.HEIC", "IMG_1.JPG")
    assert (names(applied.done), names(applied.companions)) == (["IMG_1.JPG"], ["IMG_1.JPG.xmp", "IMG_1.jpg.json"])


def test_what_cannot_be_put_back_is_told_and_left_to_undo(
    laid: Path, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = files(laid), apply_module._execute
    monkeypatch.setattr(apply_module, "_execute", lambda s, a: "is locked" if s.path.endswith("xmp") else real(s, a))
    with monkeypatch.context() as patch:
        patch.setattr(apply_module, "restore_file", lambda *_: ("", "could not be restored (the disk is full)"))
        applied = run(laid, action)
    assert [Path(skipped.path).name for skipped in applied.skipped] == ["IMG_1.AAE", "IMG_1.JPG"]
    assert "could not be restored" in applied.skipped[0].reason
    assert undo(laid.parent / "j.jsonl").restored == [str(laid / "IMG_1.AAE")]
    assert files(laid) == before


def test_a_journal_of_before_companions_is_followed(laid: Path, action: Action) -> None:
    for name in ALONG:
        (laid / name).unlink()
    before, journal = files(laid), laid.parent / "j.jsonl"
    run(laid, action)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[0]["format"] = 1
    for line in lines:
        for name in ("companion_of", "owners"):
            line.get("plan", {}).pop(name, None)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert undo(journal).skipped == []
    assert files(laid) == before
