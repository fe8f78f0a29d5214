"""Tails, logistic fits and calibration error, compared with values computed by hand."""

import math

import numpy as np
import pytest

from lookalike.relate.probability.calibration_fit import calibration_error, fit_tails
from lookalike.relate.probability.logistic import Logistic, fit_logistic
from lookalike.relate.probability.score_tail import Background, Tail, fit_tail
from lookalike.similarity import normalize


def test_a_tail_tells_the_chance_of_rare_scores() -> None:
    scores = np.random.default_rng(0).normal(0.1, 0.08, 400_000)
    tail = fit_tail(scores, normalized=False)
    for chance in (1e-3, 1e-4, 1e-5):
        truth = float(np.quantile(np.random.default_rng(1).normal(0.1, 0.08, 4_000_000), 1 - chance))
        assert tail.chance(np.array([truth]))[0] == pytest.approx(chance, rel=1.0)
    assert tail.chance(np.array([0.0]))[0] == 1.0


def test_a_few_unknown_copies_do_not_move_it() -> None:
    scores = np.random.default_rng(0).normal(0.1, 0.08, 100_000)
    with_copies = np.concatenate((scores, np.full(30, 0.95)))
    alone, mixed = (fit_tail(s, normalized=False).score_at(1e-5) for s in (scores, with_copies))
    assert mixed == pytest.approx(alone, abs=0.03)


@pytest.mark.parametrize("shape", [0.0, -0.2])
def test_score_and_chance_are_inverse(shape: float) -> None:
    tail = Tail(0.3, 0.1, shape, 0.01)
    assert tail.chance(np.array([tail.score_at(1e-5)]))[0] == pytest.approx(1e-5)
    assert tail.score_at(0.5) == 0.3
    assert Tail.from_json(tail.to_json()) == tail


def test_level_is_the_mean_of_the_ten_nearest() -> None:
    random = np.random.default_rng(0)
    background, query = normalize(random.normal(size=(250, 8))), normalize(random.normal(size=(1, 8)))
    by_hand = sorted((float(query[0] @ row) for row in background), reverse=True)[:10]
    assert Background(background).level(query)[0] == pytest.approx(sum(by_hand) / 10, abs=1e-6)
    assert Background(background[:50]).level(query)[0] == 0


def test_normalised_scores_compare_between_queries() -> None:
    """A query that resembles everything gets no more false matches than one that resembles nothing."""
    random = np.random.default_rng(0)
    vectors = normalize(np.concatenate((random.normal(size=(600, 16)), random.normal(size=(600, 16)) + 1.5)))
    vectors = random.permutation(vectors)
    from lookalike.relate.probability.calibration_model import Calibration, default_geometry

    fitted = fit_tails(vectors, Calibration(geometry=default_geometry()))
    crowd, loner = normalize(np.full((1, 16), 1.0)), normalize(-np.full((1, 16), 1.0))
    level_crowd, level_loner = (float(fitted.level_of(q)[0]) for q in (crowd, loner))
    assert level_crowd > level_loner + 0.2
    busy, quiet = (fitted.expected_false(np.array([0.9]), 1000, level=v) for v in (level_crowd, level_loner))
    assert busy is not None
    assert quiet is not None
    assert busy[0] > 10 * quiet[0]


def test_logistic_finds_what_made_the_data() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(4000, 2))
    truth = random.random(4000) < 1 / (1 + np.exp(-(2 * x[:, 0] + 0.5)))
    fitted = fit_logistic(x, truth)
    assert fitted.weights[0] == pytest.approx(2, rel=0.15)
    assert fitted.weights[1] < 0.15


def test_evidence_never_counts_against() -> None:
    x = np.linspace(0, 1, 200)[:, None]
    fitted = fit_logistic(x, np.arange(200) < 100)  # high values are false
    assert fitted.weights == (0.0,)
    assert Logistic.from_json(fitted.to_json())(x)[0] == pytest.approx(0.5, abs=0.01)


def test_few_examples_claim_no_certainty() -> None:
    fitted = fit_logistic(np.array([[0.0], [1.0]]), np.array([False, True]))
    assert 0.5 < fitted(np.array([[1.0]]))[0] < 0.95


def test_calibration_error_by_hand() -> None:
    stated = np.array([0.05, 0.05, 0.95, 0.95])
    assert calibration_error(stated, np.array([False, False, True, True])) == pytest.approx(0.05)
    # half of the low ones true: |.05 - .5| on half of the pairs, |.95 - 1| on the rest
    assert calibration_error(stated, np.array([True, False, True, True])) == pytest.approx(0.45 / 2 + 0.05 / 2)
    assert math.isclose(calibration_error(np.array([1.0]), np.array([True])), 0)
