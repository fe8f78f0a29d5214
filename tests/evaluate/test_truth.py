"""Ground truth as people write it: our table, a split, pairs, folders; and what is wrong with it in plain words."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from lookalike.errors import SourceError
from lookalike.evaluate import Truth, read_truth
from lookalike.evaluate.vectors import embed_files
from tests.conftest import ColourEmbedder
from tests.evaluate.conftest import Table


def names(truth: Truth, rows: object) -> list[str]:
    return [Path(truth.pictures[row].path).name for row in rows]  # type: ignore[attr-defined]


def test_our_table(photos: Path, table: Table, write: Callable[..., Path]) -> None:
    (photos.parent / "other").mkdir()
    (photos / "violet.png").rename(photos.parent / "other" / "violet.png")
    path = table(
        "ground_truth.csv",
        "path,label,role,attack",
        "red.png,warm,query,crop",
        "blue.png,,query,jpeg",
        "orange.png,warm,gallery,",
        "../other/violet.png,,gallery,",
        "gone.png,warm,gallery,",
    )
    for source in (path, photos):
        truth = read_truth(source)
        assert (truth.name, truth.kind) == ("photos", "table")
        assert names(truth, truth.queries) == ["red.png", "blue.png"]
        assert truth.query_labels.tolist() == ["warm", ""]
        assert names(truth, truth.gallery) == ["orange.png", "violet.png"]
        assert truth.gallery_labels.tolist() == ["warm", ""]
        assert truth.column("attack").tolist() == ["crop", "jpeg"]
        assert [Path(failure.path).name for failure in truth.skipped] == ["gone.png"]


def test_pictures_that_moved_are_found_below_the_root(photos: Path, table: Table) -> None:
    path = table("t.csv", "path,label,part", "red.png,a,test", "blue.png,b,test", "green.png,b,train")
    new = photos.parent / "new place"
    new.mkdir()
    for name in ("red", "blue"):
        (photos / f"{name}.png").rename(new / f"{name}.png")
    with pytest.raises(SourceError, match=r"none of its images exists.*--root FOLDER"):
        read_truth(path)
    truth = read_truth(path, root=new)
    assert names(truth, truth.queries) == ["red.png", "blue.png"]
    with pytest.raises(SourceError, match="a root is for the paths of a table"):
        read_truth(new, root=new)


def test_a_picture_may_be_query_and_gallery(photos: Path, table: Table) -> None:
    truth = read_truth(table("t.csv", "path,label,role", "red.png,a,query", "red.png,a,gallery", "blue.png,a,gallery"))
    assert truth.queries.tolist() == [0]
    assert truth.gallery.tolist() == [0, 1]


def test_a_split_is_judged_on_its_test_part(photos: Path, table: Table) -> None:
    truth = read_truth(
        table("s.csv", "path,label,part", "red.png,a,train", "blue.png,b,test", "green.png,b,test", "orange.png,a,val")
    )
    assert truth.kind == "split"
    assert names(truth, truth.queries) == names(truth, truth.gallery) == ["blue.png", "green.png"]
    with pytest.raises(SourceError, match="no row's part is 'test'"):
        read_truth(table("s.csv", "path,label,part", "red.png,a,train"))


def test_pictures_in_an_archive(photos: Path, table: Table, embedder: ColourEmbedder) -> None:
    with zipfile.ZipFile(photos / "a.zip", "w") as archive:
        archive.write(photos / "red.png", "in/red.png")
    truth = read_truth(
        table("t.csv", "path,label,role", "a.zip!/in/red.png,a,query", "red.png,a,gallery", "blue.png,b,gallery")
    )
    embedded = embed_files(truth.pictures, embedder)
    assert embedded.bad == ()
    assert np.array_equal(embedded.vectors[0], embedded.vectors[1])


def test_parquet_and_other_delimiters(photos: Path, table: Table) -> None:
    columns = {"Path": ["red.png", "blue.png"], "label": ["007", None], "role": ["query", "gallery"], "n": [1, 2]}
    pyarrow.parquet.write_table(pyarrow.table(columns), photos / "t.parquet")
    truth = read_truth(photos / "t.parquet")
    assert (truth.query_labels.tolist(), truth.gallery_labels.tolist()) == (["007"], [""])
    assert truth.column("n").tolist() == ["1"]
    plain = read_truth(table("t.csv", "\ufefffile;class", "red.png;a", "blue.png;a"))
    assert plain.query_labels.tolist() == ["a", "a"]


def test_folders_are_labels(tmp_path: Path, write: Callable[..., Path]) -> None:
    for name in ("cat/1.png", "cat/deep/2.png", "dog/3.png", "4.png"):
        write(name)
    truth = read_truth(tmp_path / "photos")
    assert dict(zip(names(truth, truth.queries), truth.query_labels.tolist(), strict=True)) == {
        "1.png": "cat",
        "2.png": "cat",
        "3.png": "dog",
        "4.png": "",
    }


def test_pairs(photos: Path, table: Table) -> None:
    truth = read_truth(
        table("p.csv", "a,b,same,who", "red.png,orange.png,1,x", "red.png,blue.png,false,y", "red.png,gone.png,1,x")
    )
    assert truth.kind == "pairs"
    assert names(truth, truth.first) == ["red.png", "red.png"]
    assert names(truth, truth.second) == ["orange.png", "blue.png"]
    assert truth.same.tolist() == [True, False]
    assert truth.column("who").tolist() == ["x", "y"]
    assert len(truth.skipped) == 1
    assert truth.without([truth.second[0]]).same.tolist() == [False]


def test_without_takes_a_picture_out_of_both_roles(photos: Path, table: Table) -> None:
    truth = read_truth(table("t.csv", "path,label,k", "red.png,a,1", "blue.png,b,2", "green.png,a,3")).without([1])
    assert truth.queries.tolist() == truth.gallery.tolist() == [0, 2]
    assert truth.column("k").tolist() == ["1", "3"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,kind", "x,y"], "its columns are name, kind; use path,label,role"),
        (["path,label,role"], "holds no rows"),
        ([""], "holds no rows"),
        (["path,label,role", "red.png,a,probe"], "role is 'probe'; use query or gallery"),
        (["path,label,role", "red.png,a,query"], "1 queries and 0 gallery"),
        (["path,label", "gone.png,a"], "none of its images exists .*--root FOLDER"),
        (["a,b,same", "red.png,blue.png,perhaps"], "same is 'perhaps'; use 1 or 0"),
        (["a,same", "red.png,1"], "pairs need the columns a, b and same"),
    ],
)
def test_errors_name_what_is_wrong(photos: Path, table: Table, lines: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_truth(table("t.csv", *lines))


def test_paths_without_ground_truth(photos: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        read_truth(photos / "nowhere")
    with pytest.raises(SourceError, match="holds no folders of images"):
        read_truth(photos)
    (photos / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match="cannot be read"):
        read_truth(photos / "t.parquet")
    with pytest.raises(SourceError, match=r"no column 'colou' .*nearest: colour"):
        Truth(name="t", kind="table", pictures=(), columns={"colour": np.array(["red"])}).column("colou")
