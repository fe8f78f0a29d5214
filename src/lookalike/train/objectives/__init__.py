"""Training objectives, one file each. To add one: a file with `make`, and its name in one of the tables below.

RECONSTRUCTION: `make()` gives a module of (network, images (N, C, H, W) in 0..1) → loss.
SIMILARITY: `make(dim, classes)` gives a module of (vectors (N, dim), labels (N,)) → loss; rows of one label are alike.
Importing this loads no torch; `make_objective` does.
"""

from importlib import import_module
from typing import Any

from lookalike.errors import BadQuery, nearest

RECONSTRUCTION = ("mse", "l1", "ms_ssim", "denoising", "variational")
SIMILARITY = ("contrastive", "triplet", "multi_similarity", "arcface", "proxy", "nt_xent", "supcon", "sscd")


def make_objective(name: str, **shape: int) -> Any:
    """Return the objective of that name, a torch module. Raises BadQuery with the nearest names."""
    if name not in RECONSTRUCTION + SIMILARITY:
        raise BadQuery(f"objective {name!r} is not known; {nearest(name, RECONSTRUCTION + SIMILARITY)}")
    return import_module(f"lookalike.train.objectives.{name}").make(**shape)
