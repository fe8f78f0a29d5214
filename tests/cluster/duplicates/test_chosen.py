"""What a person chose to keep is kept: whatever the rules, wherever the file goes, the last choice before others."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.cluster import Chosen, as_choice
from lookalike.cluster.duplicates.chosen import Choice
from lookalike.errors import BadQuery, UnknownId
from lookalike.search import Collection
from tests.cluster.duplicates.pictures import save, scene
from tests.cluster.duplicates.test_find import find, told
from tests.conftest import ColourEmbedder

SIZE = (256, 192)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    """A scene large, smaller and smallest."""
    for name, scale in (("large.png", 1.0), ("less.png", 0.8), ("least.png", 0.6)):
        save(scene(1, size=SIZE), tmp_path / "photos" / name, scale=scale)
    with Collection.open("memory:", model=ColourEmbedder()) as opened:
        opened.sync([tmp_path / "photos"])
        yield opened


def kept(photos: Collection, **options: object) -> tuple[str, set[str]]:
    """The one picture kept, and the reasons."""
    (group,) = find(photos, **options).groups  # type: ignore[arg-type]
    assert len(group.extras) == 2
    return os.path.basename(str(group.keep.metadata["path"])), {extra.reason for extra in group.extras}


def test_the_choice_comes_before_the_rules_and_is_the_reason(collection: Collection) -> None:
    assert kept(collection)[0] == "large.png"
    chosen = Chosen(collection).choose("photos/less.png")
    assert os.path.basename(chosen.name) == "less.png"
    assert kept(collection) == ("less.png", {"chosen by you"})
    assert kept(collection, keep="smallest") == ("less.png", {"chosen by you"})


def test_of_two_the_last_choice_is_kept_and_one_taken_back_is_none(collection: Collection, tmp_path: Path) -> None:
    choices = Chosen(collection)
    choices.choose("photos/least.png")
    choices.choose(str(tmp_path / "photos/less.png"))
    assert kept(collection)[0] == "less.png"
    choices.choose("id:photos/least.png")
    assert kept(collection)[0] == "least.png"
    assert choices.forget("photos/least.png") == 1
    assert kept(collection)[0] == "less.png"
    assert choices.forget("photos/less.png") == 1
    assert choices.forget("photos/less.png") == 0
    assert kept(collection)[0] == "large.png"


def test_a_choice_goes_with_the_file(collection: Collection, tmp_path: Path) -> None:
    Chosen(collection).choose("photos/least.png")
    (tmp_path / "photos/new").mkdir()
    shutil.move(tmp_path / "photos/least.png", tmp_path / "photos/new/renamed.png")
    collection.sync([tmp_path / "photos"])
    assert kept(collection)[0] == "renamed.png"


def test_what_lies_in_a_reference_folder_is_kept_all_the_same(collection: Collection, tmp_path: Path) -> None:
    save(scene(1, size=SIZE), tmp_path / "photos/masters/master.jpg", scale=0.7)
    collection.sync([tmp_path / "photos"])
    Chosen(collection).choose("photos/least.png")
    found = told(find(collection, references=[str(tmp_path / "photos/masters")]))
    assert set(found) == {"master.jpg"}


def test_who_is_not_there_cannot_be_chosen(collection: Collection) -> None:
    with pytest.raises(UnknownId, match="nobody is not in"):
        Chosen(collection).choose("nobody")


def test_what_the_page_saves_is_read() -> None:
    assert as_choice({"keep": "a" * 64, "name": "x.jpg"}) == Choice("a" * 64, "x.jpg")
    for wrong in ({"keep": "x"}, {"keep": None}, {}):
        with pytest.raises(BadQuery, match="SHA-256"):
            as_choice(wrong)
