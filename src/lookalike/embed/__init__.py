"""Turning pictures into vectors: embedders by name, by folder or from a model hub."""

from lookalike.embed.card import CARD_FILE, MODEL_FILE, card_from_json, card_to_json, load_card, same_model
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder, known_models, model_location

__all__ = [
    "CARD_FILE",
    "DEFAULT_MODEL",
    "MODEL_FILE",
    "card_from_json",
    "card_to_json",
    "get_embedder",
    "known_models",
    "load_card",
    "model_location",
    "same_model",
]
