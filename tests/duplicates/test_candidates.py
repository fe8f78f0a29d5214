"""CandidatePairs: the best partners of each content, in flat memory."""

import numpy as np
import pytest

from lookalike.duplicates.search import candidates
from lookalike.duplicates.search.candidates import ScoredPairs, _above_baseline, _merge, _top_per_side


def crowd(count: int) -> ScoredPairs:
    """Every picture with every other; the score falls with the distance of their numbers."""
    first, second = np.triu_indices(count, 1)
    return ScoredPairs(
        first.astype(np.int64), second.astype(np.int64), (1 - (second - first) / count).astype(np.float32)
    )


def test_partners_come_best_first_and_both_ways() -> None:
    result = _merge([ScoredPairs(np.array([1, 1]), np.array([5, 9]), np.array([0.8, 0.9], np.float32))])
    assert (result.partners, result.truncated) == ({1: [9, 5], 5: [1], 9: [1]}, 0)


def test_a_crowd_is_cut_and_the_cut_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_PARTNERS", 3)
    result = _merge([crowd(10)])
    assert result.truncated == 10
    assert sorted(result.partners[0]) == [1, 2, 3]


def test_thinning_on_the_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_PARTNERS", 4)
    whole = crowd(40)
    thin = _top_per_side(whole, 4)
    assert len(thin) < len(whole) / 3
    assert _merge([thin]).partners == _merge([whole]).partners


def test_each_source_has_its_best_looked_at_before_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_PARTNERS", 3)
    scored = ScoredPairs(np.zeros(3, np.int64), np.array([1, 2, 3]), np.array([0.9, 0.8, 0.7], np.float32))
    shared = ScoredPairs(np.zeros(1, np.int64), np.array([4]), np.array([12.0], np.float32))
    assert _merge([scored, shared]).partners[0] == [1, 4, 2]


class _Known:
    """Contents of which only the vectors are looked at: content n has the number n as its vector."""

    def vector_of(self, content: int) -> np.ndarray:
        return np.array([content], np.float32)


def test_what_is_ordinary_for_both_is_no_candidate() -> None:
    pairs = ScoredPairs(np.array([0, 0, 2]), np.array([1, 2, 3]), np.array([0.7, 0.7, 0.95], np.float32))
    levels = np.array([0.4, 0.5, 0.9, 0.95])
    result = _above_baseline(pairs, _Known(), lambda vectors: levels[vectors[:, 0].astype(int)])  # type: ignore[arg-type]
    # .7 is high for 0 and 1, ordinary for 2; .95 is sure whatever is ordinary there.
    assert list(zip(result.first.tolist(), result.second.tolist(), strict=True)) == [(0, 1), (2, 3)]
    np.testing.assert_allclose(result.score, [0.25, 0.025], atol=1e-6)
