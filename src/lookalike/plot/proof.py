"""The proof that one picture is in another: matched points with lines, the outline, and a heat map of what agrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.plot.hits import shorten
from lookalike.types import RGB

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.relate import Verdict
    from lookalike.relate.explain import Explanation

_LINES = 60
_INK, _FAINT, _GOOD, _EDGE = "#1c1e21", "#6b7076", "#12b886", "#d9480f"
_PANEL = 3.6  # inches
_SHOWN = 640  # pixels of the long side


@dataclass(frozen=True, slots=True)
class Heat:
    """Agreement (h, w), 0 to 1, NaN where there is nothing to compare; `source` says how it was made."""

    values: NDArray[np.float32]
    source: str


def proof(
    pictures: tuple[RGB, RGB],
    names: tuple[str, str],
    verdict: "Verdict",
    explanation: "Explanation",
    *,
    heats: Sequence[Heat] = (),
) -> "Figure":
    """Draw both pictures side by side, matched points joined, the first's outline in the second, heat maps below."""
    from matplotlib.figure import Figure

    rows = 2 if heats else 1
    tall = [_PANEL * min(p.shape[0] / p.shape[1], 1.2) for p in pictures]
    heights = [max(tall), tall[1]][:rows]  # inches
    figure = Figure(figsize=(2 * _PANEL + 0.5, sum(heights) + 0.35 * rows + 0.7), dpi=110, facecolor="white")
    figure.text(0.02, 0.985, _headline(verdict), va="top", fontsize=12, fontweight="bold", color=_INK, parse_math=False)
    height = figure.get_figheight()
    figure.text(
        0.02, 1 - 0.36 / height, shorten(explanation.words, 128), va="top", fontsize=8.5, color=_FAINT, parse_math=False
    )
    grid = figure.add_gridspec(
        rows,
        2,
        height_ratios=heights,
        left=0.02,
        right=0.98,
        bottom=0.02,
        top=1 - 0.8 / height,
        wspace=0.04,
        hspace=0.12,
    )
    shown = [_reduced(p) for p in pictures]
    left, right = (_panel(figure, grid[0, n], shown[n], names[n]) for n in (0, 1))
    _lines(figure, left, right, shown, verdict)
    _outline(right, shown[1], verdict)
    for n, heat in enumerate(heats[:2]):
        _heat(_panel(figure, grid[1, n], shown[1], heat.source), shown[1], heat)
    return figure


def _headline(verdict: "Verdict") -> str:
    text = f"{verdict.relation}"
    if verdict.relation >= 0:
        text += f"   {100 * verdict.probability:.1f} %"
    if verdict.evidence.score is not None:
        text += f"   score {verdict.evidence.score:.3f}"
    if verdict.expected_false_matches is not None:
        text += f"   expected false matches {verdict.expected_false_matches:.2g}"
    return text


def _reduced(picture: RGB) -> RGB:
    import cv2

    share = min(1.0, _SHOWN / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if share < 1 else picture, np.uint8)


def _panel(figure: "Figure", place: Any, picture: RGB, title: str) -> Any:
    axes = figure.add_subplot(place)
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[], autoscale_on=False)  # what lies outside the picture is not drawn
    for spine in axes.spines.values():
        spine.set(color="#d5d8dc", linewidth=0.8)
    axes.set_title(shorten(title, 56), fontsize=8.5, color=_FAINT, loc="left", parse_math=False)
    return axes


def _lines(figure: "Figure", left: Any, right: Any, shown: Sequence[RGB], verdict: "Verdict") -> None:
    from matplotlib.patches import ConnectionPatch

    match = verdict.evidence.match
    if match is None or not len(match.points):
        return
    sizes = [np.array((p.shape[1], p.shape[0])) for p in shown]
    picked = np.linspace(0, len(match.points) - 1, min(_LINES, len(match.points))).astype(int)
    for x0, y0, x1, y1 in match.points[picked]:
        a, b = sizes[0] * (x0, y0) - 0.5, sizes[1] * (x1, y1) - 0.5
        line = ConnectionPatch(
            a, b, "data", "data", axesA=left, axesB=right, color=_GOOD, linewidth=0.55, alpha=0.65, zorder=5
        )
        figure.add_artist(line)
        left.plot(*a, ".", color=_GOOD, markersize=3)
        right.plot(*b, ".", color=_GOOD, markersize=3)


def _outline(axes: Any, picture: RGB, verdict: "Verdict") -> None:
    from matplotlib.patches import Polygon

    match = verdict.evidence.match
    if match is None or match.model == "none":
        return
    corners = match.outline * (picture.shape[1], picture.shape[0]) - 0.5
    axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor=_EDGE, linewidth=1.8, zorder=6))


def _heat(axes: Any, picture: RGB, heat: Heat) -> None:
    import cv2

    height, width = picture.shape[:2]
    known = ~np.isnan(heat.values)
    filled = np.where(known, heat.values, 0).astype(np.float32)
    values = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    seen = cv2.resize(known.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    axes.images[0].set_data((picture * 0.35 + 255 * 0.65).astype(np.uint8))
    axes.imshow(np.ma.array(values, mask=~seen), cmap="RdYlGn", vmin=0, vmax=1, alpha=0.55)
