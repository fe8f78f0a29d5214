"""Taking extras away, and back: never a lost picture, whatever is in the way."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookalike.duplicates import Action, ApplyResult, apply_steps, parse_action, plan_steps, undo
from lookalike.duplicates.files import trash as trash_module
from lookalike.errors import BadQuery, JournalError
from tests.duplicates.pictures import group

Names = Callable[[], dict[str, bytes]]


@pytest.fixture
def laid(tmp_path: Path) -> Path:
    """A folder with one to keep, two extras with the same bytes, one with others."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name, data in (("keep.jpg", b"same"), ("a.jpg", b"same"), ("sub/b.jpg", b"same"), ("other.jpg", b"other")):
        (folder / name).write_bytes(data)
        os.utime(folder / name, ns=(10**18, 10**18))
    return folder


@pytest.fixture(params=["trash", "move", "hardlink"])
def action(request: pytest.FixtureRequest, tmp_path: Path, trash: Path) -> Action:
    return parse_action(f"move:{tmp_path / 'away'}" if request.param == "move" else request.param)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(folder: Path, action: Action, journal: Path, *extras: str) -> ApplyResult:
    names = extras or ("a.jpg", "sub/b.jpg", "other.jpg")
    steps, skipped = plan_steps([group(folder / "keep.jpg", *(folder / name for name in names))], action)
    applied = apply_steps(steps, action, journal, collection="photos")
    applied.skipped += skipped
    return applied


def states(journal: Path) -> list[str]:
    return [line["state"] for line in map(json.loads, journal.read_text().splitlines()) if "state" in line]


def test_extras_go_and_undo_brings_them_back(laid: Path, action: Action, tmp_path: Path) -> None:
    before, journal = files(laid), tmp_path / "j.jsonl"
    applied = run(laid, action, journal)
    if action.kind == "hardlink":
        assert [(Path(one.path).name, one.reason[:26]) for one in applied.skipped] == [
            ("other.jpg", "differs from the kept file")
        ]
        assert os.path.samefile(laid / "a.jpg", laid / "keep.jpg")
        assert files(laid) == before
    else:
        assert list(files(laid)) == ["keep.jpg"]
        assert len(applied.done) == 3
    undone = undo(journal)
    assert (len(undone.restored), undone.skipped) == (len(applied.done), [])
    assert files(laid) == before
    assert os.stat(laid / "a.jpg").st_mtime_ns == 10**18
    assert os.lstat(laid / "a.jpg").st_nlink == 1


def test_undo_restores_the_last_step_first(laid: Path, action: Action, tmp_path: Path) -> None:
    applied = run(laid, action, tmp_path / "j.jsonl", "a.jpg", "sub/b.jpg")
    undone = undo(tmp_path / "j.jsonl")
    assert [step.path for step in applied.done] == [str(laid / "a.jpg"), str(laid / "sub/b.jpg")]
    assert undone.restored == [str(laid / "sub/b.jpg"), str(laid / "a.jpg")]


def test_undo_twice_is_once(laid: Path, action: Action, tmp_path: Path) -> None:
    before, journal = files(laid), tmp_path / "j.jsonl"
    run(laid, action, journal)
    undo(journal)
    again = undo(journal)
    assert (again.restored, again.skipped) == ([], [])
    assert files(laid) == before


def test_undo_counts_what_an_earlier_one_put_back(laid: Path, action: Action, tmp_path: Path) -> None:
    run(laid, action, tmp_path / "j.jsonl", "a.jpg", "sub/b.jpg")
    assert (undo(tmp_path / "j.jsonl").previously_restored, undo(tmp_path / "j.jsonl").previously_restored) == (0, 2)


def test_extras_of_the_same_bytes_are_linked_to_each_other(laid: Path, tmp_path: Path) -> None:
    """The kept one holds other bytes: the first extra stays, and the second becomes another name of it."""
    before, journal = files(laid), tmp_path / "j.jsonl"
    expected = group(laid / "other.jpg", laid / "a.jpg", laid / "sub/b.jpg")
    steps, skipped = plan_steps([expected], Action("hardlink"))
    assert [(step.path, step.keep) for step in steps] == [(str(laid / "sub/b.jpg"), str(laid / "a.jpg"))]
    assert [(one.path, "differs from the kept file" in one.reason) for one in skipped] == [(str(laid / "a.jpg"), True)]
    apply_steps(steps, Action("hardlink"), journal)
    assert os.path.samefile(laid / "a.jpg", laid / "sub/b.jpg")
    assert files(laid) == before
    assert undo(journal).restored == [str(laid / "sub/b.jpg")]
    assert not os.path.samefile(laid / "a.jpg", laid / "sub/b.jpg")
    assert files(laid) == before


