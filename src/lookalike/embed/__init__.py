"""Embedders, which turn images into vectors: by name, from a folder, or from a model hub.

`lookalike.embed.add_model` adds models of your own; it is not imported here, because a search does not need it.
"""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
from lookalike.embed.card import CARD_FILE, MODEL_FILE, card_from_json, card_to_json, load_card, same_model
from lookalike.embed.registry import BASE_MODEL, DEFAULT_MODEL, get_embedder, known_models, model_folder

__all__ = [
    "BASE_MODEL",
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

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "model_location": "model_folder",
        },
    )
