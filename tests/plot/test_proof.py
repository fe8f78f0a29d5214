from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from lookalike.image import EDITS, decode
from lookalike.plot import Heat, proof, reliability, save
from lookalike.relate import Subject, Verdict, find_features, judge
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.relate.words.explain import Explanation, explain
from lookalike.types import RGB, Relation
from tests.relate.conftest import scene

PLAIN = Calibration(geometry=default_geometry())


ORANGE, GREEN = (217, 72, 15), (18, 184, 134)  # outline, lines


def judged(first: RGB, second: RGB) -> Verdict:
    return judge(Subject(features=find_features(first)), Subject(features=find_features(second)), PLAIN)


def drawn(first: RGB, second: RGB, tmp_path: Path, *, heat: bool = True) -> RGB:
    verdict = judged(first, second)
    told = explain(first, second, verdict)
    heats = [Heat(told.agreement_map, "pixels")] if heat and told.agreement_map is not None else []
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
    for colour in (ORANGE, GREEN):
        assert share_of(proved, colour) > 0.001
        assert share_of(alone, colour) == 0


def test_where_a_crop_lies_is_outlined_in_the_picture_that_holds_it(tmp_path: Path) -> None:
    grey = np.repeat(scene(1).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    part = np.ascontiguousarray(grey[90:270, 120:360])
    for first, second, side in ((grey, part, slice(0, 400)), (part, grey, slice(440, None))):
        image = drawn(first, second, tmp_path, heat=False)
        halves = {n: share_of(image[:, cut], ORANGE) for n, cut in enumerate((slice(0, 400), slice(440, None)))}
        assert share_of(image[:, side], ORANGE) == max(halves.values()) > 0.004
        assert min(halves.values()) < 0.001


def test_nothing_is_outlined_where_it_cannot_be_told(tmp_path: Path) -> None:
    grey = np.repeat(scene(1).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    sure = judged(grey, grey[:, :300].copy())
    doubt = replace(sure, relation=Relation.CANNOT_TELL)
    told = Explanation("cannot tell", (), (), None)
    for verdict, outlined in ((sure, True), (doubt, False)):
        file = save(proof((grey, grey[:, :300]), ("a", "b"), verdict, told), tmp_path / "proof.png")
        image = decode(file.read_bytes()).image
        assert (share_of(image, ORANGE) > 0.001) is outlined
        assert share_of(image, GREEN) > 0.001


def test_no_name_and_no_words_run_off_the_figure() -> None:
    tall = np.ascontiguousarray(np.tile(scene(1), (4, 1, 1))[:, :150])
    verdict = judged(scene(1), tall)
    told = Explanation("copy: " + "rotated by 90° anticlockwise, text added at the top, " * 6, (), (), None)
    figure = proof((scene(1), tall), ("/a/" + "W" * 90 + ".png", "/b/" + "日" * 60 + ".png"), verdict, told)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = figure.findobj(Text)
    edges = [text.get_window_extent(canvas.get_renderer()) for text in texts if text.get_text()]
    assert len(edges) >= 4
    assert min(edge.x0 for edge in edges) >= 0
    assert max(edge.x1 for edge in edges) <= figure.bbox.width


@pytest.mark.parametrize("shape", [(30, 400), (400, 30), (40, 40)])
def test_odd_shapes_are_drawn(shape: tuple[int, int], tmp_path: Path) -> None:
    odd = np.ascontiguousarray(np.tile(scene(1), (2, 2, 1))[: shape[0], : shape[1]])
    assert drawn(odd, scene(1), tmp_path).size


def test_reliability_curves_are_drawn(tmp_path: Path) -> None:
    stated = np.linspace(0, 1, 200)
    truth = np.random.default_rng(0).random(200) < stated
    file = save(reliability({"a": (stated, truth), "one": (np.array([0.5]), np.array([True]))}), tmp_path / "r.png")
    assert decode(file.read_bytes()).image.std() > 10
