"""Figures of clusters: a contact sheet per level, the curve that chose the levels, and a page with every image."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.plot.fonts import fonts, shorten
from lookalike.plot.hits import _FAINT, _INK
from lookalike.plot.pages import packed, write_page
from lookalike.plot.tiles import COLUMNS, mosaic, sheets, side_for, tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.cluster import Cluster, Clusters, LevelChoice
    from lookalike.search import Collection

_MOSAIC_COLUMNS = 3  # tiles along each side of a cluster's mosaic
_TILE = 48
_MAX_CLUSTERS = 768  # on a sheet
_SHARP_SIDES = ((1_200, 112), (3_000, 80), (10_000, 48))  # largest number of representatives, pixels per side


def contact_sheet(photos: "Collection", clusters: "Clusters", level: int) -> "Figure":
    """Draw one level: nine representatives of each cluster, largest first, with its number, size and name.

    `level`: its index, 0 is the coarsest.
    """
    from matplotlib.figure import Figure

    shown = sorted(clusters.clusters[level], key=lambda c: -c.size)
    total, shown = len(shown), shown[:_MAX_CLUSTERS]
    columns = max(1, min(len(shown), math.ceil(math.sqrt(1.4 * len(shown)))))
    rows = max(math.ceil(len(shown) / columns), 1)
    cell, title = 1.5, 0.5
    width, height = max(columns * cell, 4.5) + 0.1, rows * (cell + 0.26) + title
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for n, cluster in enumerate(shown):
        left, top = 0.1 + (n % columns) * cell, title + (n // columns) * (cell + 0.26)
        box = (left / width, 1 - (top + cell) / height, (cell - 0.1) / width, (cell - 0.1) / height)
        axes = figure.add_axes(box)
        axes.imshow(_square(photos, cluster), aspect="auto", interpolation="antialiased")
        axes.set_axis_off()
        name = f"{cluster.number}" + (f" {shorten(cluster.name, 13)}" if cluster.name else "")
        text: dict[str, Any] = {"va": "top", "fontsize": 7, "parse_math": False, "family": fonts()}
        figure.text(box[0], box[1] - 0.02 / height, name, color=_INK, fontweight="bold", **text)
        figure.text(box[0] + box[2], box[1] - 0.02 / height, f"{cluster.size:,}", color=_FAINT, ha="right", **text)
    remark = f", the {len(shown):,} largest" if total > len(shown) else ""
    plural = "s" * (total != 1), "s" * (len(clusters.ids) != 1)
    heading = f"{total:,} cluster{plural[0]} of {len(clusters.ids):,} image{plural[1]}{remark}"
    figure.text(0.1 / width, 1 - 0.1 / height, heading, va="top", fontsize=10, fontweight="bold", color=_INK)
    return figure


def level_curve(choice: "LevelChoice") -> "Figure":
    """Draw how well two halves of the images agree for each number of clusters, and the numbers chosen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), dpi=110, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    ks = sorted(choice.curve)
    axes.plot(ks, [choice.curve[k] for k in ks], marker="o", markersize=3, linewidth=1.2, color="#1971c2")
    for k in choice.levels:
        if k in choice.curve:
            axes.plot(
                [k], [choice.curve[k]], "o", markersize=9, markerfacecolor="none", color="#d9480f", markeredgewidth=1.6
            )
            axes.annotate(
                f"{k}", (k, choice.curve[k]), (0, 9), textcoords="offset points", ha="center", color="#d9480f"
            )
    axes.set(xscale="log", ylim=(0, 1.08), xlabel="clusters", ylabel="agreement of two halves (ARI)")
    axes.set_xticks([k for k in (2, 4, 8, 16, 32, 64, 128, 256, 512) if k <= max(ks, default=2)])
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.set_title("Levels chosen by stability", fontsize=10, loc="left")
    return figure


def cluster_page(photos: "Collection", clusters: "Clusters", path: str | Path) -> Path:
    """Write one self-contained page with the clusters of every level and all their images."""
    finest = clusters.levels[-1]
    number = np.where(finest.assignments < 0, np.iinfo(np.int32).max, finest.assignments)
    # A cluster of any level is one range of this order, since children of a parent have consecutive numbers.
    order = np.lexsort((-clusters.scores, number))
    ids = [clusters.ids[row] for row in order]
    index_of = {name: index for index, name in enumerate(ids)}
    representatives = [name for level in clusters.clusters for c in level for name in c.medoids]
    small, large = side_for(len(ids)), next((s for limit, s in _SHARP_SIDES if len(representatives) <= limit), 0)
    data: dict[str, Any] = {
        "ids": ids,
        "paths": _paths(photos, ids),
        "scores": packed(np.round(clusters.scores[order] * 1000).astype(np.int16)),
        "levels": [_level(clusters, level, order, index_of) for level in range(len(clusters.levels))],
        "columns": COLUMNS,
        "side": small,
        "sharp": large if large > small else 0,
        "sharpIds": [index_of[name] for name in representatives if name in index_of] if large > small else [],
        "noise": int((finest.assignments < 0).sum()),
        "method": clusters.method,
    }
    jpegs = {"sheet": sheets(photos, ids, small)}
    if large > small:
        jpegs["sharp"] = sheets(photos, [name for name in representatives if name in index_of], large)
    return write_page("clusters.html", data, jpegs, path)


def _square(photos: "Collection", cluster: "Cluster") -> Any:
    medoids = tiles(photos, list(cluster.medoids), _TILE)
    square = np.full((_MOSAIC_COLUMNS * _MOSAIC_COLUMNS, _TILE, _TILE, 3), 241, np.uint8)
    square[: len(medoids)] = medoids[: len(square)]
    return mosaic(square, _MOSAIC_COLUMNS)


def _level(clusters: "Clusters", level: int, order: Any, index_of: dict[str, int]) -> dict[str, Any]:
    numbers = clusters.levels[level].assignments[order]
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(clusters.clusters[level]))
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1])) if len(sizes) else sizes
    return {
        "count": len(clusters.clusters[level]),
        "clusters": [
            {
                "n": c.number,
                "parent": c.parent,
                "start": int(starts[c.number]),
                "size": int(sizes[c.number]),
                "tight": round(c.tightness, 3),
                "name": c.name,
                "shown": [index_of[name] for name in c.medoids if name in index_of],
            }
            for c in clusters.clusters[level]
        ],
    }


def _paths(photos: "Collection", ids: list[str]) -> list[str]:
    """The path of each image, "" if it has none."""
    rows = (row for start in range(0, len(ids), 2000) for row in photos.get(ids[start : start + 2000], ["path"]))
    return [str(row.metadata.get("path") or "") if row else "" for row in rows]
