"""Figures against numbers worked out by hand, plain loops and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookalike.errors import BadQuery
from lookalike.evaluate import metrics
from lookalike.evaluate.metrics import Tally
from tests.evaluate import one_query

RIGHT = np.array([False, True, False, True, True, False])  # ranks 2, 4, 5 of 6


def test_one_ranking_by_hand() -> None:
    assert one_query.recall_at(RIGHT, 1) == 0
    assert one_query.recall_at(RIGHT, 2) == 1
    assert one_query.precision_at(RIGHT, 4) == 2 / 4
    assert one_query.precision_at(RIGHT, 10) == 3 / 10
    assert one_query.reciprocal_rank(RIGHT) == 1 / 2
    assert one_query.average_precision(RIGHT) == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)
    assert one_query.average_precision_at_r(RIGHT) == pytest.approx((1 / 2) / 3)  # of ranks 1, 2, 3 only the second
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert one_query.ndcg(RIGHT) == pytest.approx((1 / math.log2(3) + 1 / math.log2(5) + 1 / math.log2(6)) / best)


def test_without_a_right_answer() -> None:
    none = np.zeros(4, bool)
    assert one_query.recall_at(none, 3) == one_query.reciprocal_rank(none) == 0
    for metric in (one_query.average_precision, one_query.average_precision_at_r, one_query.ndcg):
        assert math.isnan(metric(none))
    assert math.isnan(metrics.micro_ap(Tally.of(np.arange(4), none)))
    assert metrics.recall_at_precision(Tally.of(np.arange(4), none)) == (0, math.inf)


def test_among_equal_scores_the_wrong_come_first() -> None:
    right = np.array([True, False, False, True])
    assert one_query.worst_order(np.array([0.5, 0.5, 0.9, 0.1]), right).tolist() == [False, False, True, True]
    constant = Tally.of(np.ones(4), right)
    assert metrics.micro_ap(constant) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert metrics.recall_at_precision(constant, 0.6)[0] == 0
    assert metrics.roc_auc(constant) == 0.5


def test_pooled_pairs_by_hand() -> None:
    # score 0.9: right; 0.8: right and wrong; 0.7: wrong; 0.6: right
    tally = Tally.of(np.array([0.9, 0.8, 0.8, 0.7, 0.6]), np.array([True, True, False, False, True]))
    assert metrics.micro_ap(tally) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert metrics.recall_at_precision(tally, 0.9) == (pytest.approx(1 / 3), 0.9)
    assert metrics.recall_at_precision(tally, 0.66) == (pytest.approx(2 / 3), 0.8)
    assert metrics.roc_auc(tally) == pytest.approx((2 + 1.5 + 0) / 6)
    assert metrics.tpr_at_fpr(tally, 0) == pytest.approx(1 / 3)
    assert metrics.tpr_at_fpr(tally, 0.5) == pytest.approx(2 / 3)
    # Between (fpr 0, miss 2/3) and (1/2, 1/3) both errors meet where 0 + t/2 = 2/3 - t/3: t = 4/5.
    assert metrics.equal_error_rate(tally) == pytest.approx(2 / 5)


def test_pairs_of_one_kind_have_no_roc() -> None:
    with pytest.raises(BadQuery, match="one kind only"):
        metrics.roc_auc(Tally.of(np.arange(3), np.ones(3, bool)))


def test_against_scikit_learn() -> None:
    from sklearn import metrics as judge

    random = np.random.default_rng(0)
    for _ in range(20):
        right = random.random(60) < 0.3
        right[:2] = True, False
        scores = random.normal(size=60) + right
        tally, ranked = Tally.of(scores, right), one_query.worst_order(scores, right)
        assert one_query.average_precision(ranked) == pytest.approx(judge.average_precision_score(right, scores))
        assert metrics.micro_ap(tally) == pytest.approx(judge.average_precision_score(right, scores))
        assert metrics.roc_auc(tally) == pytest.approx(judge.roc_auc_score(right, scores))
        assert one_query.ndcg(ranked) == pytest.approx(judge.ndcg_score([right], [scores]))
        tied = np.round(scores)
        assert metrics.roc_auc(Tally.of(tied, right)) == pytest.approx(judge.roc_auc_score(right, tied))
        fpr, tpr, _ = judge.roc_curve(right, scores, drop_intermediate=False)
        assert metrics.tpr_at_fpr(tally, 0.1) == pytest.approx(tpr[fpr <= 0.1].max())


def test_clusters_against_scikit_learn() -> None:
    from sklearn import metrics as judge

    random = np.random.default_rng(1)
    for _ in range(20):
        labels, clusters = random.integers(0, 5, 40), random.integers(0, 7, 40)
        assert metrics.mutual_information(clusters, labels) == pytest.approx(
            judge.normalized_mutual_info_score(labels, clusters)
        )
        assert metrics.adjusted_rand(clusters, labels) == pytest.approx(judge.adjusted_rand_score(labels, clusters))


def test_clusters_by_hand() -> None:
    labels = ["a", "a", "a", "b", "b", "c"]
    assert metrics.purity([0, 0, 1, 1, 1, 1], labels) == (2 + 2) / 6
    for perfect in ([5, 5, 5, 7, 7, 9], labels):
        assert metrics.purity(perfect, labels) == 1
        assert metrics.mutual_information(perfect, labels) == pytest.approx(1)
        assert metrics.adjusted_rand(perfect, labels) == pytest.approx(1)
    assert metrics.mutual_information([0] * 6, labels) == pytest.approx(0)
    assert metrics.adjusted_rand([0] * 6, labels) == pytest.approx(0)
    with pytest.raises(BadQuery, match="2 clusters and 6 labels"):
        metrics.purity([0, 1], labels)


pairs = st.integers(2, 40).flatmap(
    lambda n: st.tuples(arrays(np.float64, n, elements=st.sampled_from([-1, -0.25, 0, 0.5, 1])), arrays(bool, n))
)


@settings(max_examples=150, deadline=None)
@given(pairs)
def test_micro_ap_is_the_loop_over_the_worst_order(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, right = case
    ranked = one_query.worst_order(scores, right)
    hits, total = 0, 0.0
    for rank, is_right in enumerate(ranked, start=1):
        if is_right:
            hits += 1
            total += hits / rank
    if hits:
        assert metrics.micro_ap(Tally.of(scores, right)) == pytest.approx(total / hits)


@settings(max_examples=100, deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_order_and_scale_of_scores_change_nothing(case: tuple[np.ndarray, np.ndarray], random: object) -> None:
    scores, right = case
    order = np.random.default_rng(len(scores)).permutation(len(scores))
    one, other = Tally.of(scores, right), Tally.of(7 * scores[order] - 3, right[order])
    assert one.right.tolist() == other.right.tolist()
    assert one.wrong.tolist() == other.wrong.tolist()
    if right.any() and not right.all():
        assert metrics.roc_auc(one) == pytest.approx(1 - metrics.roc_auc(Tally.of(-scores, right)))
        assert metrics.roc_auc(one) == pytest.approx(1 - metrics.roc_auc(Tally.of(scores, ~right)))


@settings(max_examples=100, deadline=None)
@given(pairs, pairs)
def test_tallies_add_up(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> None:
    together = Tally.of(a[0], a[1]) + Tally.of(b[0], b[1])
    whole = Tally.of(np.concatenate((a[0], b[0])), np.concatenate((a[1], b[1])))
    for name in ("scores", "right", "wrong"):
        assert getattr(together, name).tolist() == getattr(whole, name).tolist()


def test_micro_ap_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    tally = Tally.of(np.round(random.normal(size=5000), 1), random.random(5000) < 0.4)
    whole = metrics.micro_ap(tally)
    for size in (1, 7, 100, 1999, 2000):
        monkeypatch.setattr(metrics, "_CHUNK", size)
        assert metrics.micro_ap(tally) == pytest.approx(whole)
