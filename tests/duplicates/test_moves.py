"""A file that cannot be removed from its old location leaves nothing at the new one."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from lookalike.duplicates.files.moves import move_file

CONTENT = b"a photo"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photos/a.jpg"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def refuse_unlink(monkeypatch: pytest.MonkeyPatch, source: Path, *, gone: bool = False) -> None:
    unlink = os.unlink

    def refused(path: Any, **options: Any) -> None:
        if os.fspath(path) != str(source):
            return unlink(path, **options)
        if gone:
            unlink(path)
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        raise PermissionError(errno.EACCES, "permission denied", str(path))

    monkeypatch.setattr(os, "unlink", refused)


def move(source: Path, target: Path) -> None:
    move_file(str(source), str(target), f"{target}.part", SHA256)


@pytest.mark.parametrize("across", [False, True])
def test_a_folder_that_may_not_be_written_to(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, across: bool
) -> None:
    if across:
        link = os.link

        def linked(first: Any, second: Any, **options: Any) -> None:
            if str(first) == str(source):
                raise OSError(errno.EXDEV, "another disk", str(first))
            link(first, second, **options)

        monkeypatch.setattr(os, "link", linked)
    refuse_unlink(monkeypatch, source)
    target = tmp_path / "extras/a.jpg"
    with pytest.raises(PermissionError):
        move(source, target)
    assert source.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == []


def test_of_two_that_move_a_file_at_once_one_has_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(tmp_path / "first")
    os.link(source, tmp_path / "first/a.jpg")  # the other process has linked it, and removes the source before us
    refuse_unlink(monkeypatch, source, gone=True)
    target = tmp_path / "second/a.jpg"
    with pytest.raises(FileNotFoundError):
        move(source, target)
    assert not target.exists()
    assert (tmp_path / "first/a.jpg").read_bytes() == CONTENT


def test_the_only_copy_is_never_removed(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unlink(monkeypatch, source, gone=True)  # somebody deletes the source between the link and its removal
    target = tmp_path / "extras/a.jpg"
    move(source, target)
    assert target.read_bytes() == CONTENT
