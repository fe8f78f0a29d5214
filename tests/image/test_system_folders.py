"""Recycle bins, snapshots and program folders are recognized by name and skipped, unless they are named as sources."""

import os
import zipfile
from pathlib import Path

import pytest

from lookalike.image import SkippedFiles, SourceFile, find, is_hidden, is_system_folder, system_folder_of
from lookalike.image.sources.system_folders import SYSTEM_FOLDERS, system_folder_kind

NAMES = [
    (name.replace("*", instance), kind)
    for kind, patterns in SYSTEM_FOLDERS.items()
    for name in patterns
    for instance in (("1000", "GMT-2024.01.31") if "*" in name else ("",))
]
ORDINARY = (
    "recycle", "Recycled Art", "snapshot", "Snapshots 2019", "trash", "Trash", "Trash-1000", "tmp", "eaDir",
    "originals", "Masters", "photoslibrary", "my photoslibrary", "lrdata", "System Volume", "@2x", "#1", "~me", "$",
    "2019", "@home",
)  # fmt: skip


def spellings(name: str) -> set[str]:
    return {name, name.upper(), name.title(), name.swapcase()}


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def names(*sources: str | Path, skipped: SkippedFiles | None = None) -> list[str]:
    return [item.name for item in find(sources, skipped=skipped) if isinstance(item, SourceFile)]


@pytest.mark.parametrize(("name", "kind"), NAMES)
def test_every_name_is_recognized_in_any_case_and_position(name: str, kind: str) -> None:
    for spelling in spellings(name):
        assert system_folder_kind(spelling) == kind
        assert is_system_folder(spelling)
        assert is_hidden(spelling)
        for path in (f"/nas/{spelling}/a/b.jpg", f"C:\\nas\\{spelling}\\b.jpg", f"{spelling}/b.jpg"):
            folder = system_folder_of(path)
            assert folder is not None
            assert (folder.kind, path.startswith(folder.path), folder.path.endswith(spelling)) == (kind, True, True)
            assert system_folder_of(path, folder.path) is None or kind == "library"
    assert system_folder_of(f"/nas/photos/{name}") is None, "a file with that name is not in a system folder"


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_are_not_system_folders(name: str) -> None:
    assert not any(map(is_system_folder, spellings(name)))
    assert system_folder_of(f"/p/{name}/a.jpg") is None


def test_the_desktop_trash_is_recognized_by_its_path() -> None:
    folder = system_folder_of("/home/me/.local/share/Trash/files/a.jpg")
    assert folder is not None
    assert (folder.path, folder.kind) == ("/home/me/.local/share/Trash", "bin")


@pytest.mark.parametrize(("name", "kind"), NAMES)
def test_a_walk_skips_system_folders_unless_named(tmp_path: Path, name: str, kind: str) -> None:
    inside = "originals/a/x.jpg" if kind == "library" else "sub/x.jpg"
    touch(tmp_path, "2019/a.jpg", f"{name}/{inside}", f"2019/{name.upper()}/{inside}")
    skipped = SkippedFiles()
    assert names(tmp_path, skipped=skipped) == ["2019/a.jpg"]
    libraries = {str(tmp_path / name), str(tmp_path / "2019" / name.upper())} if kind == "library" else set()
    assert set(skipped.libraries) == libraries
    assert names(tmp_path / name) == [inside]
    assert names(tmp_path / name / inside) == ["x.jpg"]
    assert names(f"{tmp_path}/**/*.jpg") == ["2019/a.jpg"]
    assert names(f"{tmp_path}/*/**/*.jpg") == ["2019/a.jpg"]
    assert names(f"{tmp_path}/{name}/**/*.jpg") == [inside]
    assert names(f"{tmp_path}/*/{name.upper()}/**/x.jpg") == [f"2019/{name.upper()}/{inside}"]


def test_a_named_library_lists_its_originals_only(tmp_path: Path) -> None:
    library = tmp_path / "Photos Library.photoslibrary"
    touch(library, "originals/0/a.heic", "resources/derivatives/0/a.jpg", "scopes/x/b.jpg", "database/c.jpg")
    touch(library, "Masters/2015/d.jpg", "Thumbnails/d.jpg")
    assert names(library) == ["Masters/2015/d.jpg", "originals/0/a.heic"]
    assert names(library / "resources") == ["derivatives/0/a.jpg"]
    original, derived = (system_folder_of(f"{library}/{name}/0/a.jpg") for name in ("Originals", "resources"))
    assert (original is not None and original.original, derived is not None and derived.original) == (True, False)


def test_members_of_archives_are_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.jpg", "#recycle/b.jpg", "x/@Recycle/c.jpg", "L.photoslibrary/originals/d.jpg"):
            archive.writestr(name, name)
    assert names(tmp_path / "a.zip") == ["a.jpg"]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_with_a_system_folder_name_is_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.jpg", "photos/b.jpg")
    (tmp_path / "photos/@Recycle").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "photos") == ["b.jpg"]


def test_raw_files_in_overlapping_sources_are_counted_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.NEF", "a.jpg", "b.dng", "sub/c.CR3", "sub/._c.cr3", "sub/nef", "@Recycle/d.nef", "e.raw")
    skipped = SkippedFiles()
    assert names(tmp_path, tmp_path / "sub", tmp_path, skipped=skipped) == ["a.jpg", "a.jpg"]
    assert sum(skipped.raw_files.values()) == 3
