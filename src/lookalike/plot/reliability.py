"""Reliability diagrams: the stated probability against the share that was true."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FAINT = "#6b7076"

Curves = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]


def reliability(
    curves: Curves,
    *,
    bins: int = 10,
    noun: str = "pairs",
    truth: str = "share that are copies",
    title: str = "Reliability of the probability of “copy”",
) -> "Figure":
    """Draw the stated probability against the share that was true, with counts below.

    `curves`: by name, stated probabilities (n,) and whether each was true (n,).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.6), dpi=110, facecolor="white")
    grid = figure.add_gridspec(2, 1, height_ratios=(4, 1), hspace=0.08, left=0.13, right=0.96, top=0.94, bottom=0.09)
    axes, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    axes.plot((0, 1), (0, 1), color=_FAINT, linewidth=0.8, linestyle="--", label="as stated")
    edges = np.linspace(0, 1, bins + 1)
    for name, (stated, true) in curves.items():
        bin_of = np.minimum((np.asarray(stated) * bins).astype(int), bins - 1)
        used = [n for n in range(bins) if (bin_of == n).any()]
        x, y = ([float(np.mean(values[bin_of == n])) for n in used] for values in (stated, true))
        axes.plot(x, y, marker="o", markersize=4, linewidth=1.4, label=f"{name} ({len(stated):,} {noun})")
        below.hist(stated, bins=edges.tolist(), histtype="step", linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel=truth, xticklabels=[])
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_title(title, fontsize=10, loc="left")
    below.set(xlim=(0, 1), xlabel="stated probability", ylabel=noun, yscale="log")
    return figure
