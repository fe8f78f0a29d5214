"""Train an embedder of your own: splits, networks in PyTorch, objectives, export to ONNX.

    from pathlib import Path

    from lookalike.train import SimilarityConfig, read_split, train_similarity

    result = train_similarity(read_split(Path("split.csv")), SimilarityConfig(epochs=10), Path("models/mine"))

Importing this loads no torch; a name that needs it loads it when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookalike.errors import LookalikeError

if TYPE_CHECKING:
    from lookalike.train.autoencoder import AutoencoderResult, train_autoencoder
    from lookalike.train.config import AutoencoderConfig, SimilarityConfig, TrainingConfig
    from lookalike.train.export import Parity
    from lookalike.train.loop import TrainingFailed, TrainingProgress
    from lookalike.train.objectives import make_objective, similarity_objectives
    from lookalike.train.similarity import train_similarity
    from lookalike.train.similarity_training import TrainingResult
    from lookalike.train.split import Split, SplitOptions, SplitReport, make_split
    from lookalike.train.split_file import read_split, write_split

_HOMES = {
    "AutoencoderConfig": "config",
    "AutoencoderResult": "autoencoder",
    "Parity": "export",
    "SimilarityConfig": "config",
    "Split": "split",
    "SplitOptions": "split",
    "SplitReport": "split",
    "TrainingConfig": "config",
    "TrainingFailed": "loop",
    "TrainingProgress": "loop",
    "TrainingResult": "similarity_training",
    "make_objective": "objectives",
    "make_split": "split",
    "read_split": "split_file",
    "similarity_objectives": "objectives",
    "train_autoencoder": "autoencoder",
    "train_similarity": "similarity",
    "write_split": "split_file",
}

__all__ = [
    "AutoencoderConfig",
    "AutoencoderResult",
    "Parity",
    "SimilarityConfig",
    "Split",
    "SplitOptions",
    "SplitReport",
    "TrainingConfig",
    "TrainingFailed",
    "TrainingProgress",
    "TrainingResult",
    "make_objective",
    "make_split",
    "read_split",
    "similarity_objectives",
    "train_autoencoder",
    "train_similarity",
    "write_split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lookalike.train' has no attribute {name!r}")
    try:
        return getattr(import_module(f"lookalike.train.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("lookalike"):
            raise
        raise LookalikeError(
            f"{name} needs {error.name}, which is not installed", hint="install it with: pip install 'lookalike[train]'"
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
