"""Training objectives, one file each. To add one: a file with `make`, and its name in one of the tables below.

RECONSTRUCTION: `make()` gives a module of (network, images (N, C, H, W) in 0..1) → loss.
SIMILARITY: `make(dim, classes)` gives a module of (vectors (N, dim), labels (N,)) → loss; rows of one label are alike.
An objective of similarity may also come from another package (docs/extending.md): its entry point is such a `make`.
Importing this loads no torch; `make_objective` does.
"""

from importlib import import_module
from typing import Any

from lookalike.errors import BadQuery, LookalikeError, nearest
from lookalike.plugins import load_plugin, plugins

RECONSTRUCTION = ("mse", "l1", "ms_ssim", "denoising", "variational")
SIMILARITY = ("contrastive", "triplet", "multi_similarity", "arcface", "proxy", "nt_xent", "supcon", "sscd")


def similarity_objectives() -> tuple[str, ...]:
    """Return the names of all objectives of similarity: SIMILARITY, then those of other packages."""
    return *SIMILARITY, *(name for name in plugins("objectives") if name not in RECONSTRUCTION + SIMILARITY)


def make_objective(name: str, **shape: int) -> Any:
    """Return the objective of that name, a torch module.

    Raises BadQuery with the nearest names, and LookalikeError where one of another package is no torch module.
    """
    if name in RECONSTRUCTION + SIMILARITY:
        return import_module(f"lookalike.train.objectives.{name}").make(**shape)
    if (make := load_plugin("objectives", name)) is None:
        raise BadQuery(f"objective {name!r} is not known; {nearest(name, RECONSTRUCTION + similarity_objectives())}")
    return _checked(name, make(**shape))


def _checked(name: str, objective: Any) -> Any:
    from torch import nn

    if not isinstance(objective, nn.Module):
        raise LookalikeError(
            f"the extension {name!r} of lookalike.objectives made {type(objective).__name__}, not a torch.nn.Module; "
            "update or uninstall its package"
        )
    return objective
