"""Embedders, which turn images into vectors: by name, from a folder, or from a model hub."""

import warnings
from typing import TYPE_CHECKING

from lookalike.embed.card import CARD_FILE, MODEL_FILE, card_from_json, card_to_json, load_card, same_model
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder, known_models, model_folder

__all__ = [
    "CARD_FILE",
    "DEFAULT_MODEL",
    "MODEL_FILE",
    "card_from_json",
    "card_to_json",
    "get_embedder",
    "known_models",
    "load_card",
    "model_folder",
    "same_model",
]

_RENAMED = {"model_location": "model_folder"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return the function that replaces a deprecated name, with a DeprecationWarning."""
        if name not in _RENAMED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn(f"lookalike.embed.{name} is deprecated; use {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return globals()[_RENAMED[name]]
