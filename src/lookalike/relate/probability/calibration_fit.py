"""Fitting a calibration without labels: copies are made by editing pictures, the rest are other pictures."""

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
from lookalike.relate.probability.score_tail import LEAST, Background, fit_tail
from lookalike.similarity import cosine
from lookalike.types import RGB, Embedder, Vectors

EDITS_EACH = 4
_OTHERS = 2  # nearest and random other pictures that each edited picture is compared with
_QUERIES = 500
_ALREADY = 0.9  # a stranger that geometry alone says is a copy with this probability is taken for one, and left out
_MIRRORING = 0.15
_DRAWN = 0.4  # `drawn_share` from which a picture is a page or a drawing
OTHER_DRAWING = frozenset({"caption", "grey", "halftone", "hue", "logo", "meme", "saturation", "stickers", "watermark"})
"""Edits that make another drawing or page of one: words added, a heart in blue."""


@dataclass(frozen=True, slots=True)
class Example:
    """One pair whose truth is known. `group`: the picture it was made from; a fit and its test share none."""

    match: Match
    content: Content | None
    score: float
    copy: bool
    group: int


@dataclass(slots=True)
class Examples:
    """Pairs, and how many strangers were left out because they look like copies that nobody told us of."""

    pairs: list[Example] = field(default_factory=list)
    left_out: int = 0


def edited(picture: RGB, random: np.random.Generator) -> tuple[RGB, str]:
    """The picture after one edit, or two, of random strength; and their names."""
    allowed = sorted(EDITS) if drawn_share(picture) < _DRAWN else sorted(set(EDITS) - OTHER_DRAWING)
    names = list(random.choice(allowed, size=1 + int(random.integers(2)), replace=False))
    for name in names:
        picture = EDITS[name].apply(picture, float(random.uniform(0, 1)), int(random.integers(2**31)))
    if "flip" not in names and random.random() < _MIRRORING:
        picture, names = np.ascontiguousarray(picture[:, ::-1]), [*names, "flip"]
    return picture, "+".join(names)


@dataclass(frozen=True)
class Sample:
    """Pictures that calibration is fitted to, with their vectors (n, dim) and features."""

    pictures: Sequence[RGB]
    vectors: Vectors
    features: Sequence[Features]
    embedder: Embedder


def sample_of(pictures: Sequence[RGB], embedder: Embedder) -> Sample:
    """Embed the pictures and find their features."""
    return Sample(pictures, embedder.embed(pictures), [preview_of(p) for p in pictures], embedder)


def preview_of(picture: RGB) -> Features:
    """Features as a collection's thumbnails give them."""
    return find_features(picture, side=PREVIEW_SIDE, count=PREVIEW_COUNT)


def make_examples(sample: Sample, calibration: Calibration, *, each: int = EDITS_EACH, seed: int = 0) -> Examples:
    """Copies of every picture, each compared with its original, with its nearest and with random other pictures."""
    random = np.random.default_rng(seed)
    made = Examples()
    alike: dict[tuple[int, int], bool] = {}
    for group, picture in enumerate(sample.pictures):
        copies = [edited(picture, random)[0] for _ in range(each)]
        copies = [copy for copy in copies if min(copy.shape[:2]) >= 24]
        if not copies:
            continue
        for copy, vector in zip(copies, sample.embedder.embed(copies), strict=True):
            features = preview_of(copy)
            scores = cosine(vector[None], sample.vectors)[0]
            example = example_of(features, sample.features[group], float(scores[group]), calibration)
            made.pairs.append(replace(example, copy=True, group=group))
            for other in _others(scores, group, random):
                if _already_alike(sample, (group, other), calibration, alike):
                    made.left_out += 1
                    continue
                example = example_of(features, sample.features[other], float(scores[other]), calibration)
                made.pairs.append(replace(example, copy=False, group=group))
    return made


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture of which only its features are looked at."""

    features: Features | None
    load: None = None


def example_of(first: Features, second: Features, score: float, calibration: Calibration) -> Example:
    match, content = examine(_Seen(first), _Seen(second), score, calibration, thorough=False)
    return Example(match, content, score, copy=False, group=0)


def _others(scores: NDArray[np.float32], group: int, random: np.random.Generator) -> list[int]:
    order = [int(i) for i in np.argsort(-scores) if i != group]
    nearest = order[:_OTHERS]
    rest = order[_OTHERS:]
    return nearest + [rest[int(i)] for i in random.permutation(len(rest))[:_OTHERS]]


def _already_alike(
    sample: Sample, pair: tuple[int, int], calibration: Calibration, known: dict[tuple[int, int], bool]
) -> bool:
    """Whether two pictures of the sample look like copies of each other, which nobody has told."""
    key = (min(pair), max(pair))
    if key not in known:
        example = example_of(sample.features[key[0]], sample.features[key[1]], 0.0, calibration)
        # Two pages of one form are no copies, and teach what is none.
        known[key] = calibration.copy_by_match(None, example.match, example.content) > _ALREADY
    return known[key]


def fit_scores(examples: Sequence[Example], calibration: Calibration) -> Calibration:
    """`by_score` and `by_both` from pairs of known truth."""
    truth = np.array([e.copy for e in examples])
    scores = np.array([[e.score] for e in examples])
    both = np.array([[copy_logit(e, calibration), e.score] for e in examples])
    return replace(calibration, by_score=fit_logistic(scores, truth), by_both=fit_logistic(both, truth))


def copy_logit(example: Example, calibration: Calibration) -> float:
    """What geometry and contents say of a pair, before the score is heard."""
    if example.content is None:
        return float(calibration.geometry.layout.logit(layout_evidence(example.match))[0])
    return float(calibration.geometry.copy.logit(copy_evidence(example.content))[0])


def fit_tails(vectors: Vectors, calibration: Calibration) -> Calibration:
    """`tail`, and with 400 pictures or more `tail_normalised` and the background, from unlabelled vectors.

    `vectors`: (n, dim) in random order. The first half, at most 500, ask; of the rest up to 1000 are the background.
    """
    asked = queries_of(len(vectors))
    # Queries must not be among the background: a query meets a picture of the collection for the first time.
    queries, rest = vectors[:asked], vectors[asked:]
    scores = cosine(queries, rest)
    fitted = replace(calibration, tail=fit_tail(scores, normalised=False))
    if len(rest) < LEAST:
        return fitted
    background = Background(rest[:1000])
    level = background.level(queries)[:, None]
    return replace(fitted, tail_normalised=fit_tail(scores - level, normalised=True), background=background)


def queries_of(count: int) -> int:
    """How many of so many vectors ask."""
    return min(_QUERIES, count // 2)


def chances(examples: Sequence[Example], calibration: Calibration) -> NDArray[np.float64]:
    """The stated P(copy) of each pair."""
    return np.array([calibration.copy_by_match(e.score, e.match, e.content) for e in examples])


def calibration_error(stated: NDArray[Any], truth: NDArray[Any], *, bins: int = 10) -> float:
    """Expected calibration error: |mean stated - share true| over equal bins of the stated probability, by size.

    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.
    """
    places = np.minimum((np.asarray(stated) * bins).astype(int), bins - 1)
    total = 0.0
    for place in range(bins):
        here = places == place
        if here.any():
            total += float(here.mean()) * abs(float(np.mean(stated[here])) - float(np.mean(truth[here])))
    return total


def work_picture(image: RGB) -> RGB:
    """The picture at the side that features are found at: edits of larger ones cost time and say no more."""
    from lookalike.image.resize import scaled

    share = SIDE / max(image.shape[:2])
    if share >= 1:
        return image
    return scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))
