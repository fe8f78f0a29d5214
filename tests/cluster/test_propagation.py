"""Label propagation: right where it can be, unsure where nothing is known, with calibrated confidence."""

import os
from pathlib import Path

import numpy as np
import pytest

from lookalike.cluster import propagation
from lookalike.cluster.propagation import (
    _min_connectivity,
    _nearest_others,
    _vote,
    expected_calibration_error,
    propagate_labels,
)
from lookalike.errors import BadQuery
from lookalike.similarity import normalize

KINDS = ("bicycle", "car", "boat", "motorcycle")


def street(noise: float = 0.25, each: int = 60, seed: int = 0, *, lean: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Four kinds about four axes; the motorcycles' axis leans towards the bicycles'."""
    random = np.random.default_rng(seed)
    axes = normalize(np.eye(8)[:4] + np.array([[0.35], [0.35], [0.35], [lean]]) * np.eye(8)[[4, 5, 6, 0]])
    vectors = np.repeat(axes, each, 0) + noise * random.normal(size=(4 * each, 8)) / np.sqrt(8)
    return normalize(vectors), np.repeat(np.array(KINDS, object), each)


def some(labels: np.ndarray, kinds: tuple[str, ...], each: int = 10) -> np.ndarray:
    return np.concatenate([np.flatnonzero(labels == kind)[:each] for kind in kinds])


def unsure_when_left_out(vectors: np.ndarray, rows: np.ndarray, labels: list[str]) -> dict[str, float]:
    """The share of each label's images that are unsure if no image has that label."""
    texts = np.asarray(labels, object).astype(str)
    shares = {}
    for name in np.unique(texts):
        others = np.flatnonzero(texts != name)
        if (np.unique(texts[others], return_counts=True)[1] >= 2).sum() < 2:
            continue
        subset = np.concatenate((rows[others], rows[texts == name]))
        result = propagate_labels(vectors[subset], np.arange(len(others)), texts[others].tolist())
        shares[str(name)] = float(1 - result.sure[len(others) :].mean())
    return shares


def test_a_few_labels_name_the_rest() -> None:
    vectors, labels = street()
    rows = some(labels, KINDS)
    result = propagate_labels(vectors, rows, labels[rows].tolist())
    assert result.sure.mean() > 0.8
    assert (result.labels[result.sure] == labels[result.sure]).mean() > 0.98


def test_a_kind_that_nobody_named_is_not_forced_to_be_another() -> None:
    vectors, labels = street()
    rows = some(labels, KINDS[:3])
    result = propagate_labels(vectors, rows, labels[rows].tolist())
    assert (result.labels[labels == "motorcycle"] == "").mean() >= 0.9
    assert (result.labels[labels == "car"] == "car").mean() > 0.8


def test_a_kind_that_nobody_named_is_refused_even_next_to_a_named_one() -> None:
    """The motorcycles touch the bicycles: their axes are 45 degrees apart, and the vote is sure of three in four."""
    refused, named = [], []
    for seed in range(4):
        vectors, labels = street(noise=0.7, each=200, seed=seed, lean=1)
        rows = some(labels, KINDS[:3])
        result = propagate_labels(vectors, rows, labels[rows].tolist())
        refused.append((result.labels[labels == "motorcycle"] == "").mean())
        named.append((result.labels == labels)[labels != "motorcycle"].mean())
    assert min(refused) >= 0.9
    assert np.mean(named) > 0.8


def test_the_least_connectivity_of_a_label_by_hand() -> None:
    held_out = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.0], np.float32)
    codes = np.array([0, 0, 0, 1, 1, 1, 2])  # the only image of label 2 is not counted
    overall, own = np.quantile(held_out[:6], 0.3), np.quantile(held_out[3:6], 0.3)
    np.testing.assert_allclose(_min_connectivity(held_out, codes), [overall, own, overall], rtol=1e-6)


def test_what_lies_between_two_kinds_is_unsure() -> None:
    vectors, labels = street()
    middle = normalize(vectors[labels == "car"][:5] + vectors[labels == "boat"][:5])
    rows = some(labels, KINDS)
    result = propagate_labels(np.concatenate((vectors, middle)), rows, labels[rows].tolist())
    assert not result.sure[-5:].any()


def test_confidence_is_true_where_kinds_overlap() -> None:
    vectors, labels = street(noise=1.4, each=400)
    rows = some(labels, KINDS, each=60)
    result = propagate_labels(vectors, rows, labels[rows].tolist())
    rest = np.setdiff1d(np.arange(len(vectors)), rows)
    right = (result.guess == labels)[rest].astype(bool)
    assert 0.4 < right.mean() < 0.95  # or there would be nothing to be unsure of
    assert expected_calibration_error(result.confidence[rest], right) < 0.08


