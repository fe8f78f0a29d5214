"""Figures. The only package that imports matplotlib; it does not use pyplot, so no global state changes."""

import warnings
from typing import TYPE_CHECKING, Any

from lookalike.plot.clusters import cluster_page, contact_sheet, level_curve
from lookalike.plot.evaluation import copies, evaluation, mistakes
from lookalike.plot.hits import hits, save
from lookalike.plot.map import map_figure, map_page
from lookalike.plot.neighbors import neighbor_rows
from lookalike.plot.proof import Heat, Holder, places, proof
from lookalike.plot.reliability import reliability
from lookalike.plot.training import before_after, curves, latent_walk, restorations

__all__ = [
    "Heat",
    "Holder",
    "before_after",
    "cluster_page",
    "contact_sheet",
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
    "places",
    "proof",
    "reliability",
    "restorations",
    "save",
]

if not TYPE_CHECKING:  # the old name is for running code; a type checker reports it

    def __getattr__(name: str) -> Any:
        """Return what an old name stands for, with a DeprecationWarning."""
        if name == "neighbour_rows":
            warnings.warn(
                "lookalike.plot.neighbour_rows is now lookalike.plot.neighbor_rows", DeprecationWarning, stacklevel=2
            )
            return neighbor_rows
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
