"""One item where a list is expected is a list of one; numbers are numbers; errors name the argument."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.duplicates import find_duplicates
from lookalike.errors import BadQuery, CollectionError
from lookalike.image.region import check_region
from lookalike.search import Collection, Query
from lookalike.search.arguments import image_list
from lookalike.store import open_store
from tests.conftest import COLOURS, encode, picture

LETTERS = ("a", "b", "c")


@pytest.fixture
def letters(collection: Collection) -> Collection:
    """The images "a", "b", "c" and "cab": a str read as a sequence of ids finds the first three."""
    names = [*LETTERS, "cab"]
    collection.add([picture(COLOURS["red"], seed=n) for n in range(4)], ids=names)
    return collection


def test_removing_cab_does_not_remove_its_letters(letters: Collection) -> None:
    assert letters.remove("cab") == 1
    assert letters.ids() == list(LETTERS)


ONE_ITEM: dict[str, tuple[Callable[[Collection], Any], Callable[[Collection], Any]]] = {
    "get": (lambda c: c.get("cab"), lambda c: c.get(["cab"])),
    "get columns": (lambda c: c.get(["cab"], "width"), lambda c: c.get(["cab"], ["width"])),
    "thumbnails": (lambda c: c.thumbnails("cab"), lambda c: c.thumbnails(["cab"])),
    "update": (lambda c: c.update("cab", {"x": 1}), lambda c: c.update(["cab"], [{"x": 1}])),
    "remove": (lambda c: c.remove("cab"), lambda c: c.remove(["cab"]) or 1),
    "search_many": (lambda c: c.search_many("id:cab", 2), lambda c: c.search_many(["id:cab"], 2)),
    "search_many query": (lambda c: c.search_many(Query(["id:cab"]), 2), lambda c: c.search_many(["id:cab"], 2)),
    "search": (lambda c: c.search("id:cab", 2), lambda c: c.search(["id:cab"], 2)),
    "minus": (
        lambda c: c.search("id:cab", 2, minus=picture(COLOURS["blue"])),
        lambda c: c.search("id:cab", 2, minus=[picture(COLOURS["blue"])]),
    ),
    "to_arrow columns": (lambda c: c.to_arrow(columns="width"), lambda c: c.to_arrow(columns=["width"])),
}


@pytest.mark.parametrize("name", ONE_ITEM)
def test_one_item_is_a_list_of_one(letters: Collection, name: str) -> None:
    single, listed = ONE_ITEM[name]
    assert single(letters) == listed(letters)


@pytest.mark.parametrize("form", ["text", "path", "bytes", "array", "pil"])
def test_one_image_is_added_under_one_id(collection: Collection, tmp_path: Path, form: str) -> None:
    image = picture(COLOURS["green"])
    path = tmp_path / "green.png"
    path.write_bytes(encode(image))
    forms = {
        "text": str(path),
        "path": path,
        "bytes": path.read_bytes(),
        "array": image,
        "pil": Image.fromarray(image),
    }
    assert collection.add(forms[form], ids="cab", metadata={"x": 1}).added == 1
    assert collection.ids({"x": 1}) == ["cab"]


def test_an_array_of_several_images_is_several_images() -> None:
    one = picture(COLOURS["red"])
    assert [image.shape for image in image_list(np.stack([one, one]))] == [one.shape] * 2
    assert len(image_list(np.zeros((5, 30, 40), np.uint8))) == 5
    assert len(image_list(np.zeros((30, 40), np.uint8))) == 1
    assert image_list(["a.png", "b.png"]) == image_list(iter(["a.png", "b.png"])) == ["a.png", "b.png"]


@pytest.mark.parametrize("image", ["x.png", Path("x.png"), b"bytes"])
def test_a_query_of_one_image_needs_no_list(image: Any) -> None:
    assert Query(image, minus=image) == Query([image], minus=[image])


def test_one_source_is_a_list_of_one(collection: Collection, photos: Path) -> None:
    assert collection.sync(photos).added == 5
    assert collection.forget_roots(str(photos)) == [str(photos)]
    assert collection.forget_roots(photos) == []
    for wrong in (b"photos", 3, [3]):
        with pytest.raises(BadQuery, match="source"):
            collection.sync(wrong)  # type: ignore[arg-type]
        with pytest.raises(BadQuery, match="source"):
            collection.forget_roots(wrong)  # type: ignore[arg-type]


NO_IDS: dict[str, Callable[[Collection], Any]] = {
    "get bytes": lambda c: c.get(b"cab"),
    "get path": lambda c: c.get(Path("cab")),
    "get number": lambda c: c.get([1]),
    "get none": lambda c: c.get(None),
    "get columns": lambda c: c.get(["a"], 3),
    "thumbnails": lambda c: c.thumbnails([b"a"]),
    "remove": lambda c: c.remove([None]),
    "remove path": lambda c: c.remove([Path("a")]),
    "update": lambda c: c.update([1], {"x": 1}),
    "update metadata": lambda c: c.update(["a"], "x"),
    "update metadata items": lambda c: c.update(["a"], ["x"]),
    "update counts": lambda c: c.update(["a", "b"], [{"x": 1}]),
    "add ids": lambda c: c.add([picture(COLOURS["red"])], ids=[7]),
    "add images": lambda c: c.add({"a": picture(COLOURS["red"])}),
    "add nothing": lambda c: c.add(),
    "search_many": lambda c: c.search_many(None),
    "search_by_id": lambda c: c.search_by_id(1),
}


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_id_and_no_list_is_refused(letters: Collection, name: str) -> None:
    with pytest.raises(BadQuery):
        NO_IDS[name](letters)
    assert letters.ids() == [*LETTERS, "cab"]
    assert "x" not in letters.store.columns()


def test_what_is_no_text_is_no_id_of_an_image(letters: Collection) -> None:
    assert ("cab" in letters, 5 in letters, None in letters) == (True, False, False)


SEARCHES: dict[str, Callable[..., Any]] = {
    "search": lambda c, **options: c.search("id:a", **options),
    "search_many": lambda c, **options: c.search_many(["id:a"], **options),
    "search_by_vector": lambda c, **options: c.search_by_vector(np.ones(3), **options),
}


@pytest.mark.parametrize("k", [2.5, 2.0, "3", True, np.True_, None, [1], 0, -1, np.float32(2)])
@pytest.mark.parametrize("name", SEARCHES)
def test_k_is_a_whole_number(letters: Collection, name: str, k: Any) -> None:
    with pytest.raises(BadQuery, match=r"^k is "):
        SEARCHES[name](letters, k=k)


@pytest.mark.parametrize("score", ["x", "0.5", True, float("nan"), float("inf"), [0.5], 1j])
@pytest.mark.parametrize("name", SEARCHES)
def test_min_score_is_a_number(letters: Collection, name: str, score: Any) -> None:
    with pytest.raises(BadQuery, match=r"^min_score is "):
        SEARCHES[name](letters, min_score=score)


def test_a_number_of_numpy_is_a_number(letters: Collection) -> None:
    for number in (np.int64(2), np.uint8(2)):
        assert len(letters.search("id:a", number)) == 2
    assert len(letters.search("id:a", min_score=np.float32(0.5))) == 3
    assert len(letters.search("id:a", min_score=np.int64(-1))) == 3
    with pytest.raises(BadQuery, match="min_score"):
        letters.search("id:a", min_score=Decimal("0.5"))  # type: ignore[arg-type]


def test_bad_arguments_are_refused_before_an_image_is_read(letters: Collection) -> None:
    with pytest.raises(BadQuery, match="k is 0"):
        letters.search("/nowhere/nothing.png", 0)


@pytest.mark.parametrize("region", ["0,0,.5,.5", (0, 0, 0.5), (0, 0, 0.5, "x"), 7, (0, 0, 0.5, 0.5, 0.5)])
def test_a_region_is_four_numbers(region: object) -> None:
    with pytest.raises(BadQuery, match="is not four numbers"):
        check_region(region)  # type: ignore[arg-type]


def test_what_takes_a_collection_says_so() -> None:
    with pytest.raises(BadQuery, match=r"takes an open collection, not str; open it with lookalike.open"):
        find_duplicates("photos.lookalike")  # type: ignore[arg-type]


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(CollectionError, match=r"foo://x\S*: no store has this scheme; use a folder, s3://"):
        open_store("foo://x")
