"""Searching by words, with a model that a person can compute (tests/words_model.py)."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.embed import get_embedder
from lookalike.errors import BadQuery
from lookalike.relate.hits import Refinement, search_refined
from lookalike.search import Collection, Query
from lookalike.search.query import Words, parse_words
from lookalike.search.text_search import NEUTRAL_TEXTS
from lookalike.types import Hit
from tests.conftest import COLOURS, ColourEmbedder
from tests.words_model import write_words_model

pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_model(tmp_path_factory.mktemp("models") / "colours")


@pytest.fixture(params=["memory", "lance"])
def worded(request: pytest.FixtureRequest, tmp_path: Path, photos: Path, model: Path) -> Iterator[Collection]:
    """One picture of each colour, in a collection whose model reads words."""
    uri = "memory:" if request.param == "memory" else str(tmp_path / "words")
    with Collection.open(uri, model=model, create=True) as opened:
        opened.sync(photos)
        yield opened


def names(hits: object) -> list[str]:
    return [hit.id.split("/")[-1].removesuffix(".png") for hit in hits]  # type: ignore[attr-defined]


@pytest.mark.parametrize("colour", COLOURS)
def test_words_find_what_they_say(worded: Collection, colour: str) -> None:
    assert names(worded.search(f"text:a {colour} thing", 1)) == [colour]
    assert names(worded.search(Query(text=colour), 1)) == [colour]


def test_the_score_is_the_cosine_of_text_and_image(worded: Collection) -> None:
    (hit,) = worded.search("text:red", 1)
    (row,) = worded.get(hit.id)
    (text,) = get_embedder(worded.model).embed_texts(["red"])  # type: ignore[attr-defined]
    assert row is not None
    assert hit.score == pytest.approx(float(row.vector @ text), abs=1e-5)


def test_words_are_subtracted_and_weighed(worded: Collection) -> None:
    assert names(worded.search(["text:red", "text:blue"], 1)) == ["violet"]
    assert names(worded.search(["text:red *5", "text:blue *0.1"], 1)) == ["red"]
    assert names(worded.search(["text:violet"], 1, minus=["text:blue"])) == ["red"]


def test_an_image_and_words_meet_without_the_gap(worded: Collection, photos: Path) -> None:
    # As they are, the image's tower weighs as much as all of its colour: half a text moves nothing.
    query = [photos / "red.png", "text:blue"]
    results = worded.search(query, 5)
    assert names(results)[0] == "violet"
    # A text alone, moved by the gap, lies where images of it lie.
    sample = worded.vectors()[1].mean(axis=0)
    center = get_embedder(worded.model).embed_texts(NEUTRAL_TEXTS).mean(axis=0)  # type: ignore[attr-defined]
    assert sample[3] > 0 > center[3]
    assert worded.text_search._gap().images == pytest.approx(sample, abs=1e-6)


def test_percentiles_tell_what_a_low_score_is_worth(worded: Collection) -> None:
    results = worded.search("text:green", 5)
    assert [round(results.percentiles[hit.id]) for hit in results] == [100, 75, 50, 25, 0]
    assert "100%" in repr(results)
    assert results[0].score < 0.9
    assert "100%" in results._repr_html_()
    assert pickle.loads(pickle.dumps(results)).percentiles == results.percentiles
    assert worded.search(f"id:{results[0].id}", 3).percentiles == {}


def test_percentiles_of_a_large_collection_are_those_of_a_sample(worded: Collection) -> None:
    vectors = np.random.default_rng(0).normal(size=(9000, 4)).astype(np.float32)
    worded.add(ids=[f"{n}" for n in range(9000)], vectors=vectors)
    results = worded.search("text:green", 100)
    values = list(results.percentiles.values())
    assert min(values) > 97
    assert max(values) > 99.9
    assert values == sorted(values, reverse=True)


def test_conditions_and_the_least_score_apply(worded: Collection) -> None:
    assert len(worded.search("text:red", 5, where="width > 1000")) == 0
    best = worded.search("text:red", 5)
    assert list(worded.search("text:red", 5, min_score=best[1].score - 1e-6)) == list(best[:2])


def test_many_queries_at_once_are_those_one_by_one(worded: Collection, photos: Path) -> None:
    queries = [
        "text:red",
        Query((photos / "red.png",)),
        Query(("text:blue", photos / "green.png"), minus=("text:red",)),
    ]
    together = worded.search_many(queries, 3)
    assert [names(results) for results in together] == [names(worded.search(query, 3)) for query in queries]


def test_a_long_text_is_cut_and_the_rest_named(worded: Collection) -> None:
    text = "red " * 7 + "green blue blue blue"
    assert worded.text_search.truncated("red green") is None
    assert worded.text_search.truncated(text) == "red " * 7 + "green"
    assert list(worded.search(f"text:{text}", 5)) == list(worded.search(f"text:{'red ' * 7}green", 5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text:a red bicycle", Words("a red bicycle")),
        ("text:  at night *0.5", Words("at night", 0.5)),
        ("text:at night * .25", Words("at night", 0.25)),
        ("text:2*3", Words("2*3")),
        ("text:text:x", Words("text:x")),
        ("photo.jpg", None),
        (b"text:x", None),
        (Path("text:x"), None),
    ],
)
def test_a_text_may_end_with_its_weight(text: object, words: Words | None) -> None:
    assert parse_words(text) == words  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["text:", "text:   ", "text:red *0", "text:red *101"])
def test_words_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        Query((text,))
    with pytest.raises(BadQuery):
        Query(("x.png",), minus=(text,))


def test_words_have_no_region() -> None:
    with pytest.raises(BadQuery, match="no regions"):
        Query(("text:red",), regions=((0, 0, 0.5, 0.5),))


def test_a_model_without_words_says_how_to_get_one(photos: Path) -> None:
    with Collection.open("memory:", model=ColourEmbedder(), create=True) as plain:
        plain.sync(photos)
        with pytest.raises(BadQuery, match="lookalike models add clip"):
            plain.search("text:red")


@pytest.mark.parametrize("refinement", [Refinement(relations=True), Refinement(verify=3)])
def test_words_claim_no_relation(worded: Collection, refinement: Refinement) -> None:
    with pytest.raises(BadQuery, match="no pixels"):
        search_refined(worded, "text:red", refinement=refinement)


def test_hits_of_words_can_be_diversified(worded: Collection, write: Callable[..., Path], photos: Path) -> None:
    results, verdicts = search_refined(worded, "text:red", 3, refinement=Refinement(diversity=0.5))
    assert names(results)[0] == "red"
    assert verdicts == {}
    assert all(isinstance(hit, Hit) and hit.id in results.percentiles for hit in results)
