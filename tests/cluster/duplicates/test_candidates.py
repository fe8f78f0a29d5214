"""Candidates: the best partners of each content, in flat memory."""

import numpy as np
import pytest

from lookalike.cluster.duplicates import candidates
from lookalike.cluster.duplicates.candidates import _best, _thinned
from lookalike.cluster.duplicates.pairs import Pairs


def crowd(count: int) -> Pairs:
    """Every picture with every other; the score falls with the distance of their numbers."""
    first, second = np.triu_indices(count, 1)
    return Pairs(first.astype(np.int64), second.astype(np.int64), (1 - (second - first) / count).astype(np.float32))


def test_partners_come_best_first_and_both_ways() -> None:
    found = _best(Pairs(np.array([1, 1]), np.array([5, 9]), np.array([0.8, 0.9], np.float32)))
    assert (found.partners, found.cut) == ({1: [9, 5], 5: [1], 9: [1]}, 0)


def test_a_crowd_is_cut_and_the_cut_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "PARTNERS", 3)
    found = _best(crowd(10))
    assert found.cut == 10
    assert sorted(found.partners[0]) == [1, 2, 3]


def test_thinning_on_the_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "PARTNERS", 4)
    whole = crowd(40)
    thin = _thinned(whole)
    assert len(thin) < len(whole) / 3
    assert _best(thin) == _best(whole)
