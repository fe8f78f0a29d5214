"""Figures. The only package that imports matplotlib; it does not use pyplot, so no global state changes."""

import warnings
from typing import TYPE_CHECKING, Any

from lookalike.plot.clusters import cluster_page, contact_sheet, level_curve
from lookalike.plot.evaluation import copies, evaluation, mistakes
from lookalike.plot.hits import hits, save
from lookalike.plot.map import map_figure, map_page
from lookalike.plot.neighbors import neighbor_rows
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
    "neighbor_rows",
    "proof",
    "reliability",
    "restorations",
    "save",
]

_RENAMED = {"neighbour_rows": "neighbor_rows", "places": "containment_rows"}

if not TYPE_CHECKING:  # old names are for running code; a type checker reports them

    def __getattr__(name: str) -> Any:
        """Return what an old name stands for, with a DeprecationWarning."""
        if name not in _RENAMED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn(f"{__name__}.{name} is now called {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return globals()[_RENAMED[name]]
