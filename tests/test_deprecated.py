"""Old public names work with a DeprecationWarning that says the new one."""

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest

import lookalike
from lookalike.cluster import KMeans, Suspect
from lookalike.cluster.levels import Level

ROOMS = [name for _, name, is_package in iter_modules(lookalike.__path__, "lookalike.") if is_package]
NAMES = [
    (room, old, new)
    for room in ROOMS
    for old, new in getattr(getattr(import_module(room), "__getattr__", None), "names", {}).items()
]


@pytest.mark.parametrize(("room", "old", "new"), NAMES)
def test_an_old_name_is_the_new_one(room: str, old: str, new: str) -> None:
    home, _, name = new.rpartition(":")
    with pytest.warns(DeprecationWarning, match=rf"{room}.{old} is now {home or room}.{name}$"):
        answer = getattr(import_module(room), old)
    assert answer is getattr(import_module(home or room), name)
    assert name in import_module(home or room).__all__
    assert old not in import_module(room).__all__


def test_there_are_old_names_in_several_rooms() -> None:
    assert len({room for room, _, _ in NAMES}) >= 6


@pytest.mark.parametrize("room", ROOMS)
def test_an_unknown_name_is_an_error(room: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_the_kind'"):
        _ = import_module(room).nothing_of_the_kind


def test_renamed_attributes() -> None:
    centers, numbers, scores = np.eye(2, dtype=np.float32), np.arange(2, dtype=np.int32), np.ones(2, np.float32)
    for kind in (KMeans, Level):
        with pytest.warns(DeprecationWarning, match=f"{kind.__name__}.centres is now {kind.__name__}.centers"):
            assert kind(centers, numbers, scores).centres is centers
    suspect = Suspect(0, "car", "boat", 0.9, (1, 2), (0.8, 0.7))
    with pytest.warns(DeprecationWarning, match="Suspect.given is now Suspect.label"):
        assert suspect.given == "car"
    with pytest.warns(DeprecationWarning, match="Suspect.neighbours is now Suspect.neighbors"):
        assert suspect.neighbours == (1, 2)
