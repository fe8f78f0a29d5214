"""Fit a collection's own calibration: from its pictures, from what a person decided, from labelled pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, ImageError
from lookalike.image import decode, read
from lookalike.relate.geometry.feature_cache import features_of
from lookalike.relate.geometry.features import SIDE
from lookalike.relate.probability.calibration_fit import (
    EDITS_EACH,
    Example,
    Sample,
    calibration_error,
    chances,
    example_of,
    fit_scores,
    fit_tails,
    make_examples,
    queries_of,
    work_picture,
)
from lookalike.relate.probability.calibration_model import Calibration, of_card
from lookalike.relate.probability.calibration_store import keep_calibration
from lookalike.search import Collection
from lookalike.similarity import cosine, normalize
from lookalike.types import RGB, Row, Vectors

LEAST = 20  # pictures
DECISIONS = "decisions"  # the table that duplicates keeps them in: pair "sha|sha", verdict
_TAIL_SAMPLE = 2000
_COUNT_DECIDED = 5  # a person's word counts as much as so many made-up pairs


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration and how it did on pictures that were left out of the fit."""

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
    labelled: Sequence[tuple[str, str, bool]] = (),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Fit and keep the collection's own calibration.

    `sample`: pictures whose files are edited to make copies, `edits` of each; one in three is left out of the fit, and
    the error is measured on those. `labelled`: (id, id, is a copy). Decisions that `duplicates` keeps are used without
    asking.
    Raises BadQuery below 20 pictures, ReadOnly.
    """
    random = np.random.default_rng(seed)
    rows = _sampled(photos, random, sample)
    pictures = _pictures(photos, rows)
    if len(pictures) < LEAST:
        raise BadQuery(
            f"{photos.uri} has {len(pictures)} pictures at hand that are not plain; a calibration of its own takes "
            f"{LEAST}. Until then the model's is used"
        )
    start = of_card(photos.card)
    made = make_examples(_sample(photos, pictures, progress), start, each=edits, seed=seed)
    told = [*_decided(photos), *_labelled(photos, labelled)]
    fitting = [e for e in made.pairs if e.group % 3] + told * _COUNT_DECIDED
    testing = [e for e in made.pairs if not e.group % 3]
    vectors, ids = _vectors(photos, random)
    fitted = fit_tails(vectors, fit_scores(fitting, start))
    stated, truth = chances(testing, fitted), np.array([e.copy for e in testing])
    facts = _facts(photos, len(pictures), len(fitting), len(testing), calibration_error(stated, truth), len(told))
    fitted = replace(fitted, facts=facts, source="collection")
    keep_calibration(photos, fitted, ids[queries_of(len(ids)) :])
    return Fitted(fitted, stated, truth, len(told), made.left_out)


def _facts(photos: Collection, pictures: int, pairs: int, held_out: int, error: float, told: int) -> dict[str, Any]:
    made = datetime.now(UTC).date().isoformat()
    names = ("pictures", "pairs", "held_out", "error", "decisions", "size", "made")
    return dict(zip(names, (pictures, pairs, held_out, round(error, 4), told, len(photos), made), strict=True))


def _sampled(photos: Collection, random: np.random.Generator, count: int) -> list[Row]:
    """Random rows that are not plain."""
    ids = np.concatenate([part["id"] for part in photos.store.scan(["id"], where="plain = false")] or [np.array([])])
    picked = [str(i) for i in random.permutation(ids)[: 2 * count]]
    rows = photos.get(picked, ["path", "thumbnail", "sha256", "frame"])
    seen: dict[str, Row] = {}
    for row in rows:
        if row is not None:
            seen.setdefault(str(row.metadata.get("sha256") or row.id), row)
    return list(seen.values())[:count]


def _pictures(photos: Collection, rows: Sequence[Row]) -> dict[str, RGB]:
    """Pixels by id, of the files; of the thumbnails where a file is out of reach."""
    found = {}
    for row in rows:
        path, jpeg = row.metadata.get("path"), row.metadata.get("thumbnail")
        try:
            data = read(path, photos.limits) if isinstance(path, str) else jpeg
            found[row.id] = _decoded(data)
        except ImageError:
            if isinstance(jpeg, bytes):
                found[row.id] = _decoded(jpeg)
    return found


def _decoded(data: Any) -> RGB:
    return work_picture(decode(data, side=SIDE // 2).image)


def _sample(photos: Collection, pictures: dict[str, RGB], progress: Callable[[int, int], None] | None) -> Sample:
    ids = list(pictures)
    vectors = normalize(np.stack([row.vector for row in photos.get(ids, []) if row is not None]))
    features = [f for f in features_of(photos, ids) if f is not None]
    if progress:
        progress(len(ids), len(ids))
    return Sample(list(pictures.values()), vectors, features, photos.embedder)


def _decided(photos: Collection) -> list[Example]:
    """What a person said of pairs of the collection, found again by the files' hashes."""
    rows = photos.store.table(DECISIONS, key="pair").all()
    if not rows:
        return []
    by_hash: dict[str, str] = {}
    for part in photos.store.scan(["id", "sha256"]):
        by_hash.update(zip(map(str, part["sha256"]), map(str, part["id"]), strict=True))
    pairs = []
    for row in rows:
        first, _, second = str(row["pair"]).partition("|")
        # The very same bytes teach nothing.
        if first != second and first in by_hash and second in by_hash:
            pairs.append((by_hash[first], by_hash[second], row["verdict"] != "not-a-copy"))
    return _labelled(photos, pairs)


def _labelled(photos: Collection, pairs: Sequence[tuple[str, str, bool]]) -> list[Example]:
    made = []
    for n, (a, b, copy) in enumerate(pairs):
        rows, features = photos.get([a, b], []), features_of(photos, [a, b])
        if rows[0] is None or rows[1] is None or features[0] is None or features[1] is None:
            raise BadQuery(f"the pair {a}, {b} is not in {photos.uri}; take both in with: lookalike index")
        score = float(cosine(rows[0].vector[None], rows[1].vector[None])[0, 0])
        seen = example_of(features[0], features[1], score, of_card(photos.card))
        made.append(replace(seen, copy=copy, group=-1 - n))
    return made


def _vectors(photos: Collection, random: np.random.Generator) -> tuple[Vectors, list[str]]:
    """Vectors of a random sample of the collection for the tails, and their ids."""
    ids = np.concatenate([part["id"] for part in photos.store.scan(["id"], where="plain = false")])
    picked = [str(i) for i in random.permutation(ids)[:_TAIL_SAMPLE]]
    rows = [row for row in photos.get(picked, []) if row is not None]
    vectors = normalize(np.stack([row.vector for row in rows]))
    return vectors, [row.id for row in rows]
