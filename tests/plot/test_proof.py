from pathlib import Path

import numpy as np
import pytest

from lookalike.image import EDITS, decode
from lookalike.plot import Heat, proof, reliability, save
from lookalike.relate import Subject, find_features, judge
from lookalike.relate.calibration import Calibration, default_geometry
from lookalike.relate.explain import explain
from lookalike.types import RGB
from tests.relate.conftest import scene

PLAIN = Calibration(geometry=default_geometry())


def drawn(first: RGB, second: RGB, tmp_path: Path, *, heat: bool = True) -> RGB:
    verdict = judge(Subject(features=find_features(first)), Subject(features=find_features(second)), PLAIN)
    told = explain(first, second, verdict)
    heats = [Heat(told.agreeing, "pixels")] if heat and told.agreeing is not None else []
    file = save(proof((first, second), ("a $x$.png", "b_{.png"), verdict, told, heats=heats), tmp_path / "proof.png")
    return decode(file.read_bytes()).image


def share_of(image: RGB, colour: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - colour).max(axis=2) < 40).mean())


def test_a_copy_shows_outline_lines_and_heat(tmp_path: Path) -> None:
    image = drawn(scene(1), EDITS["screenshot"].apply(scene(1), 0.5, 1), tmp_path)
    stranger = drawn(scene(1), scene(2), tmp_path)
    assert image.shape[0] > 1.4 * stranger.shape[0]  # the second row
    grey = np.repeat(scene(1).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    proved, alone = (
        drawn(grey, grey[:, :300].copy(), tmp_path, heat=False),
        drawn(grey, grey[::-1, :9].copy(), tmp_path),
    )
    for colour in ((217, 72, 15), (18, 184, 134)):  # outline, lines
        assert share_of(proved, colour) > 0.001
        assert share_of(alone, colour) == 0


@pytest.mark.parametrize("shape", [(30, 400), (400, 30), (40, 40)])
def test_odd_shapes_are_drawn(shape: tuple[int, int], tmp_path: Path) -> None:
    odd = np.ascontiguousarray(np.tile(scene(1), (2, 2, 1))[: shape[0], : shape[1]])
    assert drawn(odd, scene(1), tmp_path).size


def test_reliability_curves_are_drawn(tmp_path: Path) -> None:
    stated = np.linspace(0, 1, 200)
    truth = np.random.default_rng(0).random(200) < stated
    file = save(reliability({"a": (stated, truth), "one": (np.array([0.5]), np.array([True]))}), tmp_path / "r.png")
    assert decode(file.read_bytes()).image.std() > 10
