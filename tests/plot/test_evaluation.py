"""The drawn evaluation: what is on it, for one model, two, pairs, and mistakes whose pictures are gone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike import plot
from lookalike.evaluate import (
    BenchmarkPlan,
    BenchmarkResult,
    EvaluationSettings,
    Mistake,
    Report,
    benchmark,
    evaluate,
    read_truth,
)
from tests.conftest import COLOURS, ColourEmbedder
from tests.evaluate.test_run import Grey

QUICK = EvaluationSettings(times=20)


@pytest.fixture
def report(write: Callable[..., Path], tmp_path: Path) -> Report:
    for n, name in enumerate(COLOURS):
        for m in range(3):
            write(f"{name}/{m}.png", name, seed=10 * n + m)
    return evaluate(ColourEmbedder(), read_truth(tmp_path / "photos"), against=Grey("gray"), settings=QUICK)


def texts(axes: object) -> list[str]:
    return [text.get_text() for text in axes.texts]  # type: ignore[attr-defined]


def test_bars_and_curves_are_the_figures(report: Report, tmp_path: Path) -> None:
    figure = plot.evaluation(report)
    bars, cmc, curve = figure.axes
    named = [label.get_text() for label in bars.get_yticklabels()]
    assert [patch.get_width() for patch in bars.patches[: len(named)]] == pytest.approx(
        [report.one.figures[name] for name in named]
    )
    assert len(cmc.lines) == len(curve.lines) == 2
    assert report.other is not None
    for line, model in zip(cmc.lines, (report.one, report.other), strict=True):
        assert line.get_ydata()[0] == pytest.approx(model.figures["recall@1"])
        assert line.get_ydata()[4] == pytest.approx(model.figures["recall@5"])
    assert plot.save(figure, tmp_path / "f.png").stat().st_size > 10_000


def test_pairs_have_a_roc(photos: Path) -> None:
    (photos / "p.csv").write_text("a,b,same\nred.png,orange.png,1\nred.png,blue.png,0\n", encoding="utf-8")
    figure = plot.evaluation(evaluate(ColourEmbedder(), read_truth(photos / "p.csv"), settings=QUICK))
    assert "ROC-AUC" in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert figure.axes[1].lines[0].get_ydata().max() == 1


def test_mistakes_show_three_pictures_each(write: Callable[..., Path], tmp_path: Path) -> None:
    paths = [str(write(f"{name}.png", name)) for name in ("red", "blue", "orange")]
    gone = Mistake(paths[0], str(tmp_path / "gone.png"), 0.9, paths[2], 0.8, 12)
    for count in (1, 5):
        figure = plot.mistakes([Mistake(paths[0], paths[1], 0.9, paths[2], 0.8, 2), gone, *[gone] * 3][:count])
        drawn = [axes for axes in figure.axes if axes.get_title(loc="left")]
        assert len(drawn) == 3 * count
        assert drawn[1].get_title(loc="left") == "1   0.900   wrong"
        plot.save(figure, tmp_path / "m.png")
    assert texts(drawn[4]) == ["not available"]


@pytest.fixture
def copies(photos: Path) -> BenchmarkResult:
    return benchmark([photos], [ColourEmbedder(), Grey("gray")], plan=BenchmarkPlan(edits=("flip", "gray")))


def test_a_heat_map_a_model(copies: BenchmarkResult, tmp_path: Path) -> None:
    figure = plot.copies(copies)
    assert len(figure.axes) == 2
    recall, together = (np.asarray(image.get_array()) for image in figure.axes[0].images)
    assert (recall.shape, together.shape) == ((2, 5), (2, 1))  # two edits; five strengths, micro-AP
    edits = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    for row, edit in enumerate(edits):
        assert recall[row, 0] == pytest.approx(copies.best.cells[edit, 0.0].recall)
        assert together[row, 0] == pytest.approx(copies.best.edits[edit].micro_ap)
    plot.save(figure, tmp_path / "h.png")
