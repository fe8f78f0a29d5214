"""Figures. The only room that imports matplotlib; nothing here touches pyplot, so that no global state changes."""

import warnings
from typing import Any

from lookalike.plot.clusters import cluster_page, contact_sheet, level_curve
from lookalike.plot.evaluation import copies, evaluation, mistakes
from lookalike.plot.hits import hits, save
from lookalike.plot.map import map_figure, map_page
from lookalike.plot.neighbours import neighbour_rows
from lookalike.plot.proof import Heat, Holder, containment_rows, proof
from lookalike.plot.reliability import reliability
from lookalike.plot.training import before_after, curves, latent_walk, restorations

__all__ = [
    "Heat",
    "Holder",
    "before_after",
    "cluster_page",
    "contact_sheet",
    "containment_rows",
    "copies",
    "curves",
    "evaluation",
    "hits",
    "latent_walk",
    "level_curve",
    "map_figure",
    "map_page",
    "mistakes",
    "neighbour_rows",
    "proof",
    "reliability",
    "restorations",
    "save",
]

_RENAMED = {"places": "containment_rows"}


def __getattr__(name: str) -> Any:
    """Return what a former name stands for, with a DeprecationWarning."""
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    current = _RENAMED[name]
    warnings.warn(f"{__name__}.{name} is now called {current}", DeprecationWarning, stacklevel=2)
    return globals()[current]
