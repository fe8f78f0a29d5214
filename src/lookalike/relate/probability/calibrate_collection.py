"""Fit a collection's own calibration to its images, and to labeled pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.combined import part_embedder
from lookalike.errors import BadQuery, ImageError
from lookalike.image import decode, read
from lookalike.parts import COPY, part_of
from lookalike.relate.geometry.feature_cache import features_of
from lookalike.relate.geometry.features import SIDE
from lookalike.relate.probability.calibration_fit import (
    EDITS_EACH,
    CalibrationSample,
    LabeledPair,
    calibration_error,
    fit_score_models,
    fit_tails,
    labeled_pair,
    make_pairs,
    query_count,
    stated_probabilities,
    work_image,
)
from lookalike.relate.probability.calibration_model import Calibration, calibration_of_card
from lookalike.relate.probability.calibration_store import save_calibration
from lookalike.search import Collection
from lookalike.similarity import cosine, normalize
from lookalike.types import RGB, Row, Vectors

MIN_IMAGES = 20
_TAIL_SAMPLE = 2000
_DECISION_WEIGHT = 5  # a user's decision counts as much as this many synthetic pairs


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """A calibration and its performance on images left out of the fit.

    `stated`, `truth`: P(copy) and truth of each held-out pair. `decided`: pairs labeled by a person. `left_out`: pairs
    of other images that were not used because they look like copies.
    """

    calibration: Calibration
    stated: NDArray[np.float64]
    truth: NDArray[np.bool_]
    decided: int
    left_out: int

    @property
    def error(self) -> float:
        return calibration_error(self.stated, self.truth)


def calibrate(
    photos: Collection,
    *,
    sample: int = 150,
    edits: int = EDITS_EACH,
    labeled: Sequence[tuple[str, str, bool]] = (),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationResult:
    """Fit the collection's own calibration and save it.

    `sample`: number of images that are edited to make copies, `edits` of each; one in three is left out of the fit, to
    measure the error. `labeled`: (id, id, is a copy), for example `Decisions(photos).labeled_pairs()` of
    lookalike.duplicates. Raises BadQuery for fewer than 20 images, ReadOnly.
    """
    random = np.random.default_rng(seed)
    rows = _sample_rows(photos, random, sample)
    images = _load_images(photos, rows)
    if len(images) < MIN_IMAGES:
        raise BadQuery(
            f"the collection has {len(images)} readable images that are not plain, and a calibration of its own needs "
            f"{MIN_IMAGES}",
            subject=photos.uri,
            location=photos.uri,
            hint="until then, the calibration of the model is used",
        )
    start = calibration_of_card(photos.card)
    examples = make_pairs(_calibration_sample(photos, images, progress), start, each=edits, seed=seed)
    known = _labeled_pairs(photos, labeled)
    fitting = [e for e in examples.pairs if e.group % 3] + known * _DECISION_WEIGHT
    testing = [e for e in examples.pairs if not e.group % 3]
    vectors, ids = _vectors(photos, random)
    fitted = fit_tails(vectors, fit_score_models(fitting, start))
    stated, truth = stated_probabilities(testing, fitted), np.array([e.copy for e in testing])
    facts = _facts(photos, len(images), len(fitting), len(testing), calibration_error(stated, truth), len(known))
    fitted = replace(fitted, facts=facts, source="collection")
    save_calibration(photos, fitted, ids[query_count(len(ids)) :])
    return CalibrationResult(fitted, stated, truth, len(known), examples.left_out)


def _facts(photos: Collection, images: int, pairs: int, held_out: int, error: float, decisions: int) -> dict[str, Any]:
    created = datetime.now(UTC).date().isoformat()
    names = ("images", "pairs", "held_out", "error", "decisions", "size", "made")
    values = (images, pairs, held_out, round(error, 4), decisions, len(photos), created)
    return {**dict(zip(names, values, strict=True)), "pictures": images}  # the old name of "images"


def _sample_rows(photos: Collection, random: np.random.Generator, count: int) -> list[Row]:
    """Return random rows of images that are not plain."""
    ids = np.concatenate([part["id"] for part in photos.store.scan(["id"], where="plain = false")] or [np.array([])])
    picked = [str(i) for i in random.permutation(ids)[: 2 * count]]
    rows = photos.get(picked, ["path", "thumbnail", "sha256", "frame"])
    row_by_hash: dict[str, Row] = {}
    for row in rows:
        if row is not None:
            row_by_hash.setdefault(str(row.metadata.get("sha256") or row.id), row)
    return list(row_by_hash.values())[:count]


def _load_images(photos: Collection, rows: Sequence[Row]) -> dict[str, RGB]:
    """Return pixels by id, from the files, or from the thumbnails if a file is unavailable."""
    images_by_id = {}
    for row in rows:
        path, jpeg = row.metadata.get("path"), row.metadata.get("thumbnail")
        try:
            data = read(path, photos.limits) if isinstance(path, str) else jpeg
            images_by_id[row.id] = _decode(data)
        except ImageError:
            if isinstance(jpeg, bytes):
                images_by_id[row.id] = _decode(jpeg)
    return images_by_id


def _decode(data: Any) -> RGB:
    return work_image(decode(data, side=SIDE // 2).image)


def _calibration_sample(
    photos: Collection, images: dict[str, RGB], progress: Callable[[int, int], None] | None
) -> CalibrationSample:
    ids = list(images)
    vectors = normalize(np.stack([row.vector for row in photos.get(ids, []) if row is not None]))
    vectors = part_of(vectors, photos.card, COPY)
    features = [f for f in features_of(photos, ids) if f is not None]
    if progress:
        progress(len(ids), len(ids))
    return CalibrationSample(list(images.values()), vectors, features, part_embedder(photos.embedder, COPY))


def _labeled_pairs(photos: Collection, pairs: Sequence[tuple[str, str, bool]]) -> list[LabeledPair]:
    examples = []
    for n, (a, b, copy) in enumerate(pairs):
        rows, features = photos.get([a, b], []), features_of(photos, [a, b])
        if rows[0] is None or rows[1] is None or features[0] is None or features[1] is None:
            reason, hint = f"the pair {a}, {b} is not in the collection", "add both images first"
            raise BadQuery(reason, subject=photos.uri, location=photos.uri, hint=hint)
        first, second = (part_of(row.vector[None], photos.card, COPY) for row in (rows[0], rows[1]))
        score = float(cosine(first, second)[0, 0])
        example = labeled_pair(features[0], features[1], score, calibration_of_card(photos.card))
        examples.append(replace(example, copy=copy, group=-1 - n))
    return examples


def _vectors(photos: Collection, random: np.random.Generator) -> tuple[Vectors, list[str]]:
    """Return vectors of a random sample of the collection, and their ids, to fit the tails."""
    ids = np.concatenate([part["id"] for part in photos.store.scan(["id"], where="plain = false")])
    picked = [str(i) for i in random.permutation(ids)[:_TAIL_SAMPLE]]
    rows = [row for row in photos.get(picked, []) if row is not None]
    vectors = part_of(normalize(np.stack([row.vector for row in rows])), photos.card, COPY)
    return vectors, [row.id for row in rows]
