"""kill -9 at every step of applying and of undoing: all pictures are there at every moment, and undo still works.

A child process counts the calls that change files and kills itself before the n-th, for every n until it lives.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.duplicates import Action, apply_steps, parse_action, plan_steps, undo
from lookalike.duplicates.files import apply as apply_module
from lookalike.duplicates.files.journal import Step
from tests.duplicates.pictures import group

CHANGES = ("link", "unlink", "rename", "replace", "write", "fsync", "utime", "chmod", "makedirs")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def killed_at(number: int, work: Callable[[], object], *, across: bool) -> bool:
    """Run `work` in a child that kills itself before its n-th change. Whether it was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads; the child starts none
        child = os.fork()
    if child == 0:
        try:
            _count_and_kill(number, across=across)
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


def _count_and_kill(number: int, *, across: bool) -> None:
    remaining = [number]

    def counted(name: str, real: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            if remaining[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            remaining[0] -= 1
            if across and name == "link" and os.path.dirname(arguments[0]) != os.path.dirname(arguments[1]):  # type: ignore[type-var]
                raise OSError(18, "Invalid cross-device link")
            return real(*arguments, **options)

        return call

    for name in CHANGES:
        setattr(os, name, counted(name, getattr(os, name)))


def contents(folder: Path) -> set[str]:
    return {hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "kind",
    [
        "trash", "move", "move across disks", "hardlink", "trash with companions", "move with companions",
        "move across disks with companions",
    ],
)  # fmt: skip
def test_killed_anywhere_nothing_is_lost_and_undo_works(tmp_path: Path, trash: Path, kind: str) -> None:
    across, number, killed = "across" in kind, 0, True
    while killed:
        place = tmp_path / f"{number}"
        photos = place / "photos"
        photos.mkdir(parents=True)
        same = kind == "hardlink"
        for name in ("keep", "a", "b"):
            (photos / f"{name}.jpg").write_bytes(b"same" if same else name.encode())
        for name in ("keep.xmp", "a.MOV", "a.jpg.xmp", "b.AAE") if "companions" in kind else ():
            (photos / name).write_bytes(name.encode())
        action = (
            Action("hardlink")
            if same
            else Action("trash")
            if kind.startswith("trash")
            else parse_action(f"move:{place / 'away'}")
        )
        before, all_of_it = files(photos), contents(photos)
        steps, skipped = plan_steps([group(photos / "keep.jpg", photos / "a.jpg", photos / "b.jpg")], action)
        assert (len(steps), skipped) == (5 if "companions" in kind else 2, [])
        journal = place / "j.jsonl"
        killed = killed_at(number, lambda a=action, s=steps, j=journal: apply_steps(s, a, j), across=across)
        assert all_of_it <= contents(place) | contents(trash.parent), f"lost at {number}"
        if journal.exists() and journal.stat().st_size:
            undo_killed_anywhere(journal, number, photos, all_of_it | contents(trash.parent), across=across)
        assert files(photos) == before, f"not undone after {number}"
        number += 1
    assert number > 10, "the child was hardly killed at all"


@pytest.mark.parametrize("kind", ["trash", "move", "move across disks"])
def test_killed_while_companions_are_put_back(tmp_path: Path, trash: Path, kind: str) -> None:
    """The picture is refused once its companions are away."""
    number, killed = 0, True
    while killed:
        place = tmp_path / f"{number}"
        photos = place / "photos"
        photos.mkdir(parents=True)
        for name in ("keep.jpg", "a.jpg", "a.MOV", "a.xmp"):
            (photos / name).write_bytes(name.encode())
        before, all_of_it = files(photos), contents(photos)
        action = Action("trash") if kind == "trash" else parse_action(f"move:{place / 'away'}")
        steps, _ = plan_steps([group(photos / "keep.jpg", photos / "a.jpg")], action)
        journal = place / "j.jsonl"

        def work(a: Action = action, s: list[Step] = steps, j: Path = journal) -> None:
            real = apply_module._execute
            apply_module._execute = lambda one, what: "is locked" if one.path.endswith("a.jpg") else real(one, what)
            assert len(apply_steps(s, a, j).skipped) == 1

        killed = killed_at(number, work, across="across" in kind)
        assert all_of_it <= contents(place) | contents(trash.parent), f"lost at {number}"
        if journal.exists() and journal.stat().st_size:
            undo_killed_anywhere(journal, number, photos, all_of_it | contents(trash.parent), across="across" in kind)
        assert files(photos) == before, f"not undone after {number}"
        number += 1
    assert number > 10, "the child was hardly killed at all"


def undo_killed_anywhere(journal: Path, number: int, photos: Path, expected: set[str], *, across: bool) -> None:
    """Undo, killed too at some place of its own, then undone again to the end."""
    killed_at(number % 7, lambda: undo(journal), across=across)
    assert contents(photos) <= expected
    undo(journal)


APPLY = """
import json, sys
from lookalike.duplicates import Action, apply_steps, parse_action
from lookalike.duplicates.files.journal import Step
steps = [Step(**step) for step in json.load(open(sys.argv[1]))]
print("begun", flush=True)
apply_steps(steps, parse_action(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1])
def test_killed_from_outside_at_any_moment(tmp_path: Path, wait: float) -> None:
    import json
    from dataclasses import asdict

    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(300):
        (photos / f"{n:03}.jpg").write_bytes(b"%d" % n)
    before = files(photos)
    action = parse_action(f"move:{tmp_path / 'away'}")
    steps, _ = plan_steps([group(*sorted(photos.iterdir()))], action)
    (tmp_path / "plan.json").write_text(json.dumps([asdict(step) for step in steps]))
    command = [sys.executable, "-c", APPLY, str(tmp_path / "plan.json"), action.text, str(tmp_path / "j.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(wait)
        child.kill()
    gone = 300 - len(list(photos.iterdir()))
    assert contents(photos) | contents(tmp_path / "away") >= {hashlib.sha256(b"%d" % n).hexdigest() for n in range(300)}
    if (tmp_path / "j.jsonl").exists() and b"\n" in (tmp_path / "j.jsonl").read_bytes():
        undone = undo(tmp_path / "j.jsonl")
        assert undone.skipped == []
        assert len(undone.restored) >= gone - 1
    assert files(photos) == before
