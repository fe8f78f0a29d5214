"""Splits: shares, strata, near-copies that stay together, files that go out and come back. Needs no torch."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import COLOURS, ColourEmbedder, encode, picture

from lookalike.errors import BadQuery, SourceError
from lookalike.search import Collection
from lookalike.train.split import (
    Split,
    SplitOptions,
    assign_parts,
    connected_components,
    equal_pairs,
    label_of,
    make_split,
    near_copies,
)
from lookalike.train.split_file import read_split, write_split

ALONE = np.arange(100)


def options(**values: object) -> SplitOptions:
    return SplitOptions(**{"test": 0.2, "val": 0.1, **values})  # type: ignore[arg-type]


def test_shares_are_met_within_one_picture_in_each_label():
    labels = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    parts = assign_parts(labels, ALONE, options())
    assert Counter(parts) == {"train": 70, "test": 20, "val": 10}
    for label, count in (("a", 50), ("b", 30), ("c", 20)):
        tested = sum(part == "test" for name, part in zip(labels, parts, strict=True) if name == label)
        assert abs(tested - 0.2 * count) <= 1


def test_the_seed_decides():
    labels = ["a"] * 100
    assert assign_parts(labels, ALONE, options()) == assign_parts(labels, ALONE, options())
    assert assign_parts(labels, ALONE, options()) != assign_parts(labels, ALONE, options(seed=1))


def test_ties_never_straddle():
    ties = ALONE // 5 * 5
    parts = assign_parts(["a", "b"] * 50, ties, options())
    for tie in set(ties.tolist()):
        assert len({parts[row] for row in np.flatnonzero(ties == tie)}) == 1
    assert 15 <= parts.count("test") <= 25


def test_a_tie_larger_than_the_small_parts_goes_to_training():
    parts = assign_parts([""] * 100, np.where(ALONE < 80, 0, ALONE), options())
    assert {parts[row] for row in range(80)} == {"train"}
    assert parts.count("test") > 5


def test_no_part_that_was_asked_for_is_empty():
    parts = assign_parts([""] * 12, np.arange(12) // 3, options(test=0.1, val=0.02))
    assert Counter(parts) == {"train": 6, "val": 3, "test": 3}
    assert Counter(assign_parts([""] * 12, np.arange(12) // 3, options(test=0.1, val=0))) == {"train": 9, "test": 3}


def test_unseen_labels_are_whole():
    labels = [f"{row // 4}" for row in range(100)]
    parts = assign_parts(labels, ALONE, options(unseen=True))
    for label in set(labels):
        assert len({part for name, part in zip(labels, parts, strict=True) if name == label}) == 1
    assert parts.count("test") == pytest.approx(20, abs=4)


def test_unseen_validation_and_test_have_two_labels_where_there_are_enough():
    for count, expected in ((10, (2, 2)), (5, (2, 1)), (4, (1, 1))):
        labels = [f"{row % count}" for row in range(1000)]
        parts = assign_parts(labels, np.arange(1000), options(unseen=True, val=0.02, test=0.05))
        names = {part: {name for name, its in zip(labels, parts, strict=True) if its == part} for part in parts}
        assert (len(names["val"]), len(names["test"])) == expected
        assert len(names["train"]) >= 2


def test_an_unseen_label_of_one_picture_is_not_what_fills_a_part_up():
    labels = [*(f"{row % 8}" for row in range(800)), "lone", "alone"]
    parts = assign_parts(labels, np.arange(802), options(unseen=True, val=0.02, test=0.05))
    names = {name for name, part in zip(labels, parts, strict=True) if part == "val"} - {"lone", "alone"}
    assert names


def test_ties_hold_across():
    assert connected_components(6, [(0, 3), (3, 5), (1, 2)]).tolist() == [0, 1, 1, 0, 4, 0]
    assert equal_pairs(["x", "", "y", "x", ""]) == [(0, 3)]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Five folders of eight pictures, and a byte-for-byte copy and a nearly equal one of some."""
    for name, colour in COLOURS.items():
        for n in range(8):
            path = tmp_path / "photos" / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(picture(colour, seed=n)))
        (path.parent / "copy.png").write_bytes(path.read_bytes())
    return tmp_path / "photos"


