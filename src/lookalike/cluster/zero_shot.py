"""Name images by words alone: zero-shot classification with "none of these" and "unsure".

A name is the mean of the vectors of several prompts (Radford et al.: Learning transferable visual models from natural
language supervision, 2021). Beside the names stand texts that say nothing in particular: an image that fits them as
well is none of these. Labeled images of the collection calibrate the confidence: the scale of the scores and the offset
of "none of these" are those that make their labels most likely (Guo et al.: On calibration of modern neural networks,
2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbors import read_vectors
from lookalike.cluster.propagation import MIN_CONFIDENCE, NONE_OF_THESE, UNSURE, expected_calibration_error
from lookalike.errors import BadQuery
from lookalike.parts import ALIKE, part_of
from lookalike.search import Collection
from lookalike.search.text_search import NEUTRAL_TEXTS
from lookalike.similarity import normalize
from lookalike.types import TextTower, Vectors

TEMPLATES = (
    "{}", "a photo of a {}", "a photo of the {}", "a close-up photo of a {}", "a blurry photo of a {}",
    "a bright photo of a {}", "a dark photo of a {}", "a photo of a small {}", "a photo of a large {}",
    "a drawing of a {}",
)  # fmt: skip
NONE = ("neither", "none", NONE_OF_THESE, "other")
"""Names that mean that no other name fits; it is always possible, also without them."""
MIN_LABELED = 20  # labeled images that calibrate the confidence
MAX_NAMES = 1000
_SCALES, _OFFSETS, _FOLDS = np.geomspace(0.5, 400, 18), 21, 5
_BLOCK = 65_536
_MAX_SCORES = 200_000  # of labeled images and names, which hundreds of scales and offsets are tried on

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConfidenceCheck:
    """What the confidence is worth, by images with labels that were left out of its calibration.

    `images`: how many; `right`: the share whose most likely name is their label; `confidence`: its mean; `error`: the
    expected calibration error.
    """

    images: int
    right: float
    confidence: float
    error: float


@dataclass(frozen=True, slots=True)
class NamedImages:
    """Names of a whole collection.

    `ids`; `names`: the possible ones, without "none of these"; `rows` (n,): the index of the most likely name,
    -1 for none of these; `confidence` (n,); `min_confidence`: what is below is unsure. `check`: None if fewer than 20
    images have one of the names as their label, so that the confidence is the model's own.
    """

    ids: list[str]
    names: tuple[str, ...]
    rows: NDArray[np.int64]
    confidence: NDArray[np.float32]
    min_confidence: float
    check: ConfidenceCheck | None

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Whether the confidence of each image is high enough (n,)."""
        return self.confidence >= self.min_confidence

    @property
    def named(self) -> int:
        """The number of images that got a name."""
        return int(np.count_nonzero(self.sure & (self.rows >= 0)))

    @property
    def unsure(self) -> int:
        """The number of images whose confidence is too low."""
        return int(np.count_nonzero(~self.sure))

    def label(self, row: int) -> str:
        """Return the label of one image: a name, "none of these" or "unsure"."""
        if self.confidence[row] < self.min_confidence:
            return UNSURE
        return self.names[self.rows[row]] if self.rows[row] >= 0 else NONE_OF_THESE

    def columns(self) -> dict[str, list[Any]]:
        """Return a table with a row for each image; `guess` is the most likely name also of unsure ones."""
        guesses = [self.names[row] if row >= 0 else NONE_OF_THESE for row in self.rows.tolist()]
        return {
            "id": self.ids,
            "label": [self.label(row) for row in range(len(self.ids))],
            "confidence": [round(value, 4) for value in self.confidence.tolist()],
            "guess": guesses,
        }


