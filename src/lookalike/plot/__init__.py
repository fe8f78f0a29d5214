"""Figures. The only room that imports matplotlib; nothing here touches pyplot, so that no global state changes."""

from lookalike.plot.evaluation import copies, evaluation, mistakes
from lookalike.plot.hits import hits, save

__all__ = ["copies", "evaluation", "hits", "mistakes", "save"]
