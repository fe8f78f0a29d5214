"""Blocked retrieval against plain loops, and what counts and what does not."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import BadQuery
from lookalike.evaluate import Retrieval, metrics, retrieval
from lookalike.evaluate.metrics import Tally
from lookalike.similarity import normalize
from lookalike.types import Vectors
from tests.evaluate import one_query


def angles(*degrees: float) -> Vectors:
    """Unit vectors in the plane: the score of two is the cosine of the angle between them."""
    turned = np.deg2rad(np.array(degrees))
    return np.stack((np.cos(turned), np.sin(turned)), axis=1).astype(np.float32)


def test_by_hand() -> None:
    # Ranked for 0 degrees: b (5), a (10), "" (20), a (40). For 90: a (40), "" (20), a (10), b (5).
    result = retrieval(angles(0, 90), angles(10, 40, 5, 20), ["a", "b"], ["a", "a", "b", ""], ks=(1, 2, 4))
    assert (result.queries, result.unanswered, result.gallery, result.distractors) == (2, 0, 4, 1)
    assert (result.pairs, result.right_pairs) == (8, 3)
    assert result.per_query.first_rank.tolist() == [2, 4]
    assert (result["recall@1"], result["recall@2"], result["recall@4"]) == (0, 0.5, 1)
    assert result["precision@2"] == pytest.approx((1 / 2 + 0) / 2)
    assert result["mAP"] == pytest.approx(((1 / 2 + 2 / 4) / 2 + 1 / 4) / 2)
    assert result["MRR"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert result["mAP@R"] == pytest.approx((1 / 2 / 2 + 0) / 2)
    # Pooled by score: b 5, A 10, 20, A 40 (all of the first query), then 50, 70, 80, B 85 (of the second).
    assert result["micro-AP"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 8) / 3)
    assert result.per_query.wrong.tolist() == [2, 1]
    assert result.per_query.right.tolist() == [0, 2]
    assert result.per_query.right_score[0] == pytest.approx(np.cos(np.deg2rad(10)), abs=1e-6)


def test_a_query_is_left_out_of_its_own_results() -> None:
    vectors, ids = angles(0, 10, 50), ["x", "y", "z"]
    result = retrieval(vectors, vectors, ["a", "a", "b"], ["a", "a", "b"], same=(ids, ids))
    assert (result.queries, result.unanswered, result.pairs) == (2, 1, 6)  # z alone is a b
    assert result["recall@1"] == 1
    assert result["micro-AP"] == 1
    itself = retrieval(vectors, vectors, ["a", "a", "b"], ["a", "a", "b"])
    assert (itself.queries, itself.pairs) == (3, 9)
    twice = retrieval(vectors[:1], vectors[[0, 0, 1]], ["a"], ["a"] * 3, same=(["x"], ["x", "x", "y"]))
    assert (twice.pairs, twice["mAP"]) == (1, 1)


def test_queries_without_an_answer_count_as_wrong_pairs_only() -> None:
    gallery, labels = angles(0, 90), ["a", "b"]
    answered = retrieval(angles(1), gallery, ["a"], labels)
    both = retrieval(angles(1, 0, 90), gallery, ["a", "", "nowhere"], labels)
    assert (both.queries, both.unanswered) == (1, 2)
    assert both["recall@1"] == both["mAP"] == answered["mAP"] == 1
    assert answered["micro-AP"] == answered["recall@P90"] == 1
    assert both["micro-AP"] == pytest.approx(1 / 3)  # two strangers are nearer than the right pair
    assert both["recall@P90"] == 0
    assert np.isnan(both.per_query.values["mAP"][1:]).all()


def test_an_embedder_of_one_vector_gets_nothing() -> None:
    same = np.repeat(angles(30), 20, axis=0)
    result = retrieval(same[:5], same, ["a"] * 5, ["a"] * 5 + ["b"] * 15, ks=(1, 15, 16))
    assert (result["recall@1"], result["recall@15"], result["recall@16"]) == (0, 0, 1)
    assert result["10-NN"] == 0
    assert result["ROC-AUC"] == 0.5


def loops(
    queries: Vectors, gallery: Vectors, query_labels: list[str], gallery_labels: list[str], ids: list[str]
) -> dict[str, float]:
    """The same in plain loops: query i and gallery j are one picture where their ids, i and `ids`, agree."""
    scores = np.rint(np.clip(queries @ gallery.T, -1, 1) * 1e6)
    rankings, pooled, pooled_right = [], [], []
    for i, label in enumerate(query_labels):
        valid = [j for j in range(len(gallery)) if ids[j] != str(i)]
        right = np.array([label != "" and gallery_labels[j] == label for j in valid])
        pooled += [scores[i, j] for j in valid]
        pooled_right += right.tolist()
        if right.any():
            rankings.append(one_query.worst_order(scores[i, valid], right))
    figures = {
        "mAP": one_query.average_precision,
        "mAP@R": one_query.average_precision_at_r,
        "nDCG": one_query.ndcg,
        "MRR": one_query.reciprocal_rank,
        "recall@3": lambda ranked: one_query.recall_at(ranked, 3),
        "precision@3": lambda ranked: one_query.precision_at(ranked, 3),
    }
    means = {name: float(np.mean([figure(ranked) for ranked in rankings])) for name, figure in figures.items()}
    tally = Tally.of(np.array(pooled), np.array(pooled_right))
    return means | {"micro-AP": metrics.micro_ap(tally), "recall@P90": metrics.recall_at_precision(tally)[0]}


@pytest.mark.parametrize("cells", [1, 100, 10_000_000])
@pytest.mark.parametrize("seed", range(4))
def test_against_loops(seed: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["lookalike.evaluate.retrieval"], "_CELLS", cells)
    random = np.random.default_rng(seed)
    # Few directions, so that many scores are ties; of halves and ones, so that they are on every processor.
    directions = [*np.eye(4), *-np.eye(4), *(np.array(list(itertools.product((-0.5, 0.5), repeat=4))))]
    queries, gallery = (normalize(np.array(directions)[random.integers(len(directions), size=n)]) for n in (25, 40))
    query_labels, gallery_labels = (
        random.choice(["", "a", "b", "c", "d"], 25).tolist(),
        random.choice(["", "a", "b", "c"], 40).tolist(),
    )
    ids = [str(n) for n in random.permutation(40)]
    result = retrieval(queries, gallery, query_labels, gallery_labels, same=([str(n) for n in range(25)], ids), ks=(3,))
    for name, value in loops(queries, gallery, query_labels, gallery_labels, ids).items():
        assert result[name] == pytest.approx(value), name


def test_neighbors_vote_as_in_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    random = np.random.default_rng(3)
    centers = random.normal(size=(2, 8))  # two labels, and 7 votes: no vote is tied
    labels = random.integers(0, 2, 300)
    vectors = normalize(centers[labels] + random.normal(size=(300, 8)) * 1.2)
    judge = KNeighborsClassifier(7, metric="cosine", algorithm="brute").fit(vectors[:200], labels[:200])
    names = labels.astype(str)
    result = retrieval(vectors[200:], vectors[:200], names[200:], names[:200], neighbors=7)
    assert 0.6 < result["7-NN"] < 1
    assert result["7-NN"] == pytest.approx(judge.score(vectors[200:], labels[200:]))


def test_a_tied_vote_goes_to_the_nearer() -> None:
    gallery, labels = angles(10, 60, 20, 30), ["a", "a", "b", "b"]
    assert retrieval(angles(0), gallery, ["b"], labels, neighbors=4)["4-NN"] == 1  # cos 20 + cos 30 is more
    assert retrieval(angles(0), gallery, ["a"], labels, neighbors=4)["4-NN"] == 0
    # Pictures without a label are no label together.
    assert retrieval(angles(0), angles(1, 2, 3, 4), ["a"], ["", "", "a", "a"], neighbors=4)["4-NN"] == 1


def test_the_order_of_rows_and_names_of_labels_change_nothing() -> None:
    random = np.random.default_rng(5)
    vectors, labels = normalize(random.normal(size=(60, 4))), random.choice(["a", "b", "c"], 60)
    one = retrieval(vectors[:20], vectors[20:], labels[:20], labels[20:])
    order = random.permutation(40)
    renamed = np.char.add("label ", labels)
    other = retrieval(vectors[:20], vectors[20:][order], renamed[:20], renamed[20:][order])
    assert one.figures == pytest.approx(other.figures)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_a_worse_answer_never_helps(seed: int, dim: int) -> None:
    """Turning a right answer's vector away from the query lowers no figure of that query."""
    random = np.random.default_rng(seed)
    query, gallery = normalize(random.normal(size=(1, dim + 1))), normalize(random.normal(size=(12, dim + 1)))
    labels = ["a"] * 4 + ["b"] * 8
    worse = gallery.copy()
    worse[0] = -query[0]
    before, after = (retrieval(query, rows, ["a"], labels, neighbors=1) for rows in (gallery, worse))
    for name in ("recall@1", "recall@5", "precision@5", "mAP", "mAP@R", "nDCG", "MRR", "micro-AP", "ROC-AUC"):
        assert after[name] <= before[name] + 1e-9, name


