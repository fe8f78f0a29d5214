"""Vectors of further models beside a collection's own (search/added_models.py)."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.cluster import cluster, load_clusters, save_clusters
from lookalike.embed import get_embedder
from lookalike.errors import BadFilter, BadQuery, CollectionError, ModelMismatch, ReadOnly, UnknownId, UnknownModel
from lookalike.indexing.sync import SyncOptions
from lookalike.relate.hits import Refinement, search_refined
from lookalike.search import Collection, Query
from lookalike.store.model_store import ModelStore
from lookalike.types import RGB, Preprocessing, Vectors
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.words_model import write_words_model

pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")
NAME = "words"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_model(tmp_path_factory.mktemp("models") / NAME)


@pytest.fixture(params=["memory", "lance"])
def two(request: pytest.FixtureRequest, tmp_path: Path, photos: Path, model: Path) -> Iterator[Collection]:
    """One picture of each colour, embedded by a model of its own and by one for words."""
    uri = "memory:" if request.param == "memory" else str(tmp_path / "c")
    with Collection.open(uri, model=ColourEmbedder(), create=True) as opened:
        opened.sync(photos)
        assert opened.added_models.add(model) == NAME
        report = opened.sync()
        assert (report.unchanged, report.by_model[NAME].added) == (len(COLOURS), len(COLOURS))
        yield opened


def names(hits: object) -> list[str]:
    return [hit.id.split("/")[-1].removesuffix(".png") for hit in hits]  # type: ignore[attr-defined]


def test_words_go_to_the_model_that_reads_them_and_images_to_the_own(two: Collection, photos: Path) -> None:
    by_words = two.search("text:a red thing", 2)
    assert (names(by_words)[0], by_words.model, by_words.percentiles[by_words[0].id]) == ("red", NAME, 100)
    assert names(two.search([photos / "red.png", "text:blue"], 1)) == ["violet"]
    own = two.search(photos / "red.png", 2)
    assert (names(own)[0], own.model, len(own.vector)) == ("red", "", two.card.dim)  # type: ignore[arg-type]


def test_a_search_names_the_model(two: Collection, photos: Path) -> None:
    hits = two.search(photos / "red.png", 3, by=NAME)
    assert (names(hits)[0], hits.model, len(hits.vector)) == ("red", NAME, 4)  # type: ignore[arg-type]
    assert hits == two.by_model(NAME).search(photos / "red.png", 3)
    assert two.search_by_id(hits[0].id, 2, by=NAME) == hits[1:]
    (vector,) = get_embedder(two.by_model(NAME).model).embed_texts(["green"])  # type: ignore[attr-defined]
    assert names(two.search_by_vector(vector, 1, by=NAME)[0]) == ["green"]
    assert two.search(photos / "red.png", 3, by=two.card.name) == two.search(photos / "red.png", 3)
    with pytest.raises(BadQuery, match="neither a part of the vectors nor a model"):
        two.search(photos / "red.png", by="wrods")
    with pytest.raises(BadQuery, match="words say nothing about copies"):
        two.search("text:red", by="copy")


def test_hits_have_the_metadata_of_the_images_and_filters_use_it(two: Collection) -> None:
    red, blue = (next(i for i in two.ids() if name in i) for name in ("red", "blue"))
    for label in ("first", "second"):  # a filter is answered from what is true now, not from an earlier answer
        two.update([blue], {"label": label})
        assert [hit.id for hit in two.search("text:red", 5, where={"label": label})] == [blue]
    (row,) = two.get(red)
    assert row is not None
    assert two.search("text:red", 1)[0].metadata == row.metadata
    assert len(two.search("text:red", 5, where="label is null")) == len(COLOURS) - 1
    with pytest.raises(BadFilter):
        two.search("text:red", where="no_such_column = 1")


def test_relations_are_those_of_the_own_model(two: Collection, photos: Path) -> None:
    query = photos / "red.png"
    _, own = search_refined(two, query, 3, refinement=Refinement(relations=True))
    results, verdicts = search_refined(two, query, 3, refinement=Refinement(relations=True), by=NAME)
    assert results.model == NAME
    shared = own.keys() & verdicts.keys()
    assert shared
    assert {i: (v.relation, v.probability) for i, v in own.items() if i in shared} == {
        i: (v.relation, v.probability) for i, v in verdicts.items() if i in shared
    }


def test_every_change_of_the_files_reaches_both(two: Collection, photos: Path) -> None:
    (photos / "new.png").write_bytes(encode(picture(COLOURS["red"], seed=7)))
    (photos / "red.png").write_bytes(encode(picture(COLOURS["blue"], seed=8)))
    (photos / "green.png").unlink()
    (photos / "violet.png").rename(photos / "moved.png")
    report = two.sync()
    own = report.by_model[NAME]
    assert (report.added, report.changed, report.moved, report.removed) == (1, 1, 1, 1)
    assert (own.added, own.removed) == (2, 1)  # the moved file has its vector already
    assert sorted(two.by_model(NAME).ids()) == sorted(two.ids())
    assert names(two.search("text:red", 1)) == ["new"]
    assert set(names(two.search("text:blue", 2))) == {"blue", "red"}
    assert two.sync().by_model[NAME].added == 0


def test_a_stopped_run_continues_and_tells_what_is_missing(tmp_path: Path, photos: Path, model: Path) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as two:
        two.sync(photos)
        two.added_models.add(model)
        stop = threading.Event()
        stop.set()
        assert two.added_models.update(SyncOptions(workers=1, stop=stop))[NAME].interrupted
        assert (len(two.by_model(NAME)), list(two.search("text:red"))) == (0, [])
        assert two.sync().by_model[NAME].added == len(COLOURS)
        assert names(two.search("text:red", 1)) == ["red"]
    with Collection.open(tmp_path / "c") as again:  # and other processes see it
        assert again.added_models.names() == (NAME,)
        assert names(again.search("text:red", 1)) == ["red"]


def test_a_missing_drive_costs_no_vector_and_a_bad_file_is_reported_once(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as two:
        two.sync(photos)
        two.added_models.add(model)
        photos.rename(tmp_path / "unplugged")
        report = two.sync()
        assert (report.missing_roots, report.by_model[NAME].failed, len(two)) == ([str(photos)], [], len(COLOURS))
        (tmp_path / "unplugged").rename(photos)
        assert two.sync().by_model[NAME].added == len(COLOURS)
        photos.rename(tmp_path / "unplugged")
        two.sync()
        assert len(two.by_model(NAME)) == len(COLOURS)


def test_images_of_a_program_are_embedded_by_both(two: Collection) -> None:
    two.add([picture(COLOURS["red"], seed=5)], ["mine"], {"label": "r"})
    two.added_models.delete([i for i in two.ids() if "red" in i])
    assert [hit.id for hit in two.search("text:red", 1)] == ["mine"]
    assert two.search("text:red", 1)[0].metadata["label"] == "r"
    two.add(vectors=np.ones((1, two.card.dim)), ids=["mine"])  # what it shows now is unknown
    assert "mine" not in [hit.id for hit in two.search("text:red", 9)]
    two.remove("mine")
    assert "mine" not in two.by_model(NAME)


def test_vectors_without_images_take_no_place_among_the_hits(two: Collection) -> None:
    view = two.by_model(NAME)
    assert isinstance(view.store, ModelStore)
    (text,) = view.text_search.vectors(["red"])
    lost = [f"lost {n}" for n in range(40)]  # as if another process had just removed them
    view.store.vectors.add(lost, np.repeat(text[None], 40, 0), [{"sha256": "x"} for _ in lost])
    assert names(two.search("text:red", 3))[0] == "red"
    assert len(two.search("text:red", 3)) == 3
    assert len(two.search("text:red", 99)) == len(COLOURS)
    assert len(two.search("text:red", 99, where="width > 0")) == len(COLOURS)
    assert two.sync().by_model[NAME].removed == 40
    assert len(view) == len(COLOURS)


def test_the_view_is_a_collection_for_every_function(two: Collection) -> None:
    view = two.by_model(NAME)
    ids, vectors = view.vectors()
    assert (ids, vectors.shape) == (two.ids(), (len(COLOURS), 4))
    assert view.vectors({"path": "nothing"})[1].shape == (0, 4)
    assert [row["id"] for row in view.to_arrow(columns=["width", "vector"]).to_pylist()] == ids
    save_clusters(view, cluster(view, levels=(2,)))
    assert load_clusters(view).ids == ids
    assert "clusters" in view.store.settings
    assert "clusters" not in two.store.settings
    view.update([ids[0]], {"label": "shared"})
    assert two.get(ids[0])[0].metadata["label"] == "shared"  # type: ignore[union-attr]
    with pytest.raises(BadQuery, match="vectors of an added model"):
        view.add([picture(COLOURS["red"])], ["x"])
    assert view.remove([ids[0]]) == 1
    assert ids[0] not in two


def test_what_cannot_be_added(two: Collection, model: Path, tmp_path: Path) -> None:
    assert two.added_models.add(model) == NAME  # again: nothing happens
    with pytest.raises(BadQuery, match="the model of this collection already"):
        two.added_models.add(ColourEmbedder())
    other = write_words_model(tmp_path / "other" / NAME)
    preprocessing = other / "preprocessor_config.json"
    preprocessing.write_text(preprocessing.read_text().replace("32", "16"))
    with pytest.raises((ModelMismatch, BadQuery)):
        two.added_models.add(other)
    with pytest.raises(BadQuery, match="no model 'wrods' was added"):
        two.by_model("wrods")


def test_a_removed_model_leaves_nothing_and_can_come_back(two: Collection, model: Path) -> None:
    two.added_models.remove(NAME)
    assert two.added_models.names() == ()
    with pytest.raises(BadQuery, match="reads no words"):
        two.search("text:red")
    with pytest.raises(BadQuery, match="add one with"):
        two.by_model(NAME)
    assert two.uri == "memory:" or not any((Path(two.uri) / "models").iterdir())
    two.added_models.add(model)
    assert two.sync().by_model[NAME].added == len(COLOURS)
    assert names(two.search(Query(text="red"), 1)) == ["red"]


def test_a_collection_for_reading_is_not_changed(tmp_path: Path, photos: Path, model: Path) -> None:
    place = tmp_path / "c"
    with Collection.open(place, model=ColourEmbedder(), create=True) as two:
        two.sync(photos)
        two.added_models.add(model)
        two.sync()
    with Collection.open(place, read_only=True) as reader:
        view, ids = reader.by_model(NAME), reader.ids()
        before = sorted(path for path in place.rglob("*"))
        for change in (
            lambda: reader.remove(ids[:2]),
            lambda: view.remove(ids[:2]),
            lambda: reader.add(vectors=np.ones((1, 3)), ids=ids[:1]),
            lambda: save_clusters(view, cluster(view, levels=(2,))),
            lambda: reader.added_models.delete(ids),
            reader.added_models.optimize,
            lambda: reader.added_models.remove(NAME),
            lambda: reader.added_models.add(ColourEmbedder("another")),
        ):
            with pytest.raises(ReadOnly):
                change()
        assert (len(reader), len(view), names(reader.search("text:red", 1))) == (len(COLOURS), len(COLOURS), ["red"])
        assert sorted(path for path in place.rglob("*")) == before


def test_what_is_refused_costs_no_vector(two: Collection) -> None:
    with pytest.raises(ModelMismatch):
        two.add(vectors=np.ones((1, 7)), ids=two.ids()[:1])
    assert len(two.by_model(NAME)) == len(COLOURS)


def test_one_model_has_one_name(two: Collection, model: Path) -> None:
    again = model.parent / "again"
    if not again.exists():
        shutil.copytree(model, again)
    assert two.added_models.add(again) == NAME
    assert two.added_models.names() == (NAME,)


def test_the_same_weights_with_another_preprocessing_are_another_model(two: Collection, tmp_path: Path) -> None:
    class Flipped(ColourEmbedder):
        def __init__(self) -> None:
            super().__init__("flipped")
            weights = ColourEmbedder("other").card
            self.card = replace(weights, name="flipped", preprocessing=Preprocessing(size=(16, 16)))

        def embed(self, images: Sequence[RGB]) -> Vectors:
            return -super().embed(images)

    two.added_models.add(ColourEmbedder("other"))
    assert two.added_models.add(Flipped()) == "flipped"
    two.sync()
    other, flipped = (two.by_model(name).vectors()[1] for name in ("other", "flipped"))
    np.testing.assert_allclose(other, -flipped, atol=1e-2)
    two.added_models.remove("other")
    assert len(two.by_model("flipped")) == len(COLOURS)


def test_an_open_collection_follows_what_another_process_does(tmp_path: Path, photos: Path, model: Path) -> None:
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as ours:
        ours.sync(photos)
        ours.added_models.add(model)
        ours.sync()
        assert names(ours.search("text:red", 1)) == ["red"]
        with Collection.open(tmp_path / "c", model=ColourEmbedder()) as theirs:
            theirs.added_models.remove(NAME)
            (photos / "red.png").write_bytes(encode(picture(COLOURS["blue"], seed=30)))
            (photos / "blue.png").write_bytes(encode(picture(COLOURS["red"], seed=31)))
            theirs.added_models.add(model)
            theirs.sync()
        assert names(ours.search("text:red", 1)) == ["blue"]
        assert names(ours.search(f"id:{ours.ids()[0]}", 1, by=NAME, where="id like '%red%'")) == ["red"]


def test_a_model_that_is_gone_costs_nothing_else(tmp_path: Path, photos: Path, model: Path) -> None:
    own = tmp_path / "models" / NAME
    shutil.copytree(model, own)
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as two:
        two.sync(photos)
        two.added_models.add(own)
        two.sync()
    shutil.move(own, tmp_path / "away")
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as two:
        (photos / "new.png").write_bytes(encode(picture(COLOURS["red"], seed=32)))
        report = two.sync()
        assert (report.added, [failure.path for failure in report.by_model[NAME].failed]) == (1, [NAME])
        assert two.add([picture(COLOURS["blue"])], ["mine"]).by_model[NAME].failed
        assert names(two.search(photos / "red.png", 1)) in (["red"], ["new"])
        with pytest.raises(UnknownModel):
            two.search("text:red")
        shutil.copytree(tmp_path / "away", own)
        preprocessing = own / "preprocessor_config.json"
        preprocessing.write_text(preprocessing.read_text().replace("32", "16"))
        assert "remove it, then add it again" in two.sync().by_model[NAME].failed[0].reason
        shutil.rmtree(two.store.settings and next((Path(two.uri) / "models").iterdir()))
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as two:
        assert two.added_models.views() == []
        assert len(two.sync().by_model[NAME].failed) == 1
        with pytest.raises(CollectionError, match="remove the model, then add it again"):
            two.search("text:red")
        two.added_models.remove(NAME)
        assert names(two.search(photos / "green.png", 1)) == ["green"]


def test_queries_with_and_without_words_in_one_call(two: Collection, photos: Path) -> None:
    queries = [Query((photos / "red.png",)), Query(text="red"), Query((photos / "blue.png",))]
    together = two.search_many(queries, 3)
    assert [one.model for one in together] == ["", NAME, ""]
    assert together == [two.search(query, 3) for query in queries]
    assert two.search_many([], 3) == []


def test_no_image_is_found_by_what_it_showed_before(two: Collection, tmp_path: Path, model: Path) -> None:
    two.add([picture(COLOURS["red"], seed=33)], ["mine"])
    view = two.by_model(NAME)
    assert isinstance(view.store, ModelStore)
    (row,) = view.store.vectors.get(["mine"])
    assert row is not None
    two.add([picture(COLOURS["blue"], seed=34)], ["mine"])
    view.store.vectors.add(["mine"], row.vector[None], [row.metadata])  # as a process does that was slower
    assert two.sync().by_model[NAME].added == 0
    assert "mine" not in view
    # A file that is not followed, and has changed since it was added.
    path = tmp_path / "loose.png"
    path.write_bytes(encode(picture(COLOURS["red"], seed=35)))
    two.add([path], ["loose"])
    view.store.vectors.delete(["loose"])
    path.write_bytes(encode(picture(COLOURS["blue"], seed=36)))
    for _ in range(2):
        own = two.sync().by_model[NAME]
        assert (own.added, len(own.failed), "loose" in view) == (0, 1, False)
    assert "changed since it was indexed" in two.added_models.failures()[0].reason


def test_an_object_of_the_model_is_used_again_in_another_process(tmp_path: Path, photos: Path) -> None:
    for added in (len(COLOURS), 1):
        with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as two:
            (photos / f"more{added}.png").write_bytes(encode(picture(COLOURS["red"], seed=added)))
            assert two.added_models.add(ColourEmbedder("mine")) == "mine"
            assert two.sync(photos).by_model["mine"].added in (added, added + 1)
            assert len(two.by_model("mine")) == len(two)
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as without:
        assert "mine" in without.sync().by_model["mine"].failed[0].reason
        with pytest.raises(BadQuery, match="sync the collection itself"):
            without.by_model("mine").sync(frames=2)
        with pytest.raises(UnknownId, match="no image with a vector of mine"):
            without.search("id:nothing", by="mine")