def test_near_copies_and_hashes_of_a_collection(labelled):
    with Collection.open("memory:", model=ColourEmbedder()) as photos:
        photos.sync(labelled)
        # the colour embedder sees one colour as one picture: each folder is one group
        split, report = make_split(photos, options(min_score=0.999))
        exact, counted = make_split(photos, options(min_score=1.01))
    assert Counter(split.labels) == dict.fromkeys(COLOURS, 9)
    assert report.groups == 5
    assert all(len({p for p, name in zip(split.parts, split.labels, strict=True) if name == c}) == 1 for c in COLOURS)
    assert report.leak > 0
    assert counted.groups == 5
    assert counted.grouped == 10
    at = dict(zip(exact.paths, exact.parts, strict=True))
    assert all(at[str(labelled / c / "7.png")] == at[str(labelled / c / "copy.png")] for c in COLOURS)


def test_pairs_of_near_copies_by_hand():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], np.float32)
    assert near_copies(vectors, 0.8) == [(0, 3), (1, 2)]


def test_labels_come_from_the_manifest_or_the_first_folder():
    assert label_of("/p/cats/a/1.png", "/p", None, "auto") == "cats"
    assert label_of("/p/1.png", "/p", None, "auto") == ""
    assert label_of("/p/cats/1.png", "/p", "dog", "auto") == "dog"
    assert label_of("/p/cats/1.png", "/p", "dog", "folder") == "cats"
    assert label_of("/p/cats/1.png", "/p", "dog", "none") == ""


@pytest.mark.parametrize("shares", [{"test": 0.9, "val": 0.2}, {"test": -0.1}, {"val": 1.0}])
def test_shares_that_leave_nothing_are_refused(shares, labelled):
    with (
        Collection.open("memory:", model=ColourEmbedder()) as photos,
        pytest.raises(BadQuery, match="nothing to train"),
    ):
        make_split(photos, options(**shares))


def test_unseen_needs_labels(tmp_path, photos):
    with Collection.open("memory:", model=ColourEmbedder()) as opened:
        opened.sync(photos)
        with pytest.raises(BadQuery, match="fewer than three"):
            make_split(opened, options(unseen=True))


@pytest.mark.parametrize("name", ["split.csv", "split.parquet"])
def test_a_split_comes_back_and_can_move_with_its_folder(tmp_path, labelled, name):
    paths = sorted(str(p) for p in labelled.rglob("*.png"))
    parts = ["train", "val", "test"] * (len(paths) // 3)
    split = Split(paths=paths, labels=["é,"] * len(paths), parts=parts)
    write_split(split, tmp_path / name)
    assert read_split(tmp_path / name) == split
    with pytest.raises(SourceError, match="made once"):
        write_split(split, tmp_path / name)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert len(read_split(moved / name).paths) == len(paths)


def test_a_split_that_a_spreadsheet_saved_again(tmp_path, labelled):
    lines = ["\ufeffpath;label;part", *(f"photos/{c}/{n}.png;{c};train" for c in ("red", "blue") for n in range(2))]
    (tmp_path / "split.csv").write_text("\n".join(lines), encoding="utf-8")
    split = read_split(tmp_path / "split.csv")
    assert [Path(path).name for path in split.paths] == ["0.png", "1.png"] * 2
    assert split.labels == ["red", "red", "blue", "blue"]


def test_missing_images_of_a_split_are_listed(tmp_path, labelled):
    paths = sorted(str(p) for p in labelled.rglob("*.png"))
    write_split(Split(paths=paths, labels=[""] * 45, parts=["train", "val", "test"] * 15), tmp_path / "split.csv")
    for path in paths[1:3]:
        Path(path).unlink()
    split = read_split(tmp_path / "split.csv")
    assert split.missing == ((paths[1], "val"), (paths[2], "test"))
    assert split.missing_paths() == [paths[1]]


def test_a_moved_folder_is_reported_and_found(tmp_path, labelled):
    paths = sorted(str(p) for p in labelled.rglob("*.png"))
    file = tmp_path / "elsewhere" / "split.csv"
    write_split(Split(paths=paths, labels=[""] * len(paths), parts=["train"] * len(paths)), file)
    new = labelled.rename(tmp_path / "new place")
    with pytest.raises(SourceError, match=r"none of the 45 images.*--root"):
        read_split(file)
    assert read_split(file, root=new).paths == [p.replace(str(labelled), str(new)) for p in paths]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\na.png,x\n", "no column 'part'"),
        ("file,part\na.png,train\n", "no column 'path'"),
        ("path,part\na.png,trian\n", "nearest: train"),
        ("path,part\n", "holds no rows.*lookalike split"),
    ],
)
def test_files_that_are_no_split(tmp_path, text, reason):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(SourceError, match=reason):
        read_split(tmp_path / "split.csv")
    with pytest.raises(SourceError, match="lookalike split"):
        read_split(tmp_path / "none.csv")


def test_splitting_loads_no_torch():
    code = "import sys, lookalike.train.split_file, lookalike.train.config as c; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
