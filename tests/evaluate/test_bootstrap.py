"""Intervals: repeatable, as wide as theory says, and honest about a difference that is none."""

import numpy as np
import pytest

from lookalike.errors import BadQuery
from lookalike.evaluate import Retrieval, retrieval
from lookalike.evaluate.bootstrap import bootstrap, bootstrap_pairs, differences, figures_of_counts, intervals
from lookalike.evaluate.metrics import Tally
from lookalike.evaluate.retrieval import pooled_figures
from lookalike.similarity import normalize


def noisy_retrieval(noise: float, seed: int = 0, count: int = 300) -> Retrieval:
    """Each of some gallery images searched with a noisy copy of its vector."""
    random = np.random.default_rng(seed)
    gallery = normalize(random.normal(size=(count, 16)))
    queries = normalize(gallery + noise * np.random.default_rng(seed + 1).normal(size=gallery.shape))
    labels = [str(n) for n in range(count)]
    return retrieval(queries, gallery, labels, labels)


def test_a_share_has_the_interval_of_a_binomial() -> None:
    result = noisy_retrieval(0.35)
    share = result["recall@1"]
    assert 0.3 < share < 0.9
    low, high = intervals(bootstrap(result, times=1000))["recall@1"]
    spread = 1.96 * np.sqrt(share * (1 - share) / result.queries)
    assert low == pytest.approx(share - spread, abs=0.015)
    assert high == pytest.approx(share + spread, abs=0.015)


def test_the_seed_decides() -> None:
    result = noisy_retrieval(0.3)
    one, same, other = (intervals(bootstrap(result, times=100, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_every_figure_lies_in_its_interval() -> None:
    result = noisy_retrieval(0.35)
    for name, (low, high) in intervals(bootstrap(result, times=300)).items():
        assert low <= result[name] <= high, name


def test_pooled_figures_drawn_are_those_of_the_drawn_queries() -> None:
    """The 256 scores at which pooled figures are drawn cost less than a point against counting every pair again."""
    random = np.random.default_rng(0)
    labels = random.choice(["a", "b", "c", "d"], 400)
    vectors = normalize(np.eye(4)[np.searchsorted(["a", "b", "c", "d"], labels)] + random.normal(size=(400, 4)) * 0.7)
    queries, gallery = vectors[:200], vectors[200:]
    result = retrieval(queries, gallery, labels[:200], labels[200:])
    drawn = bootstrap(result, times=20, seed=4)
    generator = np.random.default_rng(4)
    scores = np.rint(queries @ gallery.T * 1e6)
    right = labels[:200, None] == labels[200:]
    for n in range(20):
        rows = generator.integers(0, 200, 200)
        exact = pooled_figures(Tally.of(scores[rows].ravel(), right[rows].ravel()))
        for name, value in exact.items():
            assert drawn[name][n] == pytest.approx(value, abs=0.01), name


def test_pooled_from_counts_by_hand() -> None:
    # right, wrong at 0.9: 1, 0; at 0.5: 2, 1; at 0.1: 2, 4
    figures = figures_of_counts(np.array([[1.0, 2, 2]]), np.array([[0.0, 1, 4]]))
    assert figures["recall@P90"][0] == 0.5
    assert figures["TPR@FPR1e-2"][0] == 0.5
    assert figures["ROC-AUC"][0] == pytest.approx((4 + 3.5) / 8)


def test_a_better_model_is_told_from_chance() -> None:
    good, bad = noisy_retrieval(0.25), noisy_retrieval(0.45)
    drawn = [bootstrap(result, times=300) for result in (good, bad)]
    result = differences(good.figures, bad.figures, *drawn)["mAP"]
    assert result.difference == pytest.approx(good["mAP"] - bad["mAP"])
    assert result.low < result.difference < result.high
    assert result.more_than_chance
    assert result.p < 0.01
    back = differences(bad.figures, good.figures, *reversed(drawn))["mAP"]
    assert (back.low, back.high) == (pytest.approx(-result.high), pytest.approx(-result.low))


def test_a_model_against_itself_is_chance() -> None:
    one = noisy_retrieval(0.3)
    for result in differences(one.figures, one.figures, bootstrap(one, times=50), bootstrap(one, times=50)).values():
        assert (result.difference, result.p, result.more_than_chance) == (0, 1, False)


def test_equal_models_are_rarely_called_different() -> None:
    """Two models of one quality, twenty times over: the 5% error must not be 25%."""
    different = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        gallery = normalize(random.normal(size=(80, 12)))
        labels = [str(n) for n in range(80)]
        one, other = (
            retrieval(normalize(gallery + 0.35 * random.normal(size=gallery.shape)), gallery, labels, labels)
            for _ in range(2)
        )
        drawn = [bootstrap(result, times=100) for result in (one, other)]
        different += differences(one.figures, other.figures, *drawn)["recall@1"].more_than_chance
    assert different <= 4


def test_queries_drawn_together_widen_the_interval() -> None:
    one = noisy_retrieval(0.35)
    groups = np.arange(300) // 10
    per = one.per_query
    order = np.argsort(per.values["recall@1"])  # a group all right or all wrong
    groups = groups[np.argsort(order)]
    (alone,), (together,) = (
        [interval for name, interval in intervals(bootstrap(one, times=500, groups=g)).items() if name == "recall@1"]
        for g in (None, groups)
    )
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_pairs_are_drawn_exactly() -> None:
    random = np.random.default_rng(1)
    same = random.random(200) < 0.4
    scores = np.round(random.normal(size=200) + same, 1)
    drawn = bootstrap_pairs(scores, same, times=10, seed=3)
    generator = np.random.default_rng(3)
    for n in range(10):
        rows = generator.integers(0, 200, 200)
        exact = pooled_figures(Tally.of(scores[rows], same[rows]))
        assert drawn["ROC-AUC"][n] == pytest.approx(exact["ROC-AUC"])
        assert drawn["TPR@FPR1e-2"][n] == pytest.approx(exact["TPR@FPR1e-2"])
        assert drawn["recall@P90"][n] == pytest.approx(exact["recall@P90"])
        assert drawn["EER"][n] == pytest.approx(exact["EER"], abs=0.03)


def test_draws_must_match() -> None:
    one = noisy_retrieval(0.3)
    with pytest.raises(BadQuery, match="different numbers of draws"):
        differences(one.figures, one.figures, bootstrap(one, times=10), bootstrap(one, times=20))
