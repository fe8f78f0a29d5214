"""The map of a collection: a figure with thumbnails that do not overlap, and an interactive page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.layout import PALETTE, Coloring, colorings
from lookalike.plot.hits import _INK
from lookalike.plot.pages import packed, write_page
from lookalike.plot.tiles import COLUMNS, sheets, side_for, tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.cluster import Clusters
    from lookalike.search import Collection

_CELLS = 34  # thumbnails along a side of the figure, at most
_SIDE = 56  # pixels of each

Positions = NDArray[np.float32]


def map_figure(
    photos: "Collection",
    ids: Sequence[str],
    positions: Positions,
    *,
    clusters: "Clusters | None" = None,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    """Draw every image as a dot, colored by label or coarsest cluster, and one thumbnail per cell of a grid."""
    from matplotlib.figure import Figure

    side = 20.0
    figure = Figure(figsize=(side, side), dpi=100, facecolor="white")
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03))
    axes.set_axis_off()
    groups = colorings(ids, clusters, labels or {})
    colors = _colors(groups[0]) if groups else np.full(len(ids), "#4269d0", object)
    size = float(np.clip(60_000 / max(len(ids), 1), 2, 60))
    axes.scatter(positions[:, 0], positions[:, 1], s=size, c=colors.tolist(), linewidths=0, alpha=0.55)
    chosen = one_per_cell(positions, _CELLS)
    half = 1.03 / _CELLS * 0.92
    for row, tile in zip(chosen, tiles(photos, [ids[r] for r in chosen], _SIDE), strict=True):
        x, y = _cell_middle(positions[row], _CELLS)
        axes.imshow(tile, extent=(x - half, x + half, y - half, y + half), zorder=2, interpolation="antialiased")
        frame = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * half + (x, y)
        axes.plot(*frame.T, color=str(colors[row]), linewidth=1.6, zorder=3)
    axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
    if groups:
        _legend(axes, groups[0])
    return figure


def one_per_cell(positions: Positions, cells: int) -> NDArray[np.int64]:
    """Return rows whose thumbnails do not overlap: the one nearest to the middle of each cell of a grid over ±1.03."""
    cell = np.floor((positions + 1.03) / 2.06 * cells).astype(np.int64).clip(0, cells - 1)
    middle = (cell + 0.5) / cells * 2.06 - 1.03
    off = np.linalg.norm(positions - middle, axis=1)
    order = np.lexsort((off, cell[:, 0] * cells + cell[:, 1]))
    flat = (cell[:, 0] * cells + cell[:, 1])[order]
    return np.sort(order[np.concatenate(([True], flat[1:] != flat[:-1]))]) if len(order) else order


def map_page(
    photos: "Collection",
    ids: Sequence[str],
    positions: Positions,
    path: str | Path,
    *,
    clusters: "Clusters | None" = None,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write one self-contained page: zoom, thumbnails on hover, color by cluster or label, search for an id."""
    # Neighbors on the map share a sheet, so that a view decodes few sheets.
    cells = np.floor((positions + 1) * 24).astype(np.int64)
    order = np.lexsort((cells[:, 1] * (1 - 2 * (cells[:, 0] % 2)), cells[:, 0]))
    sorted_ids = [ids[row] for row in order]
    side = side_for(len(ids))
    data: dict[str, Any] = {
        "ids": sorted_ids,
        "positions": packed(np.round(positions[order] * 32000).astype(np.int16)),
        "groups": [
            {"title": title, "names": names, "of": packed(of[order].astype(np.int32))}
            for title, names, of in colorings(ids, clusters, labels or {})
        ],
        "palette": PALETTE,
        "columns": COLUMNS,
        "side": side,
    }
    return write_page("map.html", data, {"sheet": sheets(photos, sorted_ids, side)}, path)


def _colors(group: Coloring) -> NDArray[np.object_]:
    of = group[2]
    colors = np.array([*PALETTE, "#c9ccd1"], object)
    return colors[np.where(of < 0, len(PALETTE), of % len(PALETTE))]


def _legend(axes: Any, group: Coloring) -> None:
    title, names, _ = group
    if not names:
        return
    for n, name in enumerate(names[: len(PALETTE)]):
        axes.scatter([], [], s=120, color=PALETTE[n % len(PALETTE)], label=name)
    more = f" (the first {len(PALETTE)} of {len(names)})" if len(names) > len(PALETTE) else ""
    axes.legend(title=title + more, fontsize=13, title_fontsize=13, frameon=True, loc="upper left", labelcolor=_INK)


def _cell_middle(position: Any, cells: int) -> tuple[float, float]:
    cell = np.floor((position + 1.03) / 2.06 * cells).clip(0, cells - 1)
    x, y = (cell + 0.5) / cells * 2.06 - 1.03
    return float(x), float(y)
