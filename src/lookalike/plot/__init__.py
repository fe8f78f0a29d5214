"""Figures. The only package that imports matplotlib; it does not use pyplot, so no global state changes."""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
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

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "neighbour_rows": "neighbor_rows",
            "places": "containment_rows",
        },
    )
