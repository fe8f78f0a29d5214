"""Asking: one picture, several, less of one, a part of one, an id, a vector, a condition."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import BadFilter, BadQuery, ModelMismatch, NoCollection, UnknownId, UnreadableImage
from lookalike.indexing.plan import BUILTIN_COLUMNS
from lookalike.search import Collection, Query
from tests.conftest import COLOURS, ColourEmbedder, encode, picture


@pytest.fixture
def filled(collection: Collection, photos: Path) -> Collection:
    collection.sync(photos)
    return collection


def names(hits: object) -> list[str]:
    return [Path(h.id).stem for h in hits]  # type: ignore[attr-defined]


def test_the_nearest_colour_comes_first(filled: Collection) -> None:
    hits = filled.search(encode(picture((240, 150, 30), seed=99)), k=2)
    assert names(hits) == ["orange", "red"]
    assert hits[0].score > 0.99 > hits[1].score
    assert hits[0].metadata["width"] == 48
    assert "thumbnail" not in hits[0].metadata


@pytest.mark.parametrize("form", ["path", "text", "bytes", "array", "pil"])
def test_a_query_may_come_in_any_shape(filled: Collection, photos: Path, form: str) -> None:
    path = photos / "violet.png"
    with Image.open(path) as opened:
        pil = opened.copy()
    shapes = {
        "path": path,
        "text": str(path),
        "bytes": path.read_bytes(),
        "array": np.asarray(pil),
        "pil": pil,
    }
    assert names(filled.search(shapes[form], 1)) == ["violet"]


def test_several_pictures_are_summed_and_one_may_be_taken_away(filled: Collection, photos: Path) -> None:
    both = filled.search([photos / "red.png", photos / "blue.png"], 1)
    assert names(both) == ["violet"]
    less = filled.search(photos / "violet.png", 1, minus=[photos / "blue.png"])
    assert names(less) == ["red"]


def test_a_query_by_id_leaves_itself_out(filled: Collection) -> None:
    hits = filled.search_by_id("photos/red.png", 10)
    assert len(hits) == 4
    assert "red" not in names(hits)


def test_ids_and_pictures_may_be_mixed(filled: Collection, photos: Path) -> None:
    assert names(filled.search(["id:photos/red.png", photos / "blue.png"], 1)) == ["violet"]


def test_a_region_is_what_counts(filled: Collection) -> None:
    halves = np.concatenate([picture(COLOURS["green"]), picture(COLOURS["blue"])], axis=1)
    assert names(filled.search(encode(halves), 1, region=(0.5, 0, 0.5, 1))) == ["blue"]
    assert names(filled.search(encode(halves), 1, region=(0, 0, 0.5, 1))) == ["green"]


@pytest.mark.parametrize("region", [(0, 0, 0, 1), (0.5, 0, 0.6, 1), (-0.1, 0, 0.5, 1), (0, 0, 2, 2)])
def test_a_region_outside_the_picture_is_refused(region: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadQuery, match="fractions"):
        Query(["x.png"], regions=[region])


def test_a_picture_minus_itself_is_no_question(filled: Collection, photos: Path) -> None:
    with pytest.raises(BadQuery, match="cancel"):
        filled.search(photos / "red.png", minus=[photos / "red.png"])


def test_batches_answer_as_single_queries_do(filled: Collection, photos: Path) -> None:
    queries = [photos / "red.png", photos / "blue.png", b"" + (photos / "green.png").read_bytes()]
    together = filled.search_many(queries, 3)
    assert [r.hits for r in together] == [filled.search(q, 3).hits for q in queries]


def test_vectors_need_not_be_of_length_one(filled: Collection) -> None:
    (results,) = filled.search_by_vector(np.array([[3000.0, -1500.0, -1500.0]]), 1)
    assert names(results) == ["red"]
    with pytest.raises(BadQuery, match="colour makes 3"):
        filled.search_by_vector(np.ones((1, 4)))


def test_conditions_and_cut_offs(filled: Collection, photos: Path) -> None:
    assert len(filled.search(photos / "red.png", 10, where="width = 48 and height < 100")) == 5
    assert len(filled.search(photos / "red.png", 10, where="width > 1000")) == 0
    assert names(filled.search(photos / "red.png", 10, min_score=0.9)) == ["red"]
    with pytest.raises(BadFilter, match="widht"):
        filled.search(photos / "red.png", where="widht > 3")


def test_k_beyond_the_size_gives_what_there_is(filled: Collection, photos: Path) -> None:
    assert len(filled.search(photos / "red.png", 1000)) == 5
    with pytest.raises(BadQuery, match="k is 0"):
        filled.search(photos / "red.png", 0)


def test_unknown_ids_and_files_are_named(filled: Collection) -> None:
    with pytest.raises(UnknownId, match="nobody"):
        filled.search_by_id("nobody")
    with pytest.raises(UnreadableImage, match=r"nothing\.png"):
        filled.search("/nowhere/nothing.png")


def test_pictures_in_memory_are_added_under_given_ids(collection: Collection) -> None:
    report = collection.add(
        [picture(COLOURS["red"]), encode(picture(COLOURS["blue"])), b"rubbish"],
        ids=["r", "b", "x"],
        metadata=[{"price": 2}, {"price": 3}, {}],
    )
    assert (report.added, [f.path for f in report.failed]) == (2, ["bytes"])
    assert [h.id for h in collection.search(picture(COLOURS["red"]), where="price >= 2")] == ["r", "b"]
    assert collection.add([picture(COLOURS["green"])], ids=["r"]).changed == 1
    assert collection.search(picture(COLOURS["green"]), 1)[0].score > 0.999


def test_of_one_id_twice_the_last_wins_also_in_one_batch(collection: Collection) -> None:
    collection.add([picture(COLOURS["red"]), picture(COLOURS["blue"])], ids=["same", "same"])
    assert len(collection) == 1
    assert collection.search(picture(COLOURS["blue"]), 1)[0].score > 0.999


def test_ids_must_be_as_many_as_pictures(collection: Collection) -> None:
    with pytest.raises(BadQuery, match="2 images and 1 ids"):
        collection.add([picture(COLOURS["red"])] * 2, ids=["one"])


def test_a_picture_of_one_colour_is_kept_and_flagged(collection: Collection) -> None:
    report = collection.add([np.full((40, 40, 3), 200, np.uint8), picture(COLOURS["red"])], ids=["flat", "not"])
    assert report.plain == 1
    rows = collection.get(["flat", "not"])
    assert [row.metadata["plain"] for row in rows if row] == [True, False]


def test_another_model_is_refused_with_the_command_to_rebuild(
    tmp_path: Path, photos: Path, embedder: ColourEmbedder
) -> None:
    with Collection.open(tmp_path / "c", model=embedder, create=True) as made:
        made.sync(photos)
    with pytest.raises(ModelMismatch, match="create a new collection with that model") as caught:
        Collection.open(tmp_path / "c", model=ColourEmbedder("other"))
    assert caught.value.command == f"index {photos} -c {tmp_path / 'c'} --model other --add"


def test_no_collection_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoCollection, match=r"create one with Collection\.open") as caught:
        Collection.open(tmp_path / "nothing")
    assert caught.value.command == f"index FOLDER -c {tmp_path / 'nothing'}"


def test_a_result_shows_itself_as_thumbnails_and_escapes_names(collection: Collection) -> None:
    collection.add([picture(COLOURS["red"])], ids=['<b>"name"</b>'])
    html = collection.search(picture(COLOURS["red"]))._repr_html_()
    assert "data:image/jpeg;base64," in html
    assert "<b>&quot;" not in html.replace("<b>1", "")
    assert "&lt;b&gt;&quot;name&quot;&lt;/b&gt;" in html
    assert "1.000" in repr(collection.search(picture(COLOURS["red"])))


def test_thumbnails_are_small_jpegs(collection: Collection) -> None:
    collection.add([picture(COLOURS["red"], size=(1000, 500))], ids=["big"])
    (jpeg, none) = collection.thumbnails(["big", "unknown"])
    assert jpeg is not None
    assert none is None
    assert Image.open(io.BytesIO(jpeg)).size == (256, 128)


def test_removing_is_by_id_and_harmless_twice(filled: Collection) -> None:
    assert filled.remove(["photos/red.png", "nobody"]) == 1
    assert filled.remove(["photos/red.png"]) == 0
    assert "photos/red.png" not in filled
    assert "photos/blue.png" in filled


def test_reopening_finds_everything_again(tmp_path: Path, photos: Path, embedder: ColourEmbedder) -> None:
    with Collection.open(tmp_path / "c", model=embedder, create=True) as made:
        made.sync(photos)
        before = made.search(photos / "red.png").hits
    with Collection.open(tmp_path / "c", model=embedder, read_only=True) as again:
        assert again.search(photos / "red.png").hits == before
        assert [r.path for r in again.roots()] == [str(photos)]


def test_a_collection_whose_maker_was_killed_at_once_is_taken_over(tmp_path: Path, photos: Path) -> None:
    from lookalike.store import open_store

    open_store(str(tmp_path / "c"), dim=3, columns=BUILTIN_COLUMNS, create=True).close()
    with pytest.raises(NoCollection, match="never completed"):
        Collection.open(tmp_path / "c")
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as taken:
        assert taken.sync(photos).added == 5
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as again:
        assert again.card.name == "colour"


def test_an_unfinished_collection_of_another_size_is_refused(tmp_path: Path) -> None:
    from lookalike.store import open_store

    open_store(str(tmp_path / "c"), dim=7, create=True).close()
    with pytest.raises(ModelMismatch, match="7 numbers, and colour makes 3"):
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True)


def test_the_former_name_of_ids_under_still_works(filled: Collection, photos: Path) -> None:
    with pytest.warns(DeprecationWarning, match="ids_under"):
        assert filled.ids_beneath(str(photos)) == filled.ids_under(str(photos))
