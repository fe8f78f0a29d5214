"""Old names of the evaluate room still work, with a DeprecationWarning."""

from pathlib import Path

import pytest

import lookalike.evaluate
from lookalike.evaluate import BenchmarkPlan, benchmark
from tests.conftest import ColourEmbedder


@pytest.mark.parametrize(("old", "new"), lookalike.evaluate._RENAMED.items())
def test_a_renamed_class(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"lookalike.evaluate.{new}"):
        assert getattr(lookalike.evaluate, old) is getattr(lookalike.evaluate, new)
    assert new in lookalike.evaluate.__all__


def test_a_renamed_attribute(photos: Path) -> None:
    best = benchmark([photos], [ColourEmbedder()], plan=BenchmarkPlan(edits=("flip",))).best
    with pytest.warns(DeprecationWarning, match="recall"):
        assert best.kept == best.recall