def test_labeled_images_keep_their_labels() -> None:
    vectors, labels = street(noise=1.4)
    rows = some(labels, KINDS)
    result = propagate_labels(vectors, rows, labels[rows].tolist())
    assert result.labels[rows].tolist() == labels[rows].tolist()


def test_a_vote_is_that_of_a_loop() -> None:
    labels, scores = np.array([[0, 1, 0]]), np.array([[0.9, 0.8, 0.5]], np.float32)
    weights = np.exp(scores[0] / 0.1)
    expected = [(weights[0] + weights[2]) / weights.sum(), weights[1] / weights.sum()]
    assert np.allclose(_vote(labels, scores, 0.1, 2)[0], expected, atol=1e-5)


def test_a_wrong_label_is_suspected_with_its_evidence() -> None:
    vectors, labels = street(noise=0.1)
    rows = some(labels, KINDS)
    given_labels = labels[rows].tolist()
    given_labels[3] = "boat"  # a bicycle
    suspects = propagate_labels(vectors, rows, given_labels).suspects
    assert (suspects[0].row, suspects[0].label, suspects[0].instead) == (3, "boat", "bicycle")
    assert len(suspects) == 1
    assert all(labels[row] == "bicycle" for row in suspects[0].neighbors)


def test_calibration_error_by_hand() -> None:
    assert expected_calibration_error(np.array([0.8, 0.8, 0.3]), np.array([True, False, False])) == pytest.approx(
        0.9 / 3
    )


def test_confidence_is_calibrated_at_the_temperature_of_the_other_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even rows are predicted at the temperature that was fitted to odd rows, and odd ones at that of even rows."""
    vectors, labels = street(noise=1.0, each=10)
    codes = np.unique(labels.astype(str), return_inverse=True)[1]

    def fit(_labels: object, _scores: object, _codes: object, rows: np.ndarray) -> float:
        return 0.1 if rows.all() else 0.02 if rows[0] else 0.4  # all, even, odd

    monkeypatch.setattr(propagation, "_fit_temperature", fit)
    calibration = propagate_labels(vectors, np.arange(len(vectors)), labels.tolist()).calibration
    near, scores = _nearest_others(vectors, 10)
    expected = np.where(
        np.arange(len(vectors)) % 2 == 0,
        _vote(codes[near], scores, 0.4, 4).max(axis=1),
        _vote(codes[near], scores, 0.02, 4).max(axis=1),
    )
    np.testing.assert_allclose(calibration.confidence, expected, atol=1e-6)


def test_too_few_labels_are_refused() -> None:
    vectors, _ = street()
    with pytest.raises(BadQuery, match="label at least two images of each of two labels"):
        propagate_labels(vectors, np.array([0, 60]), ["bicycle", "car"])


def test_each_label_can_be_left_out_in_turn() -> None:
    vectors, labels = street()
    rows = some(labels, KINDS)
    unsure = unsure_when_left_out(vectors, rows, labels[rows].tolist())
    assert set(unsure) == set(KINDS)
    assert unsure["motorcycle"] >= 0.8


def test_real_images_of_an_unnamed_product_are_refused() -> None:
    """Shelf photos of the largest products of grocery-mini, embedded by the default model, one product unnamed."""
    folder = Path(os.environ.get("LOOKALIKE_DATA", Path(__file__).parents[2] / "../shared/data")) / "grocery-mini"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set LOOKALIKE_DATA")
    import csv

    from lookalike.embed import get_embedder
    from lookalike.image import decode, read

    table = csv.DictReader((folder / "ground_truth.csv").read_text().splitlines())
    truth = [row for row in table if row["role"] == "gallery" and row["label"]]
    counts = {label: sum(row["label"] == label for row in truth) for label in {row["label"] for row in truth}}
    kinds = sorted(counts, key=lambda label: (-counts[label], label))[:6]
    chosen = [row for kind in kinds for row in [r for r in truth if r["label"] == kind][:8]]
    pictures = [decode(read(str(folder / row["path"])), side=224).image for row in chosen]
    vectors = get_embedder().embed([np.asarray(picture) for picture in pictures])
    labels = np.array([row["label"] for row in chosen], object)
    unsure = unsure_when_left_out(vectors, np.arange(len(labels)), labels.tolist())
    assert np.mean(list(unsure.values())) >= 0.7
