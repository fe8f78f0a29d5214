"""A query and its hits as one figure: images in equal tiles, each with rank, score and file name."""

import math
import os
import textwrap
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import LookalikeError
from lookalike.image import decode
from lookalike.plot.fonts import fitted, fonts
from lookalike.text import expanded
from lookalike.types import RGB, Hit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.search import Results

COLUMNS = 6
_TILE = 2.0  # inches
_CAPTION = 0.62
_GAP = 0.14
_TITLE = 0.42
# The largest enlargement of small images: an 8 px icon filling a tile shows only squares.
_MAX_ZOOM = 12
_SUFFIXES = (".png", ".pdf", ".svg")
_INK, _FAINT, _TILE_GROUND, _QUERY_EDGE = "#1c1e21", "#6b7076", "#f1f2f4", "#d9480f"
_COSINE = "score: cosine, 1 is identical"


def hits(results: "Results", *, columns: int = COLUMNS, captions: Mapping[str, str] | None = None) -> "Figure":
    """Draw the query images in the left column and the hits, best first, in a grid beside them.

    `captions`: a line of text for a hit, by its id, such as its relation to the query.
    """
    from matplotlib.figure import Figure

    columns = max(1, min(columns, len(results) or 1))
    queries = _queries(results)[:3]
    rows = max(math.ceil(len(results) / columns), len(queries), 1)
    width = (columns + 1) * (_TILE + _GAP) + 3 * _GAP
    height = rows * (_TILE + _CAPTION + _GAP) + _TITLE + _GAP
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    add_tile = _tile_grid(figure, width, height)
    for row, (image, name) in enumerate(queries):
        if image is None:
            _text_tile(add_tile(0, row), name)
        else:
            _tile(add_tile(0, row), image, "query", name, edge=_QUERY_EDGE)
    jpegs = results.thumbnails([hit.id for hit in results])
    for n, (hit, jpeg) in enumerate(zip(results, jpegs, strict=True)):
        axes, caption = add_tile(1 + n % columns, n // columns), (captions or {}).get(hit.id, "")
        _tile(axes, _load_image(jpeg), f"{n + 1}   {results.score_text(hit)}", file_name(hit), caption=caption)
    _title(figure, height, len(results), "percentile of the collection" if results.percentiles else _COSINE)
    return figure


def _queries(results: "Results") -> list[tuple[RGB | None, str]]:
    """The images of a query with their names, and its texts, without an image, in the order of the query."""
    from lookalike.search.query import parse_words

    pictures = iter(results.pictures)
    texts = {name: words.text for name in results.query if (words := parse_words(name)) is not None}
    pairs = [(None, texts[name]) if name in texts else (next(pictures, None), name) for name in results.query]
    return [(image, name) for image, name in pairs if image is not None or name in texts.values()]


def save(figure: "Figure", path: str | Path) -> Path:
    """Write a figure as PNG, PDF or SVG, by the extension of `path`. Raises LookalikeError if it cannot be written."""
    target = expanded(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise _not_written(target, f"it ends in {target.suffix}" if target.suffix else "it has no extension")
    try:
        with warnings.catch_warnings():
            # Letters that no installed font has are drawn as boxes, without a warning.
            warnings.filterwarnings("ignore", message=r"(Glyph|Matplotlib currently does not support)")
            figure.savefig(target)
    except (OSError, ValueError) as error:
        raise _not_written(target, getattr(error, "strerror", None) or str(error).splitlines()[0]) from error
    return target


def _not_written(target: Path, reason: str) -> LookalikeError:
    return LookalikeError(
        f"the figure could not be written to {target} ({reason}); "
        "name a file that ends in .png, .pdf or .svg in a folder you may write to"
    )


def file_name(hit: Hit) -> str:
    """Return the name of a hit's file, or its id if it has none."""
    path = hit.metadata.get("path")
    return PurePosixPath(path).name if isinstance(path, str) and path else hit.id


def _tile_grid(figure: "Figure", width: float, height: float) -> Callable[[int, int], Any]:
    """A function that adds the axes of the square tile at (column, row); column 0, the query's, is set apart."""

    def add_tile(column: int, row: int) -> Any:
        left = _GAP + column * (_TILE + _GAP) + (_GAP if column else 0)
        bottom = height - _TITLE - (row + 1) * _TILE - row * (_CAPTION + _GAP)
        return figure.add_axes((left / width, bottom / height, _TILE / width, _TILE / height))

    return add_tile


def _tile(axes: Any, image: RGB | None, heading: str, name: str, *, caption: str = "", edge: str = "#d5d8dc") -> None:
    axes.set(xticks=[], yticks=[], facecolor=_TILE_GROUND, xlim=(0, 1), ylim=(0, 1))
    for spine in axes.spines.values():
        spine.set(color=edge, linewidth=1.6 if edge == _QUERY_EDGE else 0.8)
    if image is None:
        axes.text(0.5, 0.5, "no\nthumbnail", ha="center", va="center", color=_FAINT, fontsize=8)
    else:
        small = max(image.shape[:2]) < 128
        axes.imshow(image, extent=_extent(image), interpolation="nearest" if small else "antialiased", aspect="auto")
        axes.set(xlim=(0, 1), ylim=(0, 1))
    text = {"transform": axes.transAxes, "va": "top", "parse_math": False, "family": fonts()}
    axes.text(0, -0.05, heading, color=_INK, fontsize=9, fontweight="bold", **text)
    for n, (line, color) in enumerate([(caption, _INK)] * bool(caption) + [(os.path.basename(name) or name, _FAINT)]):
        axes.text(0, -0.15 - 0.085 * n, fitted(line, _TILE, 7.5), color=color, fontsize=7.5, **text)


def _extent(image: RGB) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of the image in a unit tile: whole, centered, with its aspect ratio."""
    height, width = image.shape[:2]
    share = min(1.0, _MAX_ZOOM * max(height, width) / (_TILE * 110))
    # A strip of 1 x 2000 pixels is still drawn a hair wide, since an empty tile would look like a mistake.
    w, h = (max(side / max(height, width), 0.02) * share for side in (width, height))
    return 0.5 - w / 2, 0.5 + w / 2, 0.5 - h / 2, 0.5 + h / 2


def _text_tile(axes: Any, text: str) -> None:
    """The words of a query, in as many lines as they need; a long text is cut."""
    axes.set(xticks=[], yticks=[], facecolor=_TILE_GROUND, xlim=(0, 1), ylim=(0, 1))
    for spine in axes.spines.values():
        spine.set(color=_QUERY_EDGE, linewidth=1.6)
    lines = textwrap.wrap(text, 20, max_lines=8, placeholder=" …")
    style = {"ha": "center", "va": "center", "parse_math": False, "family": fonts()}
    axes.text(0.5, 0.5, "\n".join(lines), color=_INK, fontsize=10, **style)
    below = {"transform": axes.transAxes, "va": "top", "family": fonts()}
    axes.text(0, -0.05, "query", color=_INK, fontsize=9, fontweight="bold", **below)


def _title(figure: "Figure", height: float, count: int, scores: str) -> None:
    text = f"{count} most similar" if count else "no results"
    figure.text(0.012, 1 - 0.16 / height, text, va="top", fontsize=11, color=_INK, fontweight="bold")
    figure.text(0.988, 1 - 0.16 / height, scores, va="top", ha="right", fontsize=7.5, color=_FAINT)


def _load_image(jpeg: bytes | None) -> RGB | None:
    return None if jpeg is None else np.asarray(decode(jpeg).image)
