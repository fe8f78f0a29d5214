"""Old names of the cluster room still work, with a DeprecationWarning."""

import numpy as np
import pytest

import lookalike.cluster
import lookalike.duplicates
from lookalike.cluster import KMeans, Suspect
from lookalike.cluster.levels import Level


@pytest.mark.parametrize(("old", "new"), lookalike.cluster._RENAMED.items())
def test_a_renamed_function_or_class(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"lookalike.cluster.{new}"):
        assert getattr(lookalike.cluster, old) is getattr(lookalike.cluster, new)
    assert new in lookalike.cluster.__all__


@pytest.mark.parametrize("name", sorted(lookalike.cluster._MOVED_TO_DUPLICATES))
def test_a_name_that_moved_to_duplicates(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=r"is now in lookalike\.duplicates"):
        moved = getattr(lookalike.cluster, name)
    assert moved is not None


def test_a_renamed_attribute() -> None:
    centers, numbers, scores = np.eye(2, dtype=np.float32), np.arange(2, dtype=np.int32), np.ones(2, np.float32)
    for cls in (KMeans, Level):
        with pytest.warns(DeprecationWarning, match="centers"):
            assert cls(centers, numbers, scores).centres is centers
    suspect = Suspect(0, "car", "boat", 0.9, (1, 2), (0.8, 0.7))
    with pytest.warns(DeprecationWarning, match="label"):
        assert suspect.given == "car"
    with pytest.warns(DeprecationWarning, match="neighbors"):
        assert suspect.neighbours == (1, 2)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clutser'"):
        getattr(lookalike.cluster, "clutser")  # noqa: B009
