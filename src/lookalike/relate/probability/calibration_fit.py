"""Fit a calibration without labels: copies are made by editing images; all other pairs are of different images."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image import EDITS
from lookalike.relate.content.content import Content
from lookalike.relate.content.drawn import drawn_share
from lookalike.relate.examine import examine
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE, SIDE, Features, find_features
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.calibration_model import Calibration, copy_evidence, layout_evidence
from lookalike.relate.probability.logistic import fit_logistic
from lookalike.relate.probability.score_tail import MIN_BACKGROUND, Background, fit_tail
from lookalike.similarity import cosine
from lookalike.types import RGB, Embedder, Vectors

EDITS_EACH = 4
_OTHERS_EACH = 2  # nearest and random other images that each edited image is compared with
_MAX_QUERIES = 500
_MIN_HIDDEN_COPY = (
    0.9  # P(copy) by geometry alone from which a pair of other images is treated as an unlabeled copy and left out
)
_MIRROR_RATE = 0.15
_MIN_DRAWN = 0.4  # `drawn_share` from which an image is a page or a drawing
EDITS_THAT_REDRAW = frozenset(
    {"caption", "gray", "halftone", "hue", "logo", "meme", "saturation", "stickers", "watermark"}
)
"""Edits that turn a drawing or page into another one: words added, a heart in blue."""
CALIBRATION_EDITS = sorted(set(EDITS) - {"negative", "pixelate", "posterize", "rephotograph", "scan"})
"""The edits that a calibration assumes: the common ones, whose scores the rare ones would blur."""


@dataclass(frozen=True, slots=True)
class LabeledPair:
    """A pair whose truth is known. `group`: the image it was made from; fit and test share no group."""

    match: Match
    content: Content | None
    score: float
    copy: bool
    group: int


@dataclass(slots=True)
class LabeledPairs:
    """Labeled pairs, and the number of pairs left out because they look like unlabeled copies."""

    pairs: list[LabeledPair] = field(default_factory=list)
    left_out: int = 0


def edited(image: RGB, random: np.random.Generator) -> tuple[RGB, str]:
    """Return the image after one or two edits of random strength, and their names."""
    redraws = frozenset() if drawn_share(image) < _MIN_DRAWN else EDITS_THAT_REDRAW
    allowed = [name for name in CALIBRATION_EDITS if name not in redraws]
    names = list(random.choice(allowed, size=1 + int(random.integers(2)), replace=False))
    for name in names:
        image = EDITS[name].apply(image, float(random.uniform(0, 1)), int(random.integers(2**31)))
    if "flip" not in names and random.random() < _MIRROR_RATE:
        image, names = np.ascontiguousarray(image[:, ::-1]), [*names, "flip"]
    return image, "+".join(names)


@dataclass(frozen=True)
class CalibrationSample:
    """Images that a calibration is fitted to, with their vectors (n, dim) and features."""

    images: Sequence[RGB]
    vectors: Vectors
    features: Sequence[Features]
    embedder: Embedder


def calibration_sample(images: Sequence[RGB], embedder: Embedder) -> CalibrationSample:
    """Embed the images and find their features."""
    return CalibrationSample(images, embedder.embed(images), [thumbnail_features(p) for p in images], embedder)


def thumbnail_features(image: RGB) -> Features:
    """Return features as a collection's thumbnails give them."""
    return find_features(image, side=PREVIEW_SIDE, count=PREVIEW_COUNT)


def make_pairs(
    sample: CalibrationSample, calibration: Calibration, *, each: int = EDITS_EACH, seed: int = 0
) -> LabeledPairs:
    """Pair copies of every image with the original, with its nearest and with random other images."""
    random = np.random.default_rng(seed)
    examples = LabeledPairs()
    known_copies: dict[tuple[int, int], bool] = {}
    for group, image in enumerate(sample.images):
        copies = [edited(image, random)[0] for _ in range(each)]
        copies = [copy for copy in copies if min(copy.shape[:2]) >= 24]
        if not copies:
            continue
        for copy, vector in zip(copies, sample.embedder.embed(copies), strict=True):
            features = thumbnail_features(copy)
            scores = cosine(vector[None], sample.vectors)[0]
            example = labeled_pair(features, sample.features[group], float(scores[group]), calibration)
            examples.pairs.append(replace(example, copy=True, group=group))
            for other in _other_images(scores, group, random):
                if _is_hidden_copy(sample, (group, other), calibration, known_copies):
                    examples.left_out += 1
                    continue
                example = labeled_pair(features, sample.features[other], float(scores[other]), calibration)
                examples.pairs.append(replace(example, copy=False, group=group))
    return examples


