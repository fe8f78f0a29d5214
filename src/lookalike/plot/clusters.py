"""Clusters to look at: a contact sheet a level, the curve that chose the levels, one page with everything."""

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

_ACROSS = 3  # tiles along a cluster's mosaic
_TILE = 48
_MOST = 768  # clusters on a sheet
_SHARP = ((1_200, 112), (3_000, 80), (10_000, 48))  # representatives up to, pixels a side


def contact_sheet(photos: "Collection", clusters: "Clusters", place: int) -> "Figure":
    """One level: a square of nine representatives a cluster, the largest first, with its number, size and name."""
    from matplotlib.figure import Figure

    shown = sorted(clusters.clusters[place], key=lambda c: -c.size)
    total, shown = len(shown), shown[:_MOST]
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
        told = f"{cluster.number}" + (f" {shorten(cluster.name, 13)}" if cluster.name else "")
        text: dict[str, Any] = {"va": "top", "fontsize": 7, "parse_math": False, "family": fonts()}
        figure.text(box[0], box[1] - 0.02 / height, told, color=_INK, fontweight="bold", **text)
        figure.text(box[0] + box[2], box[1] - 0.02 / height, f"{cluster.size:,}", color=_FAINT, ha="right", **text)
    left_out = f", the {len(shown):,} largest" if total > len(shown) else ""
    many = "s" * (total != 1), "s" * (len(clusters.ids) != 1)
    heading = f"{total:,} cluster{many[0]} of {len(clusters.ids):,} picture{many[1]}{left_out}"
    figure.text(0.1 / width, 1 - 0.1 / height, heading, va="top", fontsize=10, fontweight="bold", color=_INK)
    return figure


def level_curve(choice: "LevelChoice") -> "Figure":
    """How well two halves of the pictures agree at each number of clusters, and the numbers chosen."""
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
    axes.set_title("Levels chosen from the pictures", fontsize=10, loc="left")
    return figure


def cluster_page(photos: "Collection", clusters: "Clusters", path: str | Path) -> Path:
    """One self-contained page: every level's clusters, and every picture of each."""
    finest = clusters.levels[-1]
    number = np.where(finest.assignments < 0, np.iinfo(np.int32).max, finest.assignments)
    order = np.lexsort((-clusters.scores, number))  # relatives have neighbouring numbers: a cluster is a stretch
    ids = [clusters.ids[row] for row in order]
    places = {name: place for place, name in enumerate(ids)}
    stand_ins = [name for level in clusters.clusters for c in level for name in c.medoids]
    small, large = side_for(len(ids)), next((s for most, s in _SHARP if len(stand_ins) <= most), 0)
    data: dict[str, Any] = {
        "ids": ids,
        "paths": _paths(photos, ids),
        "scores": packed(np.round(clusters.scores[order] * 1000).astype(np.int16)),
        "levels": [_level(clusters, place, order, places) for place in range(len(clusters.levels))],
        "columns": COLUMNS,
        "side": small,
        "sharp": large if large > small else 0,
        "sharpIds": [places[name] for name in stand_ins if name in places] if large > small else [],
        "noise": int((finest.assignments < 0).sum()),
        "method": clusters.method,
    }
    made = {"sheet": sheets(photos, ids, small)}
    if large > small:
        made["sharp"] = sheets(photos, [name for name in stand_ins if name in places], large)
    return write_page("clusters.html", data, made, path)


def _square(photos: "Collection", cluster: "Cluster") -> Any:
    some = tiles(photos, list(cluster.medoids), _TILE)
    square = np.full((_ACROSS * _ACROSS, _TILE, _TILE, 3), 241, np.uint8)
    square[: len(some)] = some[: len(square)]
    return mosaic(square, _ACROSS)


def _level(clusters: "Clusters", place: int, order: Any, places: dict[str, int]) -> dict[str, Any]:
    numbers = clusters.levels[place].assignments[order]
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(clusters.clusters[place]))
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1])) if len(sizes) else sizes
    return {
        "count": len(clusters.clusters[place]),
        "clusters": [
            {
                "n": c.number,
                "parent": c.parent,
                "start": int(starts[c.number]),
                "size": int(sizes[c.number]),
                "tight": round(c.tightness, 3),
                "name": c.name,
                "shown": [places[name] for name in c.medoids if name in places],
            }
            for c in clusters.clusters[place]
        ],
    }


def _paths(photos: "Collection", ids: list[str]) -> list[str]:
    """The path of each picture, "" where it has none."""
    rows = (row for start in range(0, len(ids), 2000) for row in photos.get(ids[start : start + 2000], ["path"]))
    return [str(row.metadata.get("path") or "") if row else "" for row in rows]
