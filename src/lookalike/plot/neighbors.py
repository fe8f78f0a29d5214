"""Images with their neighbors beside them, which explain an outlier or a representative."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lookalike.plot.fonts import fonts, shorten
from lookalike.plot.hits import _FAINT, _INK
from lookalike.plot.tiles import tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookalike.search import Collection

_SIDE = 128
_TILE, _GAP, _TITLE = 1.25, 0.34, 0.5  # inches


def neighbor_rows(
    photos: "Collection",
    images: Sequence[tuple[str, str]],
    near: Sequence[Sequence[tuple[str, float]]],
    *,
    title: str = "",
) -> "Figure":
    """Draw one row per image: `images` as (id, caption), and the neighbors of each in `near` as (id, score)."""
    from matplotlib.figure import Figure

    columns = 1 + max((len(row) for row in near), default=0)
    width, height = columns * (_TILE + 0.1) + 0.5, max(len(images), 1) * (_TILE + _GAP) + _TITLE
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    for n, ((name, caption), row) in enumerate(zip(images, near, strict=True)):
        thumbnails = tiles(photos, [name, *(i for i, _ in row)], _SIDE)
        captions = [caption, *(f"{score:.3f}" for _, score in row)]
        for column, (thumbnail, line) in enumerate(zip(thumbnails, captions, strict=True)):
            left = 0.1 + column * (_TILE + 0.1) + (0.2 if column else 0)
            bottom = height - _TITLE - n * (_TILE + _GAP) - _TILE
            axes = figure.add_axes((left / width, bottom / height, _TILE / width, _TILE / height))
            axes.imshow(thumbnail, interpolation="antialiased")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(color="#d5d8dc" if column else "#d9480f", linewidth=0.8 if column else 1.6)
            text: dict[str, Any] = {"va": "top", "fontsize": 7.5, "parse_math": False, "family": fonts()}
            x, y = left / width, (bottom - 0.04) / height
            figure.text(x, y, line, color=_INK if column == 0 else _FAINT, **text)
            if column == 0:
                figure.text(x, y - 0.13 / height, shorten(name.rsplit("/", 1)[-1], 18), color=_FAINT, **text)
    figure.text(0.1 / width, 1 - 0.12 / height, title, va="top", fontsize=11, fontweight="bold", color=_INK)
    return figure
