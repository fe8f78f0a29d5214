"""Embedders made of others: one part of a model with parts, and two models whose vectors lie side by side."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lookalike.embed.card import BOUND
from lookalike.errors import BrokenModel
from lookalike.image import decode_side, fit
from lookalike.parts import ALIKE, COPY, dim_of, join_parts, part_of
from lookalike.types import RGB, Card, Embedder, Part, Preprocessing, TextEmbedder, Vectors

_BOUND_RATIO = 1.5  # to the side of an input, so that resizing twice blurs nothing


def part_embedder(embedder: Embedder, name: str) -> Embedder:
    """Return an embedder of one part alone, "alike" or "copy"; the same embedder if its model has fewer than two.

    Words belong to the part that says alike: that of an embedder of texts is one too.
    """
    if len(embedder.card.parts) < 2:
        return embedder
    if name == ALIKE and isinstance(embedder, TextEmbedder):
        return PartTextEmbedder(embedder)
    return PartEmbedder(embedder, name)


def part_card(card: Card, name: str) -> Card:
    """Return the card of one part alone; the same card if its model has fewer than two. Words belong to "alike"."""
    if len(card.parts) < 2:
        return card
    return replace(card, dim=dim_of(card, name), parts=(), text=card.text if name == ALIKE else None)


class PartEmbedder:
    """One part of the vectors of another embedder. Its card has the part's dim and no parts."""

    def __init__(self, embedder: Embedder, name: str) -> None:
        self._embedder, self._part = embedder, name
        self._card = part_card(embedder.card, name)

    @property
    def card(self) -> Card:
        return self._card

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB images of any sizes. Returns (len(images), dim), rows of length 1."""
        return part_of(self._embedder.embed(images), self._embedder.card, self._part)


class PartTextEmbedder(PartEmbedder):
    """The part that says alike of an embedder of images and texts."""

    def __init__(self, embedder: TextEmbedder) -> None:
        super().__init__(embedder, ALIKE)
        self._texts = embedder

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts. Returns (len(texts), dim), rows of length 1."""
        return part_of(self._texts.embed_texts(texts), self._texts.card, ALIKE)

    def truncated(self, text: str) -> str | None:
        """Return the beginning of a text that counts if it exceeds the model's context, None if all of it counts."""
        return _truncated(self._texts, text)


def join(alike: Embedder, copy: Embedder, name: str = "") -> "JoinedEmbedder":
    """Return an embedder of two models side by side, of texts too if the first is. Raises BrokenModel."""
    kind = JoinedTextEmbedder if isinstance(part_embedder(alike, ALIKE), TextEmbedder) else JoinedEmbedder
    return kind(alike, copy, name)


class JoinedEmbedder:
    """Two models side by side: the first says alike, the second copy.

    An image is fitted once to what both need, and from there each makes its own input. Raises BrokenModel for a model
    with letterboxes, whose input cannot be made from that of another.
    """

    def __init__(self, alike: Embedder, copy: Embedder, name: str = "") -> None:
        self._embedders = part_embedder(alike, ALIKE), part_embedder(copy, COPY)
        cards = [embedder.card for embedder in self._embedders]
        self._card = joined_card(cards[0], cards[1], name)

    @property
    def card(self) -> Card:
        return self._card

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB images of any sizes. Returns (len(images), dim), rows of length 1."""
        fitted = [fit(image, self._card.preprocessing) for image in images]
        return join_parts(embedder.embed(fitted) for embedder in self._embedders)


class JoinedTextEmbedder(JoinedEmbedder):
    """Two models side by side, the first of which embeds texts too. The copy part of a text's vector is zero."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the images' side alone, which is what other processes embed with."""
        return JoinedEmbedder, (*self._embedders, self._card.name)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts. Returns (len(texts), dim), rows of length 1: what they say of copies is nothing."""
        vectors = self._words.embed_texts(texts)
        return join_parts([vectors, np.zeros((len(vectors), self._card.dim - vectors.shape[1]), np.float32)])

    def truncated(self, text: str) -> str | None:
        """Return the beginning of a text that counts if it exceeds the model's context, None if all of it counts."""
        return _truncated(self._words, text)

    @property
    def _words(self) -> TextEmbedder:
        words = self._embedders[0]
        assert isinstance(words, TextEmbedder)
        return words


def joined_card(alike: Card, copy: Card, name: str = "") -> Card:
    """Return the card of two models side by side. Raises BrokenModel."""
    licenses = dict.fromkeys((alike.license, copy.license))
    return Card(
        name=name or f"{alike.name}+{copy.name}",
        dim=alike.dim + copy.dim,
        preprocessing=_shared_preprocessing(alike, copy),
        sha256=hashlib.sha256(f"{alike.sha256}+{copy.sha256}".encode()).hexdigest(),
        license=" and ".join(licenses),
        source=f"alike: {alike.source}; copy: {copy.source}",
        description=alike.description if alike.text is not None else "",
        calibration=copy.calibration,  # what a score of the part for copies means
        parts=(Part(ALIKE, alike.dim), Part(COPY, copy.dim)),
        text=alike.text,
    )


def _shared_preprocessing(alike: Card, copy: Card) -> Preprocessing:
    """What both models can make their inputs from: the larger square if both squash, else an image of its own shape."""
    first, second = alike.preprocessing, copy.preprocessing
    for card in (alike, copy):
        if card.preprocessing.resize == "letterbox":
            raise BrokenModel(
                f"{card.name} cannot be joined: its input is made by 'letterbox', not by 'squash' or 'crop'; "
                "join models that squash or crop"
            )
    if all(one.resize == "squash" and not one.interpolation for one in (first, second)):
        return replace(first, size=max(first.size, second.size), layout="NHWC", dtype="uint8", mean=(), std=())
    side = max(_needed_side(first), _needed_side(second))
    return Preprocessing(size=(side, side), resize=BOUND)


def _needed_side(preprocessing: Preprocessing) -> int:
    if preprocessing.resize == BOUND:
        return max(preprocessing.size)
    side = max(*preprocessing.size, preprocessing.short_side)
    return max(decode_side(preprocessing), math.ceil(_BOUND_RATIO * side))


def _truncated(embedder: Embedder, text: str) -> str | None:
    find = getattr(embedder, "truncated", None)
    return find(text) if find is not None else None