@dataclass(frozen=True, slots=True)
class _FeaturesOnly:
    """An image known only by its features."""

    features: Features | None
    load: None = None


def labeled_pair(first: Features, second: Features, score: float, calibration: Calibration) -> LabeledPair:
    match, content = examine(_FeaturesOnly(first), _FeaturesOnly(second), score, calibration, thorough=False)
    return LabeledPair(match, content, score, copy=False, group=0)


def _other_images(scores: NDArray[np.float32], group: int, random: np.random.Generator) -> list[int]:
    order = [int(i) for i in np.argsort(-scores) if i != group]
    nearest = order[:_OTHERS_EACH]
    rest = order[_OTHERS_EACH:]
    return nearest + [rest[int(i)] for i in random.permutation(len(rest))[:_OTHERS_EACH]]


def _is_hidden_copy(
    sample: CalibrationSample, pair: tuple[int, int], calibration: Calibration, known: dict[tuple[int, int], bool]
) -> bool:
    """Return whether two images of the sample look like copies that are not labeled as such."""
    key = (min(pair), max(pair))
    if key not in known:
        example = labeled_pair(sample.features[key[0]], sample.features[key[1]], 0.0, calibration)
        # Two pages of one form are no copies and remain as negative examples.
        known[key] = calibration.copy_by_match(None, example.match, example.content) > _MIN_HIDDEN_COPY
    return known[key]


def fit_score_models(examples: Sequence[LabeledPair], calibration: Calibration) -> Calibration:
    """Fit `by_score` and `by_both` to pairs of known truth."""
    truth = np.array([e.copy for e in examples])
    scores = np.array([[e.score] for e in examples])
    both = np.array([[copy_logit(e, calibration), e.score] for e in examples])
    return replace(calibration, by_score=fit_logistic(scores, truth), by_both=fit_logistic(both, truth))


def copy_logit(example: LabeledPair, calibration: Calibration) -> float:
    """Return the logit of geometry and contents, without the score."""
    if example.content is None:
        return float(calibration.geometry.layout.logit(layout_evidence(example.match))[0])
    return float(calibration.geometry.copy.logit(copy_evidence(example.content))[0])


def fit_tails(vectors: Vectors, calibration: Calibration) -> Calibration:
    """Fit `tail`, and with 400 images or more `tail_normalized` and the background, to unlabeled vectors.

    `vectors`: (n, dim) in random order. The first half, at most 500, are queries; up to 1000 of the rest are the
    background.
    """
    count = query_count(len(vectors))
    # Queries must not be in the background: a real query is new to the collection.
    queries, rest = vectors[:count], vectors[count:]
    scores = cosine(queries, rest)
    fitted = replace(calibration, tail=fit_tail(scores, normalized=False))
    if len(rest) < MIN_BACKGROUND:
        return fitted
    background = Background(rest[:1000])
    level = background.level(queries)[:, None]
    return replace(fitted, tail_normalized=fit_tail(scores - level, normalized=True), background=background)


def query_count(count: int) -> int:
    """Return how many of `count` vectors are queries."""
    return min(_MAX_QUERIES, count // 2)


def stated_probabilities(examples: Sequence[LabeledPair], calibration: Calibration) -> NDArray[np.float64]:
    """Return P(copy) of each pair."""
    return np.array([calibration.copy_by_match(e.score, e.match, e.content) for e in examples])


def calibration_error(stated: NDArray[Any], truth: NDArray[Any], *, bins: int = 10) -> float:
    """Expected calibration error: |mean stated - share true| over equal bins of the stated probability, by size.

    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.
    """
    bin_ids = np.minimum((np.asarray(stated) * bins).astype(int), bins - 1)
    total = 0.0
    for bin_id in range(bins):
        in_bin = bin_ids == bin_id
        if in_bin.any():
            total += float(in_bin.mean()) * abs(float(np.mean(stated[in_bin])) - float(np.mean(truth[in_bin])))
    return total


def work_image(image: RGB) -> RGB:
    """Return the image at the side at which features are found; editing larger images only takes longer."""
    from lookalike.image.resize import at_most

    return at_most(image, SIDE)
