"""A chosen image is kept before any rule, wherever its file is; the last choice wins."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.duplicates import KeepChoices, as_keep_choice
from lookalike.duplicates.keep.keep_choices import KeepChoice
from lookalike.errors import BadQuery, UnknownId
from lookalike.search import Collection
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene
from tests.duplicates.test_find import find, relations

SIZE = (256, 192)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    """A scene large, smaller and smallest."""
    for name, scale in (("large.png", 1.0), ("less.png", 0.8), ("least.png", 0.6)):
        save(scene(1, size=SIZE), tmp_path / "photos" / name, scale=scale)
    with Collection.open("memory:", model=ColourEmbedder()) as opened:
        opened.sync([tmp_path / "photos"])
        yield opened


def kept_name(photos: Collection, **options: object) -> tuple[str, set[str]]:
    """The one picture kept, and the reasons."""
    (group,) = find(photos, **options).groups  # type: ignore[arg-type]
    assert len(group.extras) == 2
    return os.path.basename(str(group.keep.metadata["path"])), {extra.reason for extra in group.extras}


def test_the_choice_comes_before_the_rules_and_is_the_reason(collection: Collection) -> None:
    assert kept_name(collection)[0] == "large.png"
    chosen = KeepChoices(collection).choose("photos/less.png")
    assert os.path.basename(chosen.name) == "less.png"
    assert kept_name(collection) == ("less.png", {"was chosen by you"})
    assert kept_name(collection, keep="smallest") == ("less.png", {"was chosen by you"})


def test_of_two_the_last_choice_is_kept_and_one_taken_back_is_none(collection: Collection, tmp_path: Path) -> None:
    choices = KeepChoices(collection)
    choices.choose("photos/least.png")
    choices.choose(str(tmp_path / "photos/less.png"))
    assert kept_name(collection)[0] == "less.png"
    choices.choose("id:photos/least.png")
    assert kept_name(collection)[0] == "least.png"
    assert choices.forget("photos/least.png") == 1
    assert kept_name(collection)[0] == "less.png"
    assert choices.forget("photos/less.png") == 1
    assert choices.forget("photos/less.png") == 0
    assert kept_name(collection)[0] == "large.png"


def test_a_choice_goes_with_the_file(collection: Collection, tmp_path: Path) -> None:
    KeepChoices(collection).choose("photos/least.png")
    (tmp_path / "photos/new").mkdir()
    shutil.move(tmp_path / "photos/least.png", tmp_path / "photos/new/renamed.png")
    collection.sync([tmp_path / "photos"])
    assert kept_name(collection)[0] == "renamed.png"


def test_what_lies_in_a_reference_folder_is_kept_all_the_same(collection: Collection, tmp_path: Path) -> None:
    save(scene(1, size=SIZE), tmp_path / "photos/masters/master.jpg", scale=0.7)
    collection.sync([tmp_path / "photos"])
    KeepChoices(collection).choose("photos/least.png")
    result = relations(find(collection, references=[str(tmp_path / "photos/masters")]))
    assert set(result) == {"master.jpg"}


def test_of_files_with_the_same_bytes_the_named_one_is_kept(collection: Collection, tmp_path: Path) -> None:
    shutil.copy2(tmp_path / "photos/less.png", tmp_path / "photos/aaa.png")
    collection.sync([tmp_path / "photos"])
    for name in ("less.png", "aaa.png"):
        KeepChoices(collection).choose(str(tmp_path / "photos" / name))
        (group,) = find(collection).groups
        assert os.path.basename(str(group.keep.metadata["path"])) == name


@pytest.mark.parametrize("name", ["nobody", "photos", "", "/"])
def test_an_unknown_image_cannot_be_chosen(collection: Collection, name: str) -> None:
    with pytest.raises(UnknownId, match="is not an image of"):
        KeepChoices(collection).choose(name)


def test_a_link_cannot_be_chosen(collection: Collection, tmp_path: Path) -> None:
    save(scene(2, size=SIZE), tmp_path / "elsewhere.png")
    (tmp_path / "photos/link.png").symlink_to(tmp_path / "elsewhere.png")
    collection.sync([tmp_path / "photos"])
    with pytest.raises(BadQuery, match="choose the file"):
        KeepChoices(collection).choose(str(tmp_path / "photos/link.png"))


def test_a_choice_is_taken_back_by_its_name_when_the_file_is_gone(collection: Collection, tmp_path: Path) -> None:
    choices = KeepChoices(collection)
    choices.choose("photos/less.png")
    (tmp_path / "photos/less.png").unlink()
    collection.sync([tmp_path / "photos"])
    assert choices.forget(str(tmp_path / "photos/less.png")) == 1
    assert choices.all() == []


def test_what_is_chosen_now_is_chosen_last_whatever_was_taken_over(collection: Collection) -> None:
    choices = KeepChoices(collection)
    choices.choose("photos/less.png")
    (saved,) = choices.all()
    ahead = as_keep_choice({"keep": "a" * 64, "when": "2999-01-01T00:00:00+02:00"})
    assert choices.add([ahead, ahead]) == 1
    choices.choose("photos/least.png")
    choices.choose("photos/less.png")
    assert kept_name(collection)[0] == "less.png"
    choices.choose("photos/least.png")
    choices.add([saved])  # an old file takes nothing back
    assert kept_name(collection)[0] == "least.png"
    assert choices.all()[0].keep == "a" * 64


def test_what_the_page_saves_is_read() -> None:
    assert as_keep_choice({"keep": "a" * 64, "name": "x.jpg"}) == KeepChoice("a" * 64, "x.jpg")
    dated = as_keep_choice({"keep": "a" * 64, "when": "2026-01-31T14:00:00+02:00"})
    assert dated.when == "2026-01-31T12:00:00.000000+00:00"
    for wrong, why in (
        ({"keep": "x"}, "SHA-256"),
        ({"keep": None}, "SHA-256"),
        ({}, "SHA-256"),
        ({"keep": "a" * 64, "name": ["a"]}, "name"),
        ({"keep": "a" * 64, "when": "zzz"}, "give a time"),
        ({"keep": "a" * 64, "when": {"x": 1}}, "give a time"),
        ({"keep": "a" * 64, "verdict": "copy"}, "two lines"),
    ):
        with pytest.raises(BadQuery, match=why):
            as_keep_choice(wrong)