@dataclass(frozen=True, slots=True)
class _Scorer:
    """Probabilities of names from their scores: softmax as CLIP, or each name by itself as SigLIP."""

    scale: float
    bias: float
    offset: float  # of "none of these", in scores
    sigmoid: bool

    def probabilities(self, scores: NDArray[np.float32]) -> Floats:
        """Return (n, names + 1) from (n, names + 1) scores; the last column is none of these."""
        if self.sigmoid:
            return self._each_by_itself(scores[:, :-1])
        logits = self.scale * scores.astype(np.float64)
        logits[:, -1] += self.scale * self.offset
        logits -= logits.max(axis=1, keepdims=True)
        likelihoods = np.exp(logits)
        return np.asarray(likelihoods / likelihoods.sum(axis=1, keepdims=True))

    def _each_by_itself(self, scores: NDArray[np.float32]) -> Floats:
        """Of names that exclude each other: each one's odds, and one for none of them."""
        logits = self.scale * (scores.astype(np.float64) - self.offset) + self.bias
        top = np.maximum(logits.max(axis=1, keepdims=True), 0.0)
        odds = np.concatenate([np.exp(logits - top), np.exp(-top)], axis=1)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def name_images(
    photos: Collection,
    names: Sequence[str],
    *,
    templates: Sequence[str] = TEMPLATES,
    min_confidence: float = MIN_CONFIDENCE,
) -> NamedImages:
    """Return the most likely of the names for each image of a collection, or none of these, with a confidence.

    `names`: "neither", "none", "none of these" and "other" mean that no name fits. `templates`: prompts with {} in the
    name's place. If the collection's model reads no words, the first added one that does is used. Raises BadQuery if
    none does, or for names that cannot be used.
    """
    photos = photos.added_models.for_words()
    used, tower = check_names(names), photos.card.text
    texts = _name_vectors(photos, used, check_templates(templates))
    if tower is None:  # embedding the texts has said so already
        raise BadQuery(f"the model {photos.card.name} reads no words")
    ids, vectors = read_vectors(photos)
    scorer, check = _calibrated(photos, used, texts, tower)
    rows, confidence = np.empty(len(ids), np.int64), np.empty(len(ids), np.float32)
    for start in range(0, len(ids), _BLOCK):
        block = slice(start, start + _BLOCK)
        probabilities = scorer.probabilities(_scores(vectors[block], texts))
        best = probabilities.argmax(axis=1)
        rows[block] = np.where(best == len(used), -1, best)
        confidence[block] = probabilities.max(axis=1)
    return NamedImages(list(ids), used, rows, confidence, min_confidence, check)


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names without repetitions and those that mean none of these. Raises BadQuery if none is left."""
    listed = [name.strip() for name in names]
    used = tuple(dict.fromkeys(name for name in listed if name and name.lower() not in NONE))
    if not used:
        raise BadQuery("there is no name to choose from; give some, such as: dog, cat, neither")
    if len(used) > MAX_NAMES:
        raise BadQuery(f"there are {len(used):,} names; give at most {MAX_NAMES:,}")
    return used


def check_templates(templates: Sequence[str]) -> Sequence[str]:
    """Return the templates. Raises BadQuery for one without {}, or if there is none."""
    for template in templates:
        if "{}" not in template:
            raise BadQuery(f"the template {template!r} has no {{}} where the name goes; write: a photo of a {{}}")
    if not templates:
        raise BadQuery("there is no template; write one, such as: a photo of a {}")
    return templates


def _name_vectors(photos: Collection, names: Sequence[str], templates: Sequence[str]) -> tuple[Vectors, Vectors]:
    """Return the vectors (names, dim) of the names, and those (m, dim) of texts that say nothing in particular."""
    prompts = [template.replace("{}", name) for name, template in product(names, templates)]
    each = part_of(photos.text_search.vectors(prompts), photos.card, ALIKE)
    means = normalize(each.reshape(len(names), len(templates), -1).mean(axis=1))
    return means, part_of(photos.text_search.vectors(NEUTRAL_TEXTS), photos.card, ALIKE)


def _scores(vectors: Vectors, texts: tuple[Vectors, Vectors]) -> NDArray[np.float32]:
    """Return (n, names + 1): the cosines of the names, and the best of the texts that say nothing in particular."""
    names, neutral = texts
    return np.concatenate([vectors @ names.T, (vectors @ neutral.T).max(axis=1, keepdims=True)], axis=1)


def _calibrated(
    photos: Collection, names: tuple[str, ...], texts: tuple[Vectors, Vectors], tower: TextTower
) -> tuple[_Scorer, ConfidenceCheck | None]:
    """Return how scores become probabilities, fitted to the labeled images if there are enough of them."""
    own = _Scorer(tower.scale, tower.bias, 0.0, tower.sigmoid)
    ids, labels = _labeled(photos, max(MIN_LABELED, _MAX_SCORES // len(names)))
    truth = np.array([names.index(label) if label in names else len(names) for label in labels], np.int64)
    if np.count_nonzero(truth < len(names)) < MIN_LABELED:
        return own, None
    rows = [row for row in photos.get(ids, []) if row is not None]
    scores = _scores(part_of(np.stack([row.vector for row in rows]), photos.card, ALIKE), texts)
    return _fitted(own, scores, truth), _checked(own, scores, truth)


def _labeled(photos: Collection, count: int) -> tuple[list[str], list[str]]:
    """Return ids and labels of the images that a person has labeled, at most `count` of them, spread evenly."""
    ids, labels = list[str](), list[str]()
    if "label" in photos.store.columns():
        for batch in photos.store.scan(["id", "label"], where="label is not null"):
            ids += [str(one) for one in batch["id"]]
            labels += [str(one) for one in batch["label"]]
    step = max(1, -(-len(ids) // count))
    return ids[::step], labels[::step]


def _fitted(own: _Scorer, scores: NDArray[np.float32], truth: NDArray[np.int64]) -> _Scorer:
    """Return the scorer that makes the labels most likely."""
    # An image is none of these if its best name is no better than the neutral texts and an offset; of a sigmoid, than
    # the offset alone.
    margins = scores[:, :-1].max(axis=1) - (0 if own.sigmoid else scores[:, -1])
    offsets = np.quantile(margins, np.linspace(0, 1, _OFFSETS))
    candidates = [_Scorer(float(scale), 0.0, float(offset), own.sigmoid) for scale, offset in product(_SCALES, offsets)]
    rows = np.arange(len(truth))
    losses = [-np.log(one.probabilities(scores)[rows, truth] + 1e-12).mean() for one in candidates]
    return candidates[int(np.argmin(losses))]


def _checked(own: _Scorer, scores: NDArray[np.float32], truth: NDArray[np.int64]) -> ConfidenceCheck:
    """Judge each fifth of the labeled images by a scorer that was fitted to the others."""
    fold = np.random.default_rng(0).permutation(len(truth)) % _FOLDS
    probabilities = np.empty(scores.shape)
    for n in range(_FOLDS):
        scorer = _fitted(own, scores[fold != n], truth[fold != n])
        probabilities[fold == n] = scorer.probabilities(scores[fold == n])
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    error = expected_calibration_error(confidence.astype(np.float32), right)
    return ConfidenceCheck(len(truth), float(right.mean()), float(confidence.mean()), error)
