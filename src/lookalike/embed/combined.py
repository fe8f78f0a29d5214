"""Embedders made of others: one part of a model with parts, and two models whose vectors lie side by side."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from lookalike.errors import BrokenModel
from lookalike.image import fit
from lookalike.parts import ALIKE, COPY, dim_of, join_parts, part_of
from lookalike.types import RGB, Card, Embedder, Part, Vectors


def part_embedder(embedder: Embedder, name: str) -> Embedder:
    """Return an embedder of one part alone, "alike" or "copy"; the same embedder if its model has fewer than two."""
    return PartEmbedder(embedder, name) if len(embedder.card.parts) > 1 else embedder


class PartEmbedder:
    """One part of the vectors of another embedder. Its card has the part's dim and no parts."""

    def __init__(self, embedder: Embedder, name: str) -> None:
        self._embedder, self._part = embedder, name
        self._card = replace(embedder.card, dim=dim_of(embedder.card, name), parts=())

    @property
    def card(self) -> Card:
        return self._card

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed upright RGB images of any sizes. Returns (len(images), dim), rows of length 1."""
        return part_of(self._embedder.embed(images), self._embedder.card, self._part)


class JoinedEmbedder:
    """Two models side by side: the first says alike, the second copy.

    An image is squashed once to the larger of the two inputs, and from there to the smaller: callers fit it before
    they embed. Raises BrokenModel for models that crop or letterbox, whose input cannot be made from that.
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


def joined_card(alike: Card, copy: Card, name: str = "") -> Card:
    """Return the card of two models side by side. Raises BrokenModel."""
    for card in (alike, copy):
        if card.preprocessing.resize != "squash":
            raise BrokenModel(
                f"{card.name} cannot be joined: its input is made by {card.preprocessing.resize!r}, not by 'squash'; "
                "join models that squash"
            )
    sizes = alike.preprocessing.size, copy.preprocessing.size
    licenses = dict.fromkeys((alike.license, copy.license))
    return Card(
        name=name or f"{alike.name}+{copy.name}",
        dim=alike.dim + copy.dim,
        preprocessing=replace(alike.preprocessing, size=max(sizes), layout="NHWC", dtype="uint8", mean=(), std=()),
        sha256=hashlib.sha256(f"{alike.sha256}+{copy.sha256}".encode()).hexdigest(),
        license=" and ".join(licenses),
        source=f"alike: {alike.source}; copy: {copy.source}",
        parts=(Part(ALIKE, alike.dim), Part(COPY, copy.dim)),
    )