def test_right_and_wrong_above_sum_to_the_tally() -> None:
    random = np.random.default_rng(6)
    vectors, labels = normalize(random.normal(size=(80, 6))), random.choice(["a", "b", ""], 80)
    result: Retrieval = retrieval(vectors[:30], vectors[30:], labels[:30], labels[30:])
    per = result.per_query
    assert per.right_above[:, 0].sum() == result.right_pairs
    assert per.right_above[:, 0].sum() + per.wrong_above[:, 0].sum() == result.pairs
    assert (np.diff(per.right_above, axis=1) <= 0).all()
    assert (np.diff(per.wrong_above, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_labels": ["a"]}, "2 vectors and 1 labels"),
        ({"gallery": np.zeros((0, 2), np.float32), "gallery_labels": []}, "empty; give at least one"),
        ({"gallery": np.eye(3, dtype=np.float32), "gallery_labels": ["a"] * 3}, "use one model"),
        ({"gallery_labels": ["x", "y"]}, "no query has a right answer"),
        ({"queries": np.full((2, 2), np.nan, np.float32)}, "not finite"),
        ({"ks": (0,)}, "each must be 1 or more"),
    ],
)
def test_bad_input_is_refused(change: dict[str, object], message: str) -> None:
    given_ = {
        "queries": angles(0, 1),
        "gallery": angles(0, 1),
        "query_labels": ["a", "b"],
        "gallery_labels": ["a", "b"],
    } | change
    with pytest.raises(BadQuery, match=message):
        retrieval(**given_)  # type: ignore[arg-type]
