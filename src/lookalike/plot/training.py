"""Figures of training: learning curves, reconstructions, a walk in latent space, hits before and after."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _FAINT, _LOSS, _METRIC = "#1c1e21", "#6b7076", "#868e96", "#d9480f"
_TILE, _GAP = 1.0, 0.08  # inches


def curves(
    history: Sequence[Mapping[str, float]],
    metric: str,
    *,
    before: float | None = None,
    epoch: int = 0,
    mixture: float | None = None,
    caption: str = "",
) -> "Figure":
    """Draw loss (left) and the validation metric (right) by epoch.

    `before`: the metric before training, a dashed line. `epoch`: the saved epoch, which is circled. `mixture`: the
    metric of a saved mixture of the models before and after, a dotted line. `caption`: what was saved, in words.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 3.6), dpi=110, facecolor="white", layout="constrained")
    left = figure.add_subplot()
    right = left.twinx()
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], color=_LOSS, linewidth=1.6, marker="o", markersize=3)
    left.set_xlabel("epoch", color=_FAINT)
    left.set_ylabel("loss", color=_LOSS)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    values = [row.get(metric, float("nan")) for row in history]
    right.plot(epochs, values, color=_METRIC, linewidth=2, marker="o", markersize=3)
    right.set_ylabel(f"validation {metric}", color=_METRIC)
    if epoch:
        right.plot(epoch, values[epoch - 1], "o", color=_METRIC, markersize=8, fillstyle="none")
    if mixture is not None:
        right.axhline(mixture, color=_METRIC, linewidth=1.2, linestyle=":")
    if before is not None:
        right.axhline(before, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
        left.set_title(f"- - before: {before:.3f}", loc="right", fontsize=9, color=_INK)
    # Text is above the axes: inside, it could always cover a curve or a number.
    left.set_title(caption, loc="left", fontsize=9, color=_METRIC)
    for axes in (left, right):
        axes.spines[["top"]].set_visible(False)
        axes.tick_params(colors=_FAINT)
    return figure


def restorations(originals: NDArray[np.uint8], restored: NDArray[np.uint8]) -> "Figure":
    """Draw originals in the upper row, their reconstructions by the autoencoder below. Both (n, side, side, 3)."""
    return _rows([("original", originals), ("restored", restored)])


def latent_walk(images: NDArray[np.uint8]) -> "Figure":
    """Draw the decoded images (steps, side, side, 3) of codes on the straight line between the codes of two images."""
    return _rows([("walk", images)])


def before_after(
    queries: Sequence[NDArray[np.uint8]],
    before: Sequence[tuple[NDArray[np.uint8], bool]],
    after: Sequence[tuple[NDArray[np.uint8], bool]],
) -> "Figure":
    """Draw queries above the first hit of the model before and after; the frame is green for right, red for wrong."""
    rows = [("query", list(queries)), ("before", [p for p, _ in before]), ("after", [p for p, _ in after])]
    return _rows(rows, right=[None, [ok for _, ok in before], [ok for _, ok in after]])


def _rows(rows: Sequence[tuple[str, Any]], *, right: Sequence[Sequence[bool] | None] | None = None) -> "Figure":
    from matplotlib.figure import Figure

    count = max(len(images) for _, images in rows)
    width, height = 0.9 + count * (_TILE + _GAP), _GAP + len(rows) * (_TILE + _GAP)
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for line, (name, images) in enumerate(rows):
        bottom = height - (line + 1) * (_TILE + _GAP)
        figure.text(0.8 / width, (bottom + _TILE / 2) / height, name, ha="right", va="center", color=_FAINT, fontsize=9)
        for column, image in enumerate(images):
            left = 0.9 + column * (_TILE + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _TILE / width, _TILE / height))
            axes.imshow(image, interpolation="nearest" if max(image.shape[:2]) < 100 else "antialiased")
            axes.set(xticks=[], yticks=[])
            marks = right[line] if right else None
            edge = "#d5d8dc" if marks is None else "#2b8a3e" if marks[column] else "#c92a2a"
            for spine in axes.spines.values():
                spine.set(color=edge, linewidth=0.8 if marks is None else 2)
    return figure
