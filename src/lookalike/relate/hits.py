"""The hits of a search, judged: relation and probability of each; ranked by proof, without duplicates, spread out."""

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
class Judged:
    """A hit and what it is to the query."""

    hit: Hit
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MinScore:
    """A cut-off as a person may write it: "0.4" a score, "90%" a probability of copy, "e0.1" expected false matches."""

    score: float | None = None
    probability: float | None = None
    false_matches: float | None = None

    def allows(self, judged: Judged) -> bool:
        """Whether a judged hit passes. What is unknown does not."""
        if self.probability is not None:
            return judged.verdict.copy >= self.probability
        if self.false_matches is not None:
            false = judged.verdict.expected_false_matches
            return false is not None and false <= self.false_matches
        return self.score is None or judged.hit.score >= self.score


def parse_min_score(text: str) -> MinScore:
    """Read "0.4", "90%" or "e0.1". Raises BadQuery."""
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
    """What is known of the picture that is asked: a file, bytes, an array, or "id:ID"."""
    wanted = parse_id(image)
    if wanted is not None and region is None:
        (row,) = photos.get([wanted], _FACTS)
        if row is None:
            raise UnknownId(f"no image has the id {wanted!r} in {photos.uri}; ids are what a search prints")
        (features,) = features_of(photos, [wanted])
        return _subject(photos, row, features)
    source: Any = image
    if wanted is not None:
        (row,) = photos.get([wanted], ["path", "thumbnail"])
        source = None if row is None else row.metadata.get("path") or row.metadata.get("thumbnail")
    picture = load_query_image(source, side=SIDE, limits=photos.limits, region=region)
    (vector,) = photos.embedder.embed([picture])
    sha256 = "" if region else _digest(image, photos)
    return Subject(
        name=image_name(image),
        vector=vector,
        features=find_features(picture, side=PREVIEW_SIDE, count=PREVIEW_COUNT),
        sha256=sha256,
        load=lambda side: load_query_image(source, side=side, limits=photos.limits, region=region),
    )


_FACTS = ["sha256", "path", "frame"]


def _subject(photos: Collection, row: Row, features: Features | None) -> Subject:
    sha256 = str(row.metadata.get("sha256") or "")
    return Subject(name=row.id, vector=row.vector, features=features, sha256=sha256, load=loader_of(photos, row))


def _digest(image: ImageLike, photos: Collection) -> str:
    """The SHA-256 of a file's bytes, as the collection keeps it; "" for pixels."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, str | Path):
        return hashlib.sha256(read(to_text(Path(image).expanduser()), photos.limits)).hexdigest()
    return ""


def judge_hits(
    photos: Collection, query: Subject, hits: Sequence[Hit], calibration: Calibration, *, look: bool = True
) -> list[Judged]:
    """The verdict of each hit, in the order given. `look`: verify each by geometry."""
    ids = [hit.id for hit in hits]
    features = features_of(photos, ids) if look else [None] * len(ids)
    rows = photos.get(ids, _FACTS)
    level = 0.0 if query.vector is None else float(calibration.level_of(query.vector[None])[0])
    judged = []
    for hit, row, seen in zip(hits, rows, features, strict=True):
        other = Subject(name=hit.id) if row is None else _subject(photos, row, seen)
        verdict = judge(query, other, calibration, size=len(photos), level=level, look=look)
        judged.append(Judged(hit, verdict))
    return judged


def by_proof(judged: Sequence[Judged]) -> list[Judged]:
    """Surest copies first, then the same object, then by score."""

    def rank(one: Judged) -> tuple[float, float, float]:
        verdict = one.verdict
        same = verdict.probability if verdict.relation is Relation.SAME_OBJECT else 0.0
        return (-round(verdict.copy, 3) if verdict.copy >= 0.5 else 0.0, -round(same, 3), -one.hit.score)

    return sorted(judged, key=rank)


def without_duplicates(photos: Collection, hits: Sequence[Hit], calibration: Calibration, k: int) -> list[Hit]:
    """The first k hits of which none is a copy of a better one.

    The score decides where it is certain, geometry where it is not.
    """
    rows = photos.get([hit.id for hit in hits], _FACTS)
    kept: list[tuple[Hit, Subject]] = []
    for hit, row in zip(hits, rows, strict=True):
        if row is None:
            continue
        subject = _subject(photos, row, None)
        if not any(_copies(photos, subject, other, calibration) for _, other in kept):
            kept.append((hit, subject))
        if len(kept) == k:
            break
    return [hit for hit, _ in kept]


_WORTH_A_LOOK = 0.05


def _copies(photos: Collection, a: Subject, b: Subject, calibration: Calibration) -> bool:
    if a.vector is None or b.vector is None:
        return False
    if a.sha256 and a.sha256 == b.sha256:
        return True
    score = cosine(a.vector[None], b.vector[None])[0]
    if calibration.by_score is not None and float(calibration.copy_by_score(score)[0]) < _WORTH_A_LOOK:
        return False
    first, second = features_of(photos, [a.name, b.name])
    seen = replace(a, features=first), replace(b, features=second)
    return judge(seen[0], seen[1], calibration, depth="points").relation >= Relation.COPY


def diverse(vectors: Vectors, scores: Sequence[float], k: int, diversity: float) -> list[int]:
    """Positions of k hits that are alike the query and unlike each other.

    `diversity`: 0 is by score alone, 1 by difference alone. Maximal marginal relevance: Carbonell, Goldstein,
    SIGIR 1998.
    """
    if not 0 <= diversity <= 1:
        raise BadQuery(f"the diversity {diversity} is not from 0 to 1")
    among = cosine(vectors, vectors)
    left = list(range(len(scores)))
    chosen: list[int] = []
    while left and len(chosen) < k:
        nearest = among[np.ix_(left, chosen)].max(axis=1) if chosen else np.zeros(len(left))
        gain = (1 - diversity) * np.array([scores[i] for i in left]) - diversity * nearest
        chosen.append(left.pop(int(gain.argmax())))
    return chosen
