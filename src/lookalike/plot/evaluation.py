"""Figures of an evaluation: bars with intervals, curves, the worst mistakes as images, a heat map of edits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import ImageError
from lookalike.evaluate.metrics import precision_recall, roc
from lookalike.image import decode, read
from lookalike.plot.fonts import shorten
from lookalike.text import percent
from lookalike.types import RGB

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.evaluate import BenchmarkResult, Mistake, ModelBenchmark, ModelEvaluation, Report

_INK, _FAINT, _GRID = "#1c1e21", "#6b7076", "#e3e5e8"
_ONE, _OTHER, _WRONG, _RIGHT = "#1f5fa8", "#e0861a", "#c92a2a", "#2b8a3e"
_BARS = ("recall@1", "recall@5", "mAP", "mAP@R", "nDCG", "micro-AP", "recall@P90")
_PAIR_BARS = ("ROC-AUC", "micro-AP", "recall@P90", "TPR@FPR1e-2", "TPR@FPR1e-3", "EER")
_MAX_RANK = 50
_POINTS = 2000


def evaluation(report: "Report") -> "Figure":
    """Draw figures with their 95% intervals, recall at k (the ROC curve for pairs), and precision against recall.

    Two models are drawn side by side.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.9), dpi=110, facecolor="white", layout="constrained")
    bars, first, curve = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    models = [(report.one, _ONE), *([(report.other, _OTHER)] if report.other else [])]
    _bars(bars, models, _PAIR_BARS if report.kind == "pairs" else _BARS)
    for model, color in models:
        if model.retrieval is None:
            _roc(first, model, color)
        else:
            _cmc(first, model, color)
        _precision_recall(curve, model, color)
    title = f"{shorten(report.truth, 60)}   ·   {report.basis()}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=_INK, parse_math=False)
    return figure


def _name(model: str) -> str:
    return shorten(model.rstrip("/").rsplit("/", 1)[-1], 40)


def _axes(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK, fontweight="bold")
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=_FAINT, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_GRID)


def _bars(axes: Any, models: "Sequence[tuple[ModelEvaluation, str]]", figures: Sequence[str]) -> None:
    names = [name for name in figures if name in models[0][0].figures]
    height = 0.8 / len(models)
    for n, (model, color) in enumerate(models):
        positions = np.arange(len(names)) + (n - (len(models) - 1) / 2) * height
        values = np.array([model.figures[name] for name in names])
        ends = np.array([model.intervals.get(name, (value, value)) for name, value in zip(names, values, strict=True)])
        errors = np.abs(ends.T - values)
        axes.barh(positions, values, height * 0.9, color=color, label=_name(model.model))
        axes.errorbar(values, positions, xerr=errors, fmt="none", ecolor=_INK, elinewidth=1.1, capsize=2.5)
        for position, value, high in zip(positions, values, np.maximum(ends[:, 1], values), strict=True):
            axes.text(high + 0.012, position, f"{value:.3f}", va="center", fontsize=8, color=_INK)
    _axes(axes, "figures, with 95% intervals")
    axes.set(yticks=np.arange(len(names)), yticklabels=names, xlim=(0, 1.12), xticks=np.linspace(0, 1, 6))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=2, frameon=False, fontsize=8.5, labelcolor=_INK)


def _cmc(axes: Any, model: "ModelEvaluation", color: str) -> None:
    assert model.retrieval is not None
    ranks = model.retrieval.per_query.first_rank
    ks = np.arange(1, min(_MAX_RANK, model.retrieval.gallery) + 1)
    share = np.searchsorted(np.sort(ranks[ranks > 0]), ks, side="right") / max(model.retrieval.queries, 1)
    axes.plot(ks, share, color=color, linewidth=2)
    _axes(axes, "queries with a right answer among the first k")
    axes.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50) if tick <= ks[-1]]
    axes.set(xticks=ticks, xticklabels=ticks, ylim=(0, 1.02), xlim=(0.95, ks[-1] * 1.05))
    axes.minorticks_off()
    axes.set_xlabel("k", fontsize=9, color=_FAINT)


def _roc(axes: Any, model: "ModelEvaluation", color: str) -> None:
    fpr, tpr = roc(model.tally)
    lowest = 1 / max(int(model.tally.wrong.sum()), 1) / 2
    axes.plot(np.maximum(fpr, lowest), tpr, color=color, linewidth=2, drawstyle="steps-post")
    _axes(axes, "right pairs accepted, by wrong pairs accepted")
    axes.set_xscale("log")
    axes.set(ylim=(0, 1.02), xlim=(lowest, 1))
    axes.set_xlabel("share of wrong pairs accepted", fontsize=9, color=_FAINT)


def _precision_recall(axes: Any, model: "ModelEvaluation", color: str) -> None:
    precision, recall = precision_recall(model.tally)
    # A few thousand of millions of points are enough: the others fall on the same pixels.
    points = np.unique(np.searchsorted(recall, np.linspace(0, recall[-1], _POINTS)))
    axes.plot(recall[points], precision[points], color=color, linewidth=2)
    _axes(axes, "precision, by recall (all pairs in one ranking)")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_xlabel("recall", fontsize=9, color=_FAINT)


