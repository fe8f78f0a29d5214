"""Arrays, Arrow tables and data frames of a collection; vectors computed elsewhere; metadata that changes."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import BadQuery, LookalikeError, ModelMismatch, UnknownId
from lookalike.indexing.plan import BUILTIN_COLUMNS
from lookalike.search import Collection
from lookalike.search.tables import to_data_frame
from tests.conftest import COLOURS, picture

AXES = {"c": (2.0, 0, 0), "a": (0, 3.0, 0), "b": (0, 0, -1.0)}


@pytest.fixture
def axes(collection: Collection) -> Collection:
    """Three vectors along the axes, of other lengths than 1 and not in the order of their ids."""
    report = collection.add(vectors=list(AXES.values()), ids=list(AXES), metadata=[{"n": 1}, {"n": 2}, {}])
    assert (report.added, report.changed, report.failed) == (3, 0, [])
    return collection


def test_vectors_come_out_in_the_order_of_their_ids(axes: Collection) -> None:
    ids, vectors = axes.vectors()
    assert ids == axes.ids() == ["a", "b", "c"]
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[0, 1, 0], [0, 0, -1], [1, 0, 0]]
    some, few = axes.vectors("n = 1")
    assert (some, few.tolist()) == (["c"], [[1, 0, 0]])
    none, empty = axes.vectors({"n": 9})
    assert (none, empty.shape, empty.dtype) == ([], (0, 3), np.float32)


def test_an_empty_collection_has_empty_arrays(collection: Collection) -> None:
    ids, vectors = collection.vectors()
    assert (ids, vectors.shape, collection.ids()) == ([], (0, 3), [])
    table = collection.to_arrow(columns=["vector", "width"])
    assert (table.num_rows, table.column_names) == (0, ["id", "vector", "width"])


def test_added_vectors_are_searched(axes: Collection) -> None:
    (results,) = axes.search_by_vector([0, 1, 0], 1)
    assert [(hit.id, hit.score, hit.metadata["n"]) for hit in results] == [("a", 1.0, 2)]
    assert [hit.id for hit in axes.search_by_id("a")] == ["b", "c"]  # without a picture to show
    assert axes.search("id:a").pictures == ()
    with pytest.raises(UnknownId, match="not available"):
        axes.search("id:a", region=(0, 0, 0.5, 0.5))
    assert axes.add(vectors=np.array([1, 1, 0]), ids="a").changed == 1
    assert axes.vectors({"id": "a"})[1] == pytest.approx(np.array([[1, 1, 0]]) / np.sqrt(2))


def test_the_caller_s_vectors_are_not_changed(collection: Collection) -> None:
    vectors = np.array([[3.0, 4.0, 0.0]])
    collection.add(vectors=vectors, ids=["x"])
    assert vectors.tolist() == [[3, 4, 0]]


@pytest.mark.parametrize(
    ("vectors", "ids", "error", "match"),
    [
        (np.ones((1, 4)), ["x"], ModelMismatch, "4 numbers and colour makes 3"),
        (np.ones((2, 3)), ["x"], BadQuery, r"\(2, 3\).*1 ids"),
        (np.ones((1, 1, 3)), ["x"], BadQuery, "shape"),
        (np.ones(3), ["x", "y"], BadQuery, "shape"),
        ([[1, 2, 3], [1, np.nan, 3]], ["x", "y"], BadQuery, "'y' is not finite"),
        ([[1, 2, 3], [0, 0, 0]], ["x", "y"], BadQuery, "'y' is zero"),
        ([[1, 2, 3], [1]], ["x", "y"], BadQuery, "rectangular"),
        ([["a", "b", "c"]], ["x"], BadQuery, "numbers"),
        (np.ones((1, 3)), None, BadQuery, "pass ids"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    collection: Collection, vectors: object, ids: list[str] | None, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        collection.add(vectors=vectors, ids=ids)  # type: ignore[arg-type]
    assert len(collection) == 0


def test_images_and_vectors_are_not_added_together(collection: Collection) -> None:
    with pytest.raises(BadQuery, match="either images or vectors"):
        collection.add([picture(COLOURS["red"])], ["x"], vectors=np.ones((1, 3)))


def test_an_update_changes_the_named_columns_alone(axes: Collection) -> None:
    before = axes.vectors()[1]
    assert axes.update(["c", "a", "nobody", "c"], [{"n": 5}, {"label": "sea"}, {"n": 1}, {"shop": "x"}]) == 2
    assert axes.update("b", {"label": "land"}) == 1
    version = axes.store.version
    assert axes.update("nobody", {"color": "red"}) == 0
    assert (axes.store.version, "color" in axes.store.columns()) == (version, False)
    rows = axes.get(["a", "b", "c"], ["n", "label", "shop"])
    assert [row.metadata for row in rows if row] == [
        {"n": 2, "label": "sea", "shop": None},
        {"n": None, "label": "land", "shop": None},
        {"n": 5, "label": None, "shop": "x"},
    ]
    assert np.array_equal(axes.vectors()[1], before)
    assert axes.update(["a", "b"], {"label": "both"}) == 2
    assert axes.ids({"label": "both"}) == ["a", "b"]


def test_nan_is_a_missing_value(axes: Collection) -> None:
    axes.update(["a", "b"], {"label": "sea"})
    axes.update(["a", "b"], [{"label": float("nan"), "n": np.float64("nan")}, {"n": float("nan")}])
    assert [row.metadata for row in axes.get(["a", "b"], ["label", "n"]) if row] == [
        {"label": None, "n": None},
        {"label": "sea", "n": None},
    ]
    assert axes.store.columns()["n"] is int
    axes.add(vectors=np.eye(3)[:1], ids="d", metadata={"label": float("nan")})
    axes.add(picture(COLOURS["red"]), "e", {"label": float("nan")})
    assert axes.ids({"label": None}) == ["a", "c", "d", "e"]


@pytest.mark.parametrize("name", [name for name in BUILTIN_COLUMNS if name != "label"])
def test_an_update_refuses_the_columns_that_lookalike_fills(axes: Collection, name: str) -> None:
    with pytest.raises(BadQuery, match=f"'{name}' is filled by Lookalike itself; .*such as '{name}_'"):
        axes.update(["a", "b"], [{"label": "x"}, {name: "x"}])
    assert axes.ids({"label": "x"}) == []
    assert f"{name}_" not in axes.store.columns()


def test_a_report_names_the_columns_that_are_stored_under_another_name(collection: Collection) -> None:
    report = collection.add(picture(COLOURS["red"]), "x", {"width": 7, "shop": "y", "label": "z"})
    assert report.renamed_columns == {"width": "width_"}
    (row,) = collection.get("x", ["width", "width_"])
    assert row is not None
    assert row.metadata == {"width": 48, "width_": 7}
    report = collection.add(vectors=np.eye(3)[:1], ids="v", metadata={"format": "raw"})
    assert report.renamed_columns == {"format": "format_"}


@pytest.mark.parametrize("commit", [1, 2, 100])
@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_a_report_counts_images_with_one_id(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, kind: str, commit: int
) -> None:
    monkeypatch.setattr("lookalike.search.tables.COMMIT_ROWS", commit)
    monkeypatch.setattr("lookalike.indexing.add.COMMIT_IMAGES", commit)
    colors = [picture(color) for color in COLOURS.values()]
    values = {"vectors": np.eye(3)[[0, 1, 2, 0]]} if kind == "vectors" else {"images": colors[:4]}
    known = {"vectors": np.eye(3)[:1]} if kind == "vectors" else {"images": colors[:1]}
    collection.add(**known, ids=["b"])
    report = collection.add(**values, ids=["a", "b", "a", "a"], metadata=[{"n": n} for n in range(4)])
    assert (report.added, report.changed) == (1, 1)
    assert [failure.path for failure in report.failed] == ["a", "a"]
    assert "its id 'a' is used again further on; the last one wins" in report.failed[0].reason
    rows = collection.get(["a", "b"], ["n"])
    assert [row.metadata["n"] for row in rows if row] == [3, 1]
    assert len(collection) == 2


def test_a_table_has_the_columns_types(axes: Collection) -> None:
    axes.update("a", {"price": 1.5, "sold": True, "note": "x"})
    table = axes.to_arrow(columns=["n", "price", "sold", "note", "thumbnail", "vector"])
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "string"),
        ("n", "int64"),
        ("price", "double"),
        ("sold", "bool"),
        ("note", "string"),
        ("thumbnail", "binary"),
        ("vector", "fixed_size_list<item: float>[3]"),
    ]
    a, b, c = table.to_pylist()
    assert a == {
        "id": "a", "n": 2, "price": 1.5, "sold": True, "note": "x", "thumbnail": None, "vector": [0, 1, 0],
    }  # fmt: skip
    assert (b["id"], b["n"], b["price"], b["sold"]) == ("b", None, None, None)
    assert (c["id"], c["n"]) == ("c", 1)


def test_a_table_has_all_metadata_but_thumbnails(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    table = collection.to_arrow("width = ?", parameters=[48])
    assert table.num_rows == 5
    assert table.column_names == ["id", *(name for name in collection.store.columns() if name != "thumbnail")]
    assert table["width"].to_pylist() == [48] * 5
    assert all(collection.to_arrow(columns=["thumbnail"])["thumbnail"].to_pylist())
    with pytest.raises(BadQuery, match=r"'widht'.*width"):
        collection.to_arrow(columns=["widht"])


def test_a_data_frame_is_the_table_in_pandas(axes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace())
    tables = []
    monkeypatch.setattr("lookalike.search.collection.to_data_frame", tables.append)
    axes.to_pandas({"n": [1, 2]}, "n")
    assert tables[0].equals(pa.table({"id": ["a", "c"], "n": [2, 1]}))
    assert to_data_frame(SimpleNamespace(to_pandas=lambda: "frame")) == "frame"  # type: ignore[arg-type]


def test_a_missing_pandas_is_named(axes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LookalikeError, match="pip install pandas"):
        axes.to_pandas()
