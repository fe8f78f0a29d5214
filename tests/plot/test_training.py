"""Learning curves: they mark the saved model, and their text covers nothing."""

from types import SimpleNamespace

import pytest

from lookalike.cli.train import _selection
from lookalike.plot import curves

HISTORY = [{"epoch": n + 1, "loss": 1 / (n + 1), "mAP": value} for n, value in enumerate((0.05, 0.064, 0.061))]


def circles(figure):
    return [line.get_xdata()[0] for axes in figure.axes for line in axes.lines if line.get_fillstyle() == "none"]


def taught(**values):
    usual = {"metric": "mAP", "selected": "trained", "interpolation": 1.0, "best_epoch": 2, "after": {"mAP": 0.064}}
    return SimpleNamespace(**usual | values)


@pytest.mark.parametrize(
    ("ended", "circled", "lines", "caption"),
    [
        (taught(), [2], [0.066], "saved: epoch 2, mAP 0.064"),
        (taught(selected="before"), [], [0.066], "saved: the base model"),
        (taught(interpolation=0.75, after={"mAP": 0.07}), [], [0.07, 0.066], "mAP 0.070, 75% of the way"),
    ],
)
def test_the_saved_model_is_marked(ended, circled, lines, caption):
    figure = curves(HISTORY, "mAP", before=0.066, **_selection(ended))
    assert circles(figure) == circled
    flat = [line.get_ydata()[0] for line in figure.axes[1].lines if len(set(line.get_ydata())) == 1]
    assert [value for value in flat if value != 0.064] == lines
    assert caption in figure.axes[0].get_title(loc="left")


def test_no_text_is_inside_the_axes():
    figure = curves(HISTORY, "mAP", before=0.066, epoch=2, caption="saved: epoch 2")
    assert not any(axes.texts for axes in figure.axes)
    assert figure.axes[0].get_title(loc="right") == "- - before: 0.066"
