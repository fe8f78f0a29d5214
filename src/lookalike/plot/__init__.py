"""Figures. The only room that imports matplotlib; nothing here touches pyplot, so that no global state changes."""

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