def test_a_link_is_never_what_is_left(laid: Path, action: Action, tmp_path: Path) -> None:
    """Where a link is kept all the same (it is in a reference folder), the files stay."""
    link = laid / "link.jpg"
    link.symlink_to(tmp_path / "elsewhere.jpg")
    (tmp_path / "elsewhere.jpg").write_bytes(b"same")
    before = files(laid)
    steps, skipped = plan_steps([group(link, laid / "a.jpg", laid / "keep.jpg")], action)
    assert steps == []
    assert {"is the last file, because the kept file" in one.reason for one in skipped} == {True}
    assert files(laid) == before


def test_what_a_link_leads_to_stays(laid: Path, action: Action, tmp_path: Path) -> None:
    link, journal = laid / "link.jpg", tmp_path / "j.jsonl"
    link.symlink_to(laid / "a.jpg")
    before = files(laid)
    steps, skipped = plan_steps([group(laid / "keep.jpg", laid / "a.jpg", laid / "sub/b.jpg", link)], action)
    applied = apply_steps(steps, action, journal)
    assert link.read_bytes() == b"same"
    reasons = {Path(one.path).name: one.reason for one in skipped}
    assert "is a link to" in reasons["link.jpg"]
    assert ("a.jpg" in reasons) == (action.kind != "hardlink")
    assert (len(applied.done), applied.skipped) == (2 if action.kind == "hardlink" else 1, [])
    assert undo(journal).skipped == []
    assert files(laid) == before


def test_nothing_is_left_behind(laid: Path, action: Action, tmp_path: Path, trash: Path) -> None:
    journal = tmp_path / "j.jsonl"
    run(laid, action, journal)
    undo(journal)
    remaining = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file() and laid not in p.parents]
    assert remaining == ["j.jsonl"]


