"""Words in queries: their vectors, the gap between texts and images, and what their scores are worth.

In the space of a model of two towers, texts lie apart from images (Liang et al., Mind the Gap, NeurIPS 2022): a text
and its image have a cosine of some .3, two unrelated images one of .6. Scores of words are therefore shown as
percentiles of the collection, and where words and images are in one query, each text is moved by the difference of
the two centers, so that it counts as an image of what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery
from lookalike.parts import ALIKE, COPY, columns_of, part_of
from lookalike.search.query import QueryTerm, combine
from lookalike.similarity import cosine, normalize
from lookalike.store import sample_vectors
from lookalike.types import Card, TextEmbedder, Vectors

if TYPE_CHECKING:
    from lookalike.search.collection import Collection

SAMPLE = 4096  # images whose scores a hit is compared with
# Texts of many kinds: their mean is where texts lie, whatever they say.
NEUTRAL_TEXTS = (
    "a photo", "a photo of people", "a landscape", "a building in a city", "an animal", "food on a table", "a car",
    "a plant", "a room with furniture", "a screenshot with text", "a drawing", "something small on a white ground",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """The mean vectors (dim,) of the images of a collection and of texts."""

    images: NDArray[np.float32]
    texts: NDArray[np.float32]

    def closed(self, term: QueryTerm) -> QueryTerm:
        """Return a text's term as if it were an image; other terms stay."""
        if not term.is_text:
            return term
        return replace(term, vector=normalize(term.vector - self.texts + self.images)[0])


def weighing_of_words(card: Card, by: str) -> str:
    """Return the parts that a query with words is compared by: those that say alike. Raises BadQuery for "copy"."""
    if by == COPY:
        raise BadQuery("words say nothing about copies; search by alike, or with an image")
    return ALIKE if len(card.parts) > 1 else by


class TextSearch:
    """What a collection needs to be searched by words. Its sample of vectors belongs to one version."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos
        self._sampled: tuple[int, Vectors] | None = None
        self._text_center: NDArray[np.float32] | None = None

    def embedder(self) -> TextEmbedder:
        """Return the collection's model if it reads words. Raises BadQuery with the command that adds one."""
        photos = self._photos
        if photos.card.text is not None and isinstance(photos.embedder, TextEmbedder):
            return photos.embedder
        raise BadQuery(
            f"its model {photos.card.name} reads no words; one that does comes with: lookalike models add clip",
            subject=photos.uri,
            location=photos.uri,
            hint="then index the images with it as well: index --model clip --add",
            command=f"index --model clip --add -c {photos.uri}",
        )

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors (n, dim) of texts. Raises BadQuery if the model reads no words."""
        return self.embedder().embed_texts(texts)

    def truncated(self, text: str) -> str | None:
        """Return the beginning of a text that counts if it is too long for the model, None if all of it counts."""
        cut = getattr(self.embedder(), "truncated", None)
        return cut(text) if cut is not None else None

    def combined(self, terms: Sequence[QueryTerm]) -> Vectors:
        """Return the vector (1, dim) of a query with words among its terms. Raises BadQuery at zero.

        Of a model with parts only the part counts that says alike: a text is no copy of anything.
        """
        card = self._photos.card
        alike = [replace(term, vector=part_of(term.vector, card, ALIKE)) for term in terms]
        if not all(term.is_text for term in alike):
            gap = self._gap()
            alike = [gap.closed(term) for term in alike]
        vector = combine(alike)
        if len(card.parts) < 2:
            return vector
        whole = np.zeros((1, card.dim), np.float32)
        whole[:, columns_of(card, ALIKE)] = vector
        return whole

    def percentiles(self, vector: NDArray[np.float32], scores: Sequence[float]) -> list[float]:
        """Return for each score how many of a hundred images of the collection have a lower one.

        `vector`: (dim,) of the query. Of more than 4,096 images a sample is compared.
        """
        sample = self._sample()
        if not len(sample):
            return [100.0] * len(scores)
        query = part_of(vector[None], self._photos.card, ALIKE)
        ordered = np.sort(cosine(query, sample)[0])
        # A hair less: a hit that is in the sample does not count as better than itself.
        lower = np.searchsorted(ordered, np.asarray(scores, np.float32) - np.float32(1e-6), side="left")
        others = max(len(sample) - (len(sample) == len(self._photos)), 1)
        return [float(min(100.0, 100 * count / others)) for count in lower]

    def _gap(self) -> Gap:
        card, sample = self._photos.card, self._sample()
        if self._text_center is None:
            self._text_center = part_of(self.vectors(NEUTRAL_TEXTS), card, ALIKE).mean(axis=0)
        images = sample.mean(axis=0) if len(sample) else self._text_center
        return Gap(images, self._text_center)

    def _sample(self) -> Vectors:
        """The vectors of the part that says alike (n, dim of the part)."""
        store = self._photos.store
        version = store.version
        if self._sampled is None or self._sampled[0] != version:
            self._sampled = version, part_of(sample_vectors(store, SAMPLE), self._photos.card, ALIKE)
        return self._sampled[1]
