"""Draw the proof that one image is in another: joined matching points, outlines, and a heat map of the agreement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.plot.fonts import fitted, fonts, wrapped
from lookalike.text import percent
from lookalike.types import RGB, Relation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.relate import Match, Verdict
    from lookalike.relate.geometry.containment import Location
    from lookalike.relate.words.explain import Explanation

_MAX_LINES = 60
_INK, _FAINT, _GOOD, _EDGE = "#1c1e21", "#6b7076", "#12b886", "#d9480f"
_PANEL, _TITLE, _GAP, _MARGIN = 3.6, 0.26, 0.16, 0.16  # inches
_WIDTH = 2 * _PANEL + _GAP + 2 * _MARGIN
_MAX_ASPECT = 1.2  # panel height in panel widths
_HEAD, _LINE, _WORDS, _BOLD = 0.42, 0.16, 8.5, 12  # inches, inches, points, points
_MAX_SIDE = 640  # pixels of the long side
_MIN_WHOLE = 0.97  # share of the image from which there is no part to outline


@dataclass(frozen=True, slots=True)
class Heat:
    """Agreement (h, w), 0 to 1, NaN where there is nothing to compare. `source` says how it was made."""

    values: NDArray[np.float32]
    source: str


@dataclass(frozen=True, slots=True)
class Holder:
    """An image in which another was found: its name, a description, and the locations."""

    image: RGB
    name: str
    words: str
    locations: "Sequence[Location]"


def proof(
    images: tuple[RGB, RGB],
    names: tuple[str, str],
    verdict: "Verdict",
    explanation: "Explanation",
    *,
    heats: Sequence[Heat] = (),
) -> "Figure":
    """Draw both images side by side: matching points joined, the part shown by the other outlined, heat maps below.

    Nothing is outlined for relations below `same-object`, which prove nothing.
    """
    from lookalike.relate.geometry.containment import part_shown

    reduced = (_reduced(images[0]), _reduced(images[1]))
    words = wrapped(explanation.words, _WIDTH - 2 * _MARGIN, _WORDS, most=4)
    below = [(heat, _size(reduced[1])[1]) for heat in heats[:2]]
    heated = _TITLE + max(height for _, height in below) + _GAP if below else 0.0
    figure, top = _new_figure(_headline(verdict), _pair_height(reduced, words) + heated)
    left, right, top = _pair(figure, top, reduced, names, words)
    match = verdict.evidence.match
    if match is not None and match.model != "none":
        _lines(figure, left, right, reduced, match)
        if verdict.relation >= Relation.SAME_OBJECT:
            _outlines(left, right, reduced, match, (part_shown(match), match.outline))
    for n, (heat, _) in enumerate(below):
        _heat(_panel(figure, n, top, reduced[1], heat.source), reduced[1], heat)
    return figure


def containment_rows(query: RGB, name: str, holders: Sequence[Holder]) -> "Figure":
    """Draw an image beside each one that contains it, one per row: matching points joined, each location outlined."""
    rows = []
    for holder in holders:
        reduced = (_reduced(query), _reduced(holder.image))
        rows.append((holder, reduced, wrapped(holder.words, _WIDTH - 2 * _MARGIN, _WORDS, most=4)))
    count = f"{len(holders)} image{'s' * (len(holders) != 1)}"
    figure, top = _new_figure(f"found in {count}", sum(_pair_height(reduced, words) for _, reduced, words in rows))
    for holder, reduced, words in rows:
        left, right, top = _pair(figure, top, reduced, (name, holder.name), words)
        for location in holder.locations:
            _lines(figure, left, right, reduced, location.match)
            _outlines(left, right, reduced, location.match, location.shared)
    return figure


def _headline(verdict: "Verdict") -> str:
    text = f"{verdict.relation}"
    if verdict.relation >= 0:
        text += f"   {percent(verdict.probability)}"
    if verdict.evidence.score is not None:
        text += f"   score {verdict.evidence.score:.3f}"
    if verdict.expected_false_matches is not None:
        text += f"   expected false matches {verdict.expected_false_matches:.2g}"
    return text


def _reduced(image: RGB) -> RGB:
    import cv2

    share = min(1.0, _MAX_SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA) if share < 1 else image, np.uint8)


def _new_figure(headline: str, inches: float) -> "tuple[Figure, float]":
    """Return a figure with its headline and `inches` of room, and where the room begins, from the top."""
    from matplotlib.figure import Figure

    height = _HEAD + inches
    figure = Figure(figsize=(_WIDTH, height), dpi=110, facecolor="white")
    text = fitted(headline, _WIDTH - 2 * _MARGIN, _BOLD, weight="bold")
    _text(figure, 0, 0.1, text, _BOLD, fontweight="bold", color=_INK)
    return figure, _HEAD


def _text(figure: "Figure", left: float, top: float, text: str, size: float, **style: Any) -> None:
    """Write text at `left` inches from the margin and `top` inches from the top. Adjacent names share a baseline."""
    x, y = (_MARGIN + left) / _WIDTH, 1 - (top + size / 72) / figure.get_figheight()
    figure.text(x, y, text, fontsize=size, va="baseline", parse_math=False, family=fonts(), **style)


def _size(image: RGB) -> tuple[float, float]:
    """Return width and height in inches of an image in its panel, in proportion; at least 0.04."""
    height, width = image.shape[:2]
    share = min(_PANEL / width, _PANEL * _MAX_ASPECT / height)
    return max(width * share, 0.04), max(height * share, 0.04)


def _words_height(words: Sequence[str]) -> float:
    return _LINE * len(words) + 0.06


def _pair_height(reduced: tuple[RGB, RGB], words: Sequence[str]) -> float:
    return _words_height(words) + _TITLE + max(_size(image)[1] for image in reduced) + _GAP


def _pair(
    figure: "Figure", top: float, reduced: tuple[RGB, RGB], names: tuple[str, str], words: Sequence[str]
) -> tuple[Any, Any, float]:
    """Draw words and both panels below them. Return the panels and where the next row begins."""
    for n, line in enumerate(words):
        _text(figure, 0, top + n * _LINE, line, _WORDS, color=_FAINT)
    left, right = (_panel(figure, n, top + _words_height(words), reduced[n], names[n]) for n in (0, 1))
    return left, right, top + _pair_height(reduced, words)


def _panel(figure: "Figure", column: int, top: float, image: RGB, title: str) -> Any:
    """Draw an image below its title, which may be wider than the image, but not than the column."""
    start = column * (_PANEL + _GAP)
    _text(figure, start, top + 0.06, fitted(title, _PANEL, _WORDS), _WORDS, color=_FAINT)
    width, height = _size(image)
    tall = figure.get_figheight()
    bounds = ((_MARGIN + start) / _WIDTH, 1 - (top + _TITLE + height) / tall, width / _WIDTH, height / tall)
    axes = figure.add_axes(bounds)
    axes.imshow(image, aspect="auto")
    axes.set(xticks=[], yticks=[], autoscale_on=False)  # what lies outside the image is not drawn
    for spine in axes.spines.values():
        spine.set(color="#d5d8dc", linewidth=0.8)
    return axes


def _lines(figure: "Figure", left: Any, right: Any, reduced: Sequence[RGB], match: "Match") -> None:
    from matplotlib.patches import ConnectionPatch

    sizes = [np.array((p.shape[1], p.shape[0])) for p in reduced]
    picked = np.linspace(0, len(match.points) - 1, min(_MAX_LINES, len(match.points))).astype(int)
    for x0, y0, x1, y1 in match.points[picked]:
        a, b = sizes[0] * (x0, y0) - 0.5, sizes[1] * (x1, y1) - 0.5
        line = ConnectionPatch(
            a, b, "data", "data", axesA=left, axesB=right, color=_GOOD, linewidth=0.55, alpha=0.65, zorder=5
        )
        figure.add_artist(line)
        left.plot(*a, ".", color=_GOOD, markersize=3)
        right.plot(*b, ".", color=_GOOD, markersize=3)


def _outlines(
    left: Any,
    right: Any,
    reduced: Sequence[RGB],
    match: "Match",
    shared: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Outline in either image the part that the other shows; if there is none, the first's frame in the second.

    `shared`: the corners (4, 2) of that part in the first and in the second.
    """
    if match.kept_first < _MIN_WHOLE:
        _outline(left, reduced[0], shared[0])
    if match.kept_second < _MIN_WHOLE or match.kept_first >= _MIN_WHOLE:
        _outline(right, reduced[1], shared[1])


def _outline(axes: Any, image: RGB, corners: NDArray[np.float64]) -> None:
    """`corners`: (4, 2), as fractions of the image."""
    from matplotlib.patches import Polygon

    pixels = corners * (image.shape[1], image.shape[0]) - 0.5
    axes.add_patch(Polygon(pixels, closed=True, fill=False, edgecolor=_EDGE, linewidth=1.8, zorder=6))


def _heat(axes: Any, image: RGB, heat: Heat) -> None:
    import cv2

    height, width = image.shape[:2]
    known = ~np.isnan(heat.values)
    filled = np.where(known, heat.values, 0).astype(np.float32)
    values = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    known_large = cv2.resize(known.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    axes.images[0].set_data((image * 0.35 + 255 * 0.65).astype(np.uint8))
    axes.imshow(np.ma.array(values, mask=~known_large), cmap="RdYlGn", vmin=0, vmax=1, alpha=0.55, aspect="auto")