def test_the_journal_is_whole_before_the_first_touch(
    laid: Path, action: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, recorded = tmp_path / "j.jsonl", list[list[str]]()

    def read_states(step: object, action: object) -> str:
        recorded.append(journal.read_text().splitlines())
        return "stopped by the test"

    monkeypatch.setattr("lookalike.duplicates.files.apply._execute", read_states)
    run(laid, action, journal, "a.jpg", "sub/b.jpg")
    header, *lines = map(json.loads, recorded[0])
    assert (header["journal"], header["steps"]) == ("lookalike", 2)
    assert [sorted(line) for line in lines] == [["plan"], ["plan"], ["state", "step"]]


def test_a_journal_is_never_overwritten(laid: Path, action: Action, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    journal.write_text("mine")
    before = files(laid)
    with pytest.raises(JournalError, match="never overwritten"):
        run(laid, action, journal)
    assert (files(laid), journal.read_text()) == (before, "mine")


def test_a_journal_that_cannot_be_written_stops_everything(laid: Path, action: Action, tmp_path: Path) -> None:
    before = files(laid)
    with pytest.raises(JournalError, match="no file was changed"):
        run(laid, action, tmp_path / "nowhere/j.jsonl")
    assert files(laid) == before


def test_a_full_disk_under_the_journal_stops_before_the_next_file(
    laid: Path, action: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) > 3:  # the plan, the first begin, its done
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr("lookalike.duplicates.files.journal.os.write", full)
    with pytest.raises(JournalError, match="No space left"):
        run(laid, action, tmp_path / "j.jsonl", "a.jpg", "sub/b.jpg")
    monkeypatch.undo()
    assert not os.path.samefile(laid / "sub/b.jpg", laid / "keep.jpg")


@pytest.mark.parametrize("when", ["planned", "applied"])
@pytest.mark.parametrize("change", ["longer", "same size and date", "gone"])
def test_a_file_that_changed_stays(laid: Path, action: Action, tmp_path: Path, change: str, when: str) -> None:
    extra = laid / "a.jpg"
    groups = [group(laid / "keep.jpg", extra)]

    def alter() -> None:
        if change == "gone":
            extra.unlink()
            return
        extra.write_bytes(b"longer than it was" if change == "longer" else b"SAME")
        if change == "same size and date":
            os.utime(extra, ns=(10**18, 10**18))

    if when == "planned":
        alter()
    steps, skipped = plan_steps(groups, action)
    if when == "applied":
        alter()
    skipped += apply_steps(steps, action, tmp_path / "j.jsonl").skipped if steps else []
    assert "no longer exists" in skipped[0].reason if change == "gone" else "has changed" in skipped[0].reason
    assert change == "gone" or extra.read_bytes() in (b"longer than it was", b"SAME")


@pytest.mark.parametrize("fate", ["gone", "changed", "a link to the extra"])
def test_the_last_copy_stays(laid: Path, action: Action, tmp_path: Path, fate: str) -> None:
    steps, _ = plan_steps([group(laid / "keep.jpg", laid / "a.jpg")], action)
    (laid / "keep.jpg").unlink()
    if fate == "changed":
        (laid / "keep.jpg").write_bytes(b"something else")
    if fate == "a link to the extra":
        (laid / "keep.jpg").symlink_to(laid / "a.jpg")
    applied = apply_steps(steps, action, tmp_path / "j.jsonl")
    assert (applied.done, (laid / "a.jpg").read_bytes()) == ([], b"same")
    expected = {"gone": "is the last copy", "changed": "has changed", "a link to the extra": "same file on disk"}
    assert expected[fate] in applied.skipped[0].reason


def test_links_are_left_and_never_followed(laid: Path, action: Action, tmp_path: Path) -> None:
    treasure = tmp_path / "elsewhere"
    treasure.mkdir()
    (treasure / "t.jpg").write_bytes(b"same")
    (laid / "link.jpg").symlink_to(treasure / "t.jpg")
    (laid / "linked").symlink_to(treasure)
    member = group(laid / "keep.jpg", laid / "link.jpg", laid / "linked/t.jpg")
    for extra in member.extras:
        extra.metadata["root"] = str(laid)  # type: ignore[index]
    steps, skipped = plan_steps([member], action)
    assert steps == []
    assert ["is a link to" in skipped[0].reason, "a link to" in skipped[1].reason] == [True, True]
    assert (treasure / "t.jpg").read_bytes() == b"same"


def test_hard_links_of_the_kept_file_are_told_and_left(laid: Path, action: Action, tmp_path: Path) -> None:
    os.link(laid / "keep.jpg", laid / "linked.jpg")
    steps, skipped = plan_steps([group(laid / "keep.jpg", laid / "linked.jpg")], action)
    assert steps == []
    assert "hard link" in skipped[0].reason


def test_a_refused_file_stays_and_the_others_go_on(
    laid: Path, action: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"trash": ("rename",), "move": ("link", "rename"), "hardlink": ("link",)}[action.kind]
    for name in names:
        real = getattr(os, name)

        def refuse(source: object, target: object, *rest: object, real: Callable = real, **options: object) -> None:
            if b"a.jpg" in os.fsencode(source) or os.fsencode(target).endswith(b"-0"):  # type: ignore[arg-type]
                raise PermissionError(errno.EACCES, "Permission denied")
            real(source, target, *rest, **options)

        monkeypatch.setattr(os, name, refuse)
    before = files(laid)
    applied = run(laid, action, tmp_path / "j.jsonl", "a.jpg", "sub/b.jpg")
    assert [("permission denied" in one.reason, one.path) for one in applied.skipped] == [(True, str(laid / "a.jpg"))]
    assert [step.path for step in applied.done] == [str(laid / "sub/b.jpg")]
    monkeypatch.undo()
    assert states(tmp_path / "j.jsonl") == ["begin", "left", "begin", "done"]
    assert (laid / "a.jpg").read_bytes() == before["a.jpg"]


def test_no_trash_means_nothing_is_touched(laid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(path: str) -> None:
        raise OSError("no trash on this disk")

    monkeypatch.setattr(trash_module, "move_to_trash", none)
    before = files(laid)
    applied = run(laid, Action("trash"), tmp_path / "j.jsonl")
    assert len(applied.skipped) == 3
    assert all("no trash on this disk" in one.reason and "move:FOLDER" in one.reason for one in applied.skipped)
    assert files(laid) == before


def test_a_trash_that_takes_nothing_is_noticed(laid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash_module, "move_to_trash", lambda path: None)
    assert "not taken by the trash" in run(laid, Action("trash"), tmp_path / "j.jsonl", "a.jpg").skipped[0].reason


def test_an_emptied_trash_is_told(laid: Path, tmp_path: Path, trash: Path) -> None:
    run(laid, Action("trash"), tmp_path / "j.jsonl", "a.jpg")
    for file in (trash / "files").iterdir():
        file.unlink()
    (skipped,) = undo(tmp_path / "j.jsonl").skipped
    assert (skipped.path, "emptied" in skipped.reason) == (str(laid / "a.jpg"), True)


def test_of_two_trashed_files_of_one_name_each_comes_back(laid: Path, tmp_path: Path, trash: Path) -> None:
    """The trash holds an older a.jpg from the same place already."""
    before = files(laid)
    run(laid, Action("trash"), tmp_path / "1.jsonl", "a.jpg")
    (laid / "a.jpg").write_bytes(b"newer")
    run(laid, Action("trash"), tmp_path / "2.jsonl", "a.jpg")
    assert undo(tmp_path / "1.jsonl").skipped == []
    assert files(laid) == before
    assert [skipped.reason[:22] for skipped in undo(tmp_path / "2.jsonl").skipped] == ["has been replaced by a"]
    assert len(list((trash / "files").iterdir())) == 1


def test_an_ugly_name_goes_and_comes_back(laid: Path, action: Action, tmp_path: Path) -> None:
    from lookalike.image import to_text

    names = [b"caf\xe9.jpg", b"new\nline.jpg", "日本 %41;.jpg".encode(), b"-rf *.jpg", b"'\".jpg"]
    for name in names:
        with open(os.path.join(os.fsencode(laid), name), "wb") as file:
            file.write(b"same")
    before = {p: os.stat(os.path.join(os.fsencode(laid), p)).st_size for p in os.listdir(os.fsencode(laid))}
    expected = group(laid / "keep.jpg", *(laid / os.fsdecode(name) for name in names))
    for extra in expected.extras:
        extra.metadata["path"] = to_text(str(extra.metadata["path"]))  # type: ignore[index]
    steps, skipped = plan_steps([expected], action)
    applied = apply_steps(steps, action, tmp_path / "j.jsonl")
    assert (len(applied.done), skipped + applied.skipped) == (len(names), [])
    assert undo(tmp_path / "j.jsonl").skipped == []
    assert {p: os.stat(os.path.join(os.fsencode(laid), p)).st_size for p in os.listdir(os.fsencode(laid))} == before


def across(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every link and rename between folders went to another disk."""
    for name in ("link", "rename"):
        real = getattr(os, name)

        def refuse(source: str, target: str, *rest: object, real: Callable = real, **options: object) -> None:
            if os.path.dirname(source) != os.path.dirname(target):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            real(source, target, *rest, **options)

        monkeypatch.setattr(os, name, refuse)


def test_another_disk_gets_a_checked_copy(laid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, action = files(laid), parse_action(f"move:{tmp_path / 'away'}")
    across(monkeypatch)
    applied = run(laid, action, tmp_path / "j.jsonl")
    assert (len(applied.done), list(files(laid))) == (3, ["keep.jpg"])
    assert files(tmp_path / "away") == {f"photos/{name}": before[name] for name in ("a.jpg", "other.jpg")} | {
        "sub/b.jpg": b"same"
    }
    assert os.stat(tmp_path / "away/photos/a.jpg").st_mtime_ns == 10**18
    undo(tmp_path / "j.jsonl")
    assert files(laid) == before


def test_a_failing_other_disk_keeps_the_original(laid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    across(monkeypatch)
    monkeypatch.setattr(shutil, "copyfileobj", lambda here, there, size: there.write(b"rot"))
    applied = run(laid, parse_action(f"move:{tmp_path / 'away'}"), tmp_path / "j.jsonl", "a.jpg")
    assert "differs from the original" in applied.skipped[0].reason
    assert (laid / "a.jpg").read_bytes() == b"same"
    assert files(tmp_path / "away") == {}


def test_a_hard_link_to_another_disk_is_refused(laid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    across(monkeypatch)
    monkeypatch.setattr("lookalike.duplicates.files.apply._on_other_disk", lambda *_: True)
    assert (
        "not on the disk of the kept file"
        in run(laid, Action("hardlink"), tmp_path / "j.jsonl", "a.jpg").skipped[0].reason
    )


@pytest.fixture
def other_disk() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


def test_really_another_disk(laid: Path, tmp_path: Path, other_disk: Path) -> None:
    if os.stat(other_disk).st_dev == os.stat(laid).st_dev:
        pytest.skip("this machine has one disk only")
    before = files(laid)
    run(laid, parse_action(f"move:{other_disk / 'away'}"), tmp_path / "j.jsonl")
    assert list(files(laid)) == ["keep.jpg"]
    assert undo(tmp_path / "j.jsonl").skipped == []
    assert (files(laid), files(other_disk)) == (before, {})


def test_a_target_is_never_overwritten(laid: Path, tmp_path: Path) -> None:
    action = parse_action(f"move:{tmp_path / 'away'}")
    (tmp_path / "away/photos").mkdir(parents=True)
    (tmp_path / "away/photos/a.jpg").write_bytes(b"mine")
    steps, _ = plan_steps([group(laid / "keep.jpg", laid / "a.jpg", laid / "other.jpg")], action)
    (tmp_path / "away/photos/other.jpg").write_bytes(b"late")
    applied = apply_steps(steps, action, tmp_path / "j.jsonl")
    assert files(tmp_path / "away") == {
        "photos/a (2).jpg": b"same", "photos/a.jpg": b"mine", "photos/other.jpg": b"late"
    }  # fmt: skip
    assert [Path(one.path).name for one in applied.skipped] == ["other.jpg"]


def test_undo_never_overwrites_either(laid: Path, tmp_path: Path) -> None:
    action = parse_action(f"move:{tmp_path / 'away'}")
    run(laid, action, tmp_path / "j.jsonl", "a.jpg")
    (laid / "a.jpg").write_bytes(b"somebody's")
    (skipped,) = undo(tmp_path / "j.jsonl").skipped
    assert "replaced by another file" in skipped.reason
    assert ((laid / "a.jpg").read_bytes(), files(tmp_path / "away")) == (b"somebody's", {"photos/a.jpg": b"same"})


def test_a_journal_of_another_machine_is_refused(laid: Path, action: Action, tmp_path: Path) -> None:
    journal, before = tmp_path / "j.jsonl", files(laid)
    run(laid, action, journal)
    first, *rest = journal.read_text().splitlines()
    journal.write_text("\n".join([json.dumps(json.loads(first) | {"machine": "other", "host": "x@y"}), *rest, ""]))
    with pytest.raises(JournalError, match=r"x@y.*--anyway"):
        undo(journal)
    assert undo(journal, force=True).skipped == []
    assert files(laid) == before


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "{}\n", '{"journal": "lookalike", "format": 99}', "\0\1"):
        (tmp_path / "j").write_text(text)
        with pytest.raises(JournalError):
            undo(tmp_path / "j")
    with pytest.raises(JournalError, match="cannot be read"):
        undo(tmp_path / "none")


def test_a_journal_without_its_first_line_touched_nothing(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("")
    with pytest.raises(JournalError, match="so no file was changed"):
        undo(tmp_path / "j")


def test_a_journal_that_lost_its_plan_is_refused(laid: Path, tmp_path: Path) -> None:
    action, journal = parse_action(f"move:{tmp_path / 'away'}"), tmp_path / "j.jsonl"
    run(laid, action, journal)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], lines[2][:30], *lines[3:], ""]))
    with pytest.raises(JournalError, match="damaged"):
        undo(journal)


def test_references_archives_and_memory_are_left(laid: Path, action: Action) -> None:
    expected = group(laid / "keep.jpg", laid / "a.jpg")
    expected.extras[0].metadata["reference"] = True  # type: ignore[index]
    assert plan_steps([expected], action)[1][0].reason == "is in a reference folder"


def test_actions_are_checked(tmp_path: Path) -> None:
    with pytest.raises(BadQuery, match="nearest: trash"):
        parse_action("trsh")
    with pytest.raises(BadQuery, match="needs a folder"):
        parse_action("move")
    with pytest.raises(BadQuery, match="is inside"):
        parse_action(f"move:{tmp_path}/photos/away", [str(tmp_path / "photos")])
    assert parse_action(f"move:{tmp_path}/photos2", [str(tmp_path / "photos")]).kind == "move"


def test_the_recycle_bin_of_windows_is_read() -> None:
    path = "C:\\Users\\é\\a.jpg"
    head = (2).to_bytes(8, "little") + bytes(16) + (len(path) + 1).to_bytes(4, "little")
    assert trash_module.recycled_origin(head + (path + "\0").encode("utf-16-le")) == path
    assert (
        trash_module.recycled_origin((1).to_bytes(8, "little") + bytes(16) + path.encode("utf-16-le").ljust(520, b"\0"))
        == path
    )
    assert trash_module.recycled_origin(b"short") is None
