"""Verdicts for the hits of a search: ranked by proof, filtered by probability, without duplicates, diversified."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import BadQuery, UnknownId
from lookalike.image import read, to_text
from lookalike.image.convert import image_name
from lookalike.image.region import Region
from lookalike.relate.geometry.feature_cache import features_of, loader_of
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE, SIDE, Features, find_features
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.relation import Subject, Verdict, judge
from lookalike.search import Collection, ImageLike
from lookalike.search.query import load_query_image, parse_id
from lookalike.similarity import cosine
from lookalike.types import Hit, Relation, Row, Vectors


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """A hit and its relation to the query."""

    hit: Hit
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MinScore:
    """A cut-off as a user writes it: "0.4" is a score, "90%" a probability of copy, "e0.1" expected false matches."""

    score: float | None = None
    probability: float | None = None
    false_matches: float | None = None

    def allows(self, judged: JudgedHit) -> bool:
        """Return whether a judged hit passes. Unknown values do not pass."""
        if self.probability is not None:
            return judged.verdict.copy >= self.probability
        if self.false_matches is not None:
            false = judged.verdict.expected_false_matches
            return false is not None and false <= self.false_matches
        return self.score is None or judged.hit.score >= self.score


def parse_min_score(text: str) -> MinScore:
    """Parse "0.4", "90%" or "e0.1". Raises BadQuery."""
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if 0 <= share <= 1:
                return MinScore(probability=share)
        elif text[:1] in ("e", "E"):
            false = float(text[1:])
            if false >= 0:
                return MinScore(false_matches=false)
        elif -1 <= float(text) <= 1:
            return MinScore(score=float(text))
    except ValueError:
        pass
    raise BadQuery(
        f"the cut-off {text!r} is not understood; write a score from -1 to 1 (0.4), a probability of copy (90%), or "
        "expected false matches (e0.1)"
    )


def query_subject(photos: Collection, image: ImageLike, region: Region | None = None) -> Subject:
    """Return the query image as a subject: a file, bytes, an array, or "id:ID"."""
    query_id = parse_id(image)
    if query_id is not None and region is None:
        (row,) = photos.get([query_id], _COLUMNS)
        if row is None:
            reason, hint = f"no image has the id {query_id!r}", "ids are in the results of a search"
            raise UnknownId(reason, subject=photos.uri, location=photos.uri, hint=hint)
        (features,) = features_of(photos, [query_id])
        return _subject(photos, row, features)
    source: Any = image
    if query_id is not None:
        (row,) = photos.get([query_id], ["path", "thumbnail"])
        source = None if row is None else row.metadata.get("path") or row.metadata.get("thumbnail")
    query_image = load_query_image(source, side=SIDE, limits=photos.limits, region=region)
    (vector,) = photos.embedder.embed([query_image])
    sha256 = "" if region else _digest(image, photos)
    return Subject(
        name=image_name(image),
        vector=vector,
        features=find_features(query_image, side=PREVIEW_SIDE, count=PREVIEW_COUNT),
        sha256=sha256,
        load=lambda side: load_query_image(source, side=side, limits=photos.limits, region=region),
    )


_COLUMNS = ["sha256", "path", "frame"]


def _subject(photos: Collection, row: Row, features: Features | None) -> Subject:
    sha256 = str(row.metadata.get("sha256") or "")
    return Subject(name=row.id, vector=row.vector, features=features, sha256=sha256, load=loader_of(photos, row))


def _digest(image: ImageLike, photos: Collection) -> str:
    """Return the SHA-256 of a file's bytes, as the collection stores it; "" for pixels."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, str | Path):
        return hashlib.sha256(read(to_text(Path(image).expanduser()), photos.limits)).hexdigest()
    return ""


def judge_hits(
    photos: Collection, query: Subject, hits: Sequence[Hit], calibration: Calibration, *, verify_geometry: bool = True
) -> list[JudgedHit]:
    """Return the verdict of each hit, in the given order. `verify_geometry`: compare features and contents of each."""
    ids = [hit.id for hit in hits]
    features = features_of(photos, ids) if verify_geometry else [None] * len(ids)
    rows = photos.get(ids, _COLUMNS)
    level = 0.0 if query.vector is None else float(calibration.level_of(query.vector[None])[0])
    judged = []
    for hit, row, image_features in zip(hits, rows, features, strict=True):
        other = Subject(name=hit.id) if row is None else _subject(photos, row, image_features)
        verdict = judge(query, other, calibration, size=len(photos), level=level, verify_geometry=verify_geometry)
        judged.append(JudgedHit(hit, verdict))
    return judged


def rank_by_proof(judged: Sequence[JudgedHit]) -> list[JudgedHit]:
    """Sort by relation: surest copies first, then the same object, then by score."""

    def rank(one: JudgedHit) -> tuple[float, float, float]:
        verdict = one.verdict
        same = verdict.probability if verdict.relation is Relation.SAME_OBJECT else 0.0
        return (-round(verdict.copy, 3) if verdict.copy >= 0.5 else 0.0, -round(same, 3), -one.hit.score)

    return sorted(judged, key=rank)


def without_duplicates(photos: Collection, hits: Sequence[Hit], calibration: Calibration, k: int) -> list[Hit]:
    """Return the first k hits of which none is a copy of a better one.

    The score decides where it is certain, the geometry elsewhere.
    """
    rows = photos.get([hit.id for hit in hits], _COLUMNS)
    selected: list[tuple[Hit, Subject]] = []
    for hit, row in zip(hits, rows, strict=True):
        if row is None:
            continue
        subject = _subject(photos, row, None)
        if not any(_is_copy(photos, subject, other, calibration) for _, other in selected):
            selected.append((hit, subject))
        if len(selected) == k:
            break
    return [hit for hit, _ in selected]


_MIN_SCORE_COPY = 0.05


def _is_copy(photos: Collection, a: Subject, b: Subject, calibration: Calibration) -> bool:
    if a.vector is None or b.vector is None:
        return False
    if a.sha256 and a.sha256 == b.sha256:
        return True
    score = cosine(a.vector[None], b.vector[None])[0]
    if calibration.by_score is not None and float(calibration.copy_by_score(score)[0]) < _MIN_SCORE_COPY:
        return False
    first, second = features_of(photos, [a.name, b.name])
    pair = replace(a, features=first), replace(b, features=second)
    return judge(pair[0], pair[1], calibration, depth="points").relation >= Relation.COPY


def diverse(vectors: Vectors, scores: Sequence[float], k: int, diversity: float) -> list[int]:
    """Return the positions of k hits that are similar to the query and different from each other.

    `diversity`: 0 ranks by score alone, 1 by difference alone. Maximal marginal relevance: Carbonell, Goldstein,
    SIGIR 1998.
    """
    if not 0 <= diversity <= 1:
        raise BadQuery(f"the diversity {diversity} is not from 0 to 1")
    similarities = cosine(vectors, vectors)
    remaining = list(range(len(scores)))
    selected: list[int] = []
    while remaining and len(selected) < k:
        nearest = similarities[np.ix_(remaining, selected)].max(axis=1) if selected else np.zeros(len(remaining))
        gain = (1 - diversity) * np.array([scores[i] for i in remaining]) - diversity * nearest
        selected.append(remaining.pop(int(gain.argmax())))
    return selected
