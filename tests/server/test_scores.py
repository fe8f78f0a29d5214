"""What a cut-off lets pass: smooth, never rising, never more than was measured in the collection."""

import numpy as np
import pytest

from lookalike.relate.probability.score_tail import Tail
from lookalike.server.routes.collection import _chance

LADDER = np.linspace(0, 1, 101)
TAIL = Tail(start=0.25, scale=0.08, shape=0.0, share=0.02)


def pairs(*, middle: float = 0.1, wide: float = 0.1, copies: int = 0) -> np.ndarray:
    """Scores of unrelated pairs about `middle`, and of so many copies among them."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(middle, wide, 100_000), rng.uniform(0.7, 1, copies)])
    return scores.astype(np.float32)


@pytest.mark.parametrize("measured", [pairs(), pairs(copies=4000), pairs(middle=0.2), pairs(middle=0.05, wide=0.05)])
def test_a_step_of_the_slider_never_raises_the_chance(measured: np.ndarray) -> None:
    chances = _chance(TAIL, measured, LADDER)
    assert chances is not None
    assert np.diff(chances).max() <= 0
    assert 0 < chances[-1] < chances[0] <= 1


@pytest.mark.parametrize("measured", [pairs(), pairs(copies=4000), pairs(middle=0.2)])
def test_where_the_tail_begins_there_is_no_jump(measured: np.ndarray) -> None:
    chances = _chance(TAIL, measured, LADDER)
    assert chances is not None
    near = (LADDER > 0.15) & (LADDER < 0.35)
    assert (chances[near][1:] / chances[near][:-1]).min() > 0.5


def test_below_the_tail_pairs_are_counted_as_measured_and_beyond_it_by_the_tail() -> None:
    # Two of the eleven lie beyond the start by the pairs, 2% by the tail: (2 / 11) ** power is 0.02.
    measured = np.array([0.0, 0.05, 0.1, 0.1, 0.15, 0.2, 0.2, 0.2, 0.2, 0.9], np.float32)
    chances = _chance(TAIL, measured, np.array([0.12, 0.25, 0.3]))
    power = np.log(0.02) / np.log(2 / 11)
    assert chances == pytest.approx([(7 / 11) ** power, 0.02, 0.02 * np.exp(-0.05 / 0.08)])


def test_no_more_than_was_measured_and_nothing_of_pictures_of_other_kinds() -> None:
    calm = pairs(middle=0.0, wide=0.02)
    chances = _chance(TAIL, calm, np.array([0.25]))
    assert chances is not None
    assert chances[0] == pytest.approx(1 / (len(calm) + 1))
    assert _chance(TAIL, pairs(middle=0.6), LADDER) is None
    assert _chance(TAIL, np.zeros(0, np.float32), LADDER) is None
