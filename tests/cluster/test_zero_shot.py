"""Naming images by words, with the colour model of tests/words_model.py."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.cluster import name_images, read_labels, write_columns
from lookalike.cluster.zero_shot import _Scorer
from lookalike.errors import BadQuery
from lookalike.search import Collection
from tests.conftest import COLOURS, ColourEmbedder, picture
from tests.words_model import write_words_model

pytest.importorskip("onnx", reason="onnx makes the small graphs; it comes with the train extra")


@pytest.fixture
def worded(tmp_path: Path) -> Iterator[Collection]:
    """Twenty pictures of each colour, in a collection whose model reads words."""
    with Collection.open("memory:", model=write_words_model(tmp_path / "colours"), create=True) as photos:
        for colour, value in COLOURS.items():
            photos.add([picture(value, seed=n) for n in range(20)], [f"{colour}{n}" for n in range(20)])
        yield photos


def right(named: object) -> list[bool]:
    columns = named.columns()  # type: ignore[attr-defined]
    return [image_id.startswith(guess) for image_id, guess in zip(columns["id"], columns["guess"], strict=True)]


def test_images_get_the_name_that_says_what_they_show(worded: Collection) -> None:
    named = name_images(worded, list(COLOURS), min_confidence=0)
    assert all(right(named))
    assert named.names == tuple(COLOURS)
    assert named.check is None


def test_what_no_name_fits_is_none_of_these(worded: Collection) -> None:
    named = name_images(worded, ["red", "neither"], min_confidence=0.5)
    assert named.names == ("red",)
    by_id = dict(zip(named.ids, map(named.label, range(len(named.ids))), strict=True))
    assert {by_id[f"red{n}"] for n in range(20)} == {"red"}
    assert {by_id[f"green{n}"] for n in range(20)} == {by_id[f"blue{n}"] for n in range(20)} == {"none of these"}


def test_the_table_gives_labels_only_where_a_name_fits(worded: Collection, tmp_path: Path) -> None:
    named = name_images(worded, ["red"], min_confidence=0.5)
    parsed = read_labels(worded, write_columns(named.columns(), tmp_path / "names.csv"))
    assert set(parsed.labels.values()) == {"red"}
    assert (len(parsed.labels), parsed.undecided) == (named.named, len(named.ids) - named.named)
    assert named.unsure + named.named < len(named.ids)


def test_below_the_least_confidence_an_image_is_unsure(worded: Collection) -> None:
    named = name_images(worded, list(COLOURS), min_confidence=1.01)
    assert set(named.columns()["label"]) == {"unsure"}
    assert not named.sure.any()
    assert set(named.columns()["guess"]) == set(COLOURS)


def test_labeled_images_calibrate_the_confidence(worded: Collection) -> None:
    names = ["red", "orange", "violet"]
    ids = [f"{colour}{n}" for colour in COLOURS for n in range(12)]
    worded.update(ids, [{"label": one.rstrip("0123456789")} for one in ids])
    named = name_images(worded, names, min_confidence=0.5)
    assert named.check is not None
    assert named.check.images == len(ids)
    assert named.check.right > 0.95
    assert named.check.error < 0.05
    by_id = dict(zip(named.ids, map(named.label, range(len(named.ids))), strict=True))
    assert by_id["orange19"] == "orange"
    assert by_id["blue19"] == "none of these"


def test_wrong_labels_lower_the_confidence(worded: Collection) -> None:
    ids = [f"{colour}{n}" for colour in ("red", "green") for n in range(20)]
    labels = np.random.default_rng(0).permutation(["red"] * 20 + ["green"] * 20)
    worded.update(ids, [{"label": str(label)} for label in labels])
    named = name_images(worded, ["red", "green"], min_confidence=0.9)
    assert named.check is not None
    assert named.check.confidence < 0.75
    assert named.label(named.ids.index("red0")) == "unsure"


def test_sigmoid_scores_each_name_by_itself() -> None:
    # One name fits: its odds are e^2, those of the other e^-2, and 1 that none does.
    scorer = _Scorer(scale=10, bias=-5, offset=0, sigmoid=True)
    (row,) = scorer.probabilities(np.array([[0.7, 0.3, 0.9]], np.float32))
    odds = np.array([np.e**2, np.e**-2, 1])
    assert row == pytest.approx(odds / odds.sum(), abs=1e-4)


def test_softmax_compares_the_names() -> None:
    scorer = _Scorer(scale=10, bias=-5, offset=0.1, sigmoid=False)
    (row,) = scorer.probabilities(np.array([[0.7, 0.3, 0.5]], np.float32))
    odds = np.exp([7, 3, 6])
    assert row == pytest.approx(odds / odds.sum(), abs=1e-4)


@pytest.mark.parametrize(
    ("names", "templates"), [([], ["{}"]), ([" ", "neither"], ["{}"]), (["red"], ["a photo"]), (["red"], [])]
)
def test_names_and_templates_that_are_none_are_refused(
    worded: Collection, names: list[str], templates: list[str]
) -> None:
    with pytest.raises(BadQuery):
        name_images(worded, names, templates=templates)


def test_a_model_without_words_names_nothing() -> None:
    with Collection.open("memory:", model=ColourEmbedder(), create=True) as plain:
        plain.add([picture(COLOURS["red"])], ["a"])
        with pytest.raises(BadQuery, match="reads no words"):
            name_images(plain, ["red"])
