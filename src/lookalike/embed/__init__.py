"""Embedders, which turn images into vectors: by name, from a folder, or from a model hub."""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
from lookalike.embed.add_model import OnnxSource, add_onnx_model, join_models, remove_model
from lookalike.embed.card import CARD_FILE, MODEL_FILE, card_from_json, card_to_json, load_card, same_model
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder, known_models, model_folder

__all__ = [
    "CARD_FILE",
    "DEFAULT_MODEL",
    "MODEL_FILE",
    "OnnxSource",
    "add_onnx_model",
    "card_from_json",
    "card_to_json",
    "get_embedder",
    "join_models",
    "known_models",
    "load_card",
    "model_folder",
    "remove_model",
    "same_model",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "model_location": "model_folder",
        },
    )