# --- mistakes


def mistakes(examples: "Sequence[Mistake]") -> "Figure":
    """Draw the query, the wrong first hit, and the best right answer with its rank, of each of one or more mistakes."""
    from matplotlib.figure import Figure

    columns = 2 if len(examples) > 3 else 1
    rows = -(-len(examples) // columns)
    figure = Figure(figsize=(columns * 6.6, rows * 2.45 + 0.4), dpi=110, facecolor="white", layout="constrained")
    # A narrow empty column separates the two mistakes of a row.
    shares = [1.0, 1.0, 1.0, 0.08] * columns
    grid = figure.subplots(rows, len(shares), squeeze=False, width_ratios=shares)
    for axes in grid.flat:
        axes.set_axis_off()
    for n, mistake in enumerate(examples):
        tiles = grid[n // columns, 4 * (n % columns) : 4 * (n % columns) + 3]
        _tile(tiles[0], mistake.query, "query", _INK)
        _tile(tiles[1], mistake.wrong, f"1   {mistake.wrong_score:.3f}   wrong", _WRONG)
        _tile(tiles[2], mistake.right, f"{mistake.rank:,}   {mistake.right_score:.3f}   right", _RIGHT)
    title = "worst mistakes: query, wrong first hit, best right answer (rank, score)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=_INK)
    return figure


def _tile(axes: Any, path: str, heading: str, color: str) -> None:
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[], facecolor="#f1f2f4")
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.5)
    image = _load_image(path)
    if image is None:
        axes.text(0.5, 0.5, "not available", ha="center", va="center", color=_FAINT, fontsize=8)
    else:
        axes.imshow(image, interpolation="antialiased")
        height, width = image.shape[:2]
        # A square tile with the whole image in its middle.
        side = max(height, width)
        axes.set(
            xlim=((width - side) / 2, (width + side) / 2), ylim=((height + side) / 2, (height - side) / 2), aspect=1
        )
    axes.set_title(heading, loc="left", fontsize=9, color=color, fontweight="bold", pad=3)
    name = "/".join(path.split("/")[-2:])
    axes.set_xlabel(shorten(name, 32), fontsize=7.5, color=_FAINT, loc="left", parse_math=False)


def _load_image(path: str) -> RGB | None:
    try:
        return decode(read(path), side=160).image
    except ImageError:
        return None


# --- edits


def copies(result: "BenchmarkResult") -> "Figure":
    """Draw a heat map per model: the share of copies found first by edit and strength, and micro-AP by edit."""
    from matplotlib.figure import Figure

    count = len(result.models)
    rows = len(result.best.edits)
    figure = Figure(figsize=(1.7 + 4.6 * count, 1.5 + 0.3 * rows), dpi=110, facecolor="white", layout="constrained")
    grid = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    # Hardest edit last, in one order for all models, so that rows can be compared.
    order = sorted(result.best.edits, key=lambda edit: -result.best.edits[edit].micro_ap)
    for axes, model in zip(grid, result.models, strict=True):
        _heat(axes, model, order)
    title = (
        "share of copies whose original is found first, by edit and strength from 0 to 1\n"
        f"{result.sources:,} images edited, {result.gallery:,} searched, {result.held_out:,} originals withheld"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, color=_INK)
    return figure


def _heat(axes: Any, model: "ModelBenchmark", order: Sequence[str]) -> None:
    strengths = sorted({strength for _, strength in model.cells})
    recall = np.array([[model.cells[edit, strength].recall for strength in strengths] for edit in order])
    together = np.array([[model.edits[edit].micro_ap] for edit in order])
    end = len(strengths) - 0.5
    for table, left in ((recall, -0.5), (together, end + 0.25)):  # micro-AP is set apart, since it is another figure
        right = left + table.shape[1]
        axes.imshow(table, cmap="RdYlBu", vmin=0, vmax=1, aspect="auto", extent=(left, right, len(order) - 0.5, -0.5))
        for (row, column), value in np.ndenumerate(table):
            color = "white" if value < 0.12 or value > 0.88 else _INK
            axes.text(left + 0.5 + column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color)
    axes.set(
        xlim=(-0.5, end + 1.25),
        xticks=[*range(len(strengths)), end + 0.75],
        xticklabels=[*(f"{strength:g}" for strength in strengths), "µAP"],
        yticks=range(len(order)),
        yticklabels=order,
    )
    axes.tick_params(labelsize=8.5, colors=_INK, length=0, labeltop=True, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    cut = (
        "no safe min_score"
        if model.min_score is None
        else f"min_score {model.min_score:.3f} finds {percent(model.recall)}"
    )
    axes.set_title(
        f"{_name(model.model)}\nR@1 {model.overall['recall@1']:.3f}   µAP {model.overall['micro-AP']:.3f}   {cut}",
        loc="left",
        fontsize=9,
        color=_INK,
        fontweight="bold",
    )
