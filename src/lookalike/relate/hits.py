"""Refine the hits of a search: judged, ranked by proof, filtered by probability, without duplicates, diversified."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, ImageError, UnknownId
from lookalike.image import read, to_text
from lookalike.image.convert import image_name
from lookalike.image.region import Region
from lookalike.parts import BOTH, COPY, part_of
from lookalike.relate.geometry.feature_cache import features_of, loader_of
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE, SIDE, Features, find_features
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.relate.relation import Subject, Verdict, judge
from lookalike.search import Collection, ImageLike, Query, Results
from lookalike.search.collection import DEFAULT_K
from lookalike.search.query import NO_PIXELS, as_query, load_query_image, parse_id
from lookalike.similarity import cosine
from lookalike.text import expanded
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


# --- the hits of a search, refined


FETCH_FACTOR = 4  # hits fetched per requested hit when some will be left out


@dataclass(frozen=True, slots=True)
class Refinement:
    """How the hits of a search are refined.

    `relations`: judge each hit. `verify`: judge the best N by geometry and rank the verified ones first. `min_score`:
    leave out hits below it. `hide_duplicates`: leave out copies of a better hit. `diversity`: from 0 (most similar
    first) to 1 (different from each other).
    """

    relations: bool = False
    verify: int | None = None
    min_score: MinScore | None = None
    hide_duplicates: bool = False
    diversity: float = 0.0

    def __post_init__(self) -> None:
        if self.verify is not None and self.verify < 1:
            raise BadQuery(f"{self.verify} hits cannot be verified; give at least 1")

    @property
    def judges(self) -> bool:
        """Whether hits are compared with the query, which must be one image."""
        return bool(self.relations or self.verify or self._by_probability)

    @property
    def compares_images(self) -> bool:
        """Whether images are compared by their features, not only by their vectors."""
        by_copy = self.min_score is not None and self.min_score.probability is not None
        return bool(self.relations or self.verify or self.hide_duplicates or by_copy)

    @property
    def _by_probability(self) -> bool:
        return self.min_score is not None and self.min_score.score is None

    def allows_score(self, score: float) -> bool:
        """Return whether a hit may pass by its score alone."""
        return self.min_score is None or self.min_score.score is None or score >= self.min_score.score

    def fetch_count(self, k: int) -> int:
        """Return the number of hits to request from the store for k refined ones."""
        more = k * FETCH_FACTOR if self.hide_duplicates or self.diversity else k
        return max(more, self.verify or 0)


@dataclass(frozen=True, slots=True)
class RefinedHits:
    """The refined `hits`, and the `verdicts` of those that were judged, by id."""

    hits: tuple[Hit, ...]
    verdicts: Mapping[str, Verdict]


def search_refined(
    photos: Collection,
    query: Query | ImageLike | Sequence[ImageLike],
    k: int = DEFAULT_K,
    *,
    refinement: Refinement,
    where: str | None = None,
    by: str = BOTH,
    recall: float | None = None,
) -> tuple[Results, Mapping[str, Verdict]]:
    """Search a collection and refine the hits. Returns the results and the verdicts of judged hits, by id."""
    parsed = as_query(query)
    min_score = None if refinement.min_score is None else refinement.min_score.score
    count = refinement.fetch_count(k)
    results = photos.search(parsed, count, where=where, min_score=min_score, by=by, recall=recall)
    if min_score is not None:
        refinement = replace(refinement, min_score=None)  # the store has applied it
    vector = None if results.model else results.vector  # the collection's own model judges
    judged = _single_subject(photos, parsed, vector=vector) if refinement.judges else parsed
    refined = refine(photos, judged, results.hits, k, refinement=refinement)
    return replace(results, hits=refined.hits), refined.verdicts


def refine(
    photos: Collection, query: Query | Subject, hits: Sequence[Hit], k: int, *, refinement: Refinement
) -> RefinedHits:
    """Return the best k of the hits of a query after a refinement.

    `hits`: best first, `refinement.fetch_count(k)` of them. Raises BadQuery if hits are to be judged and the query is
    not one image.
    """
    calibration = calibration_of(photos)
    refined = [hit for hit in hits if refinement.allows_score(hit.score)]
    judged = _judged(photos, query, refined, calibration, refinement) if refinement.judges else []
    if refinement.judges:
        refined = [one.hit for one in judged]
    if refinement.hide_duplicates:
        count = k * (FETCH_FACTOR if refinement.diversity else 1)
        refined = without_duplicates(photos, refined, calibration, count)
    if refinement.diversity:
        refined = _diverse_hits(photos, refined, k, refinement.diversity)
    refined = refined[:k]
    ids = {hit.id for hit in refined} if refinement.relations or refinement.verify else set()
    return RefinedHits(tuple(refined), {one.hit.id: one.verdict for one in judged if one.hit.id in ids})


def _judged(
    photos: Collection, query: Query | Subject, hits: Sequence[Hit], calibration: Calibration, refinement: Refinement
) -> list[JudgedHit]:
    """Return the judged hits that pass the minimum score, ranked by proof if they are to be verified."""
    subject = query if isinstance(query, Subject) else _single_subject(photos, query)
    judged = judge_hits(photos, subject, hits, calibration, verify_geometry=refinement.compares_images)
    if refinement.verify:
        judged = rank_by_proof(judged[: refinement.verify]) + judged[refinement.verify :]
    return [one for one in judged if refinement.min_score is None or refinement.min_score.allows(one)]


def _single_subject(photos: Collection, query: Query, *, vector: NDArray[np.float32] | None = None) -> Subject:
    if query.has_words:
        raise BadQuery(NO_PIXELS)
    if len(query.images) != 1 or query.minus:
        raise BadQuery(
            "relations, verification and a minimum score by probability need a single query image; search with one"
        )
    return query_subject(photos, query.images[0], next(iter(query.regions), None), vector=vector)


def _diverse_hits(photos: Collection, hits: Sequence[Hit], k: int, diversity: float) -> list[Hit]:
    stored = [(hit, row) for hit, row in zip(hits, photos.get([hit.id for hit in hits], []), strict=True) if row]
    if not stored:
        return []
    vectors = np.stack([row.vector for _, row in stored])
    order = diverse(vectors, [hit.score for hit, _ in stored], k, diversity)
    return [stored[n][0] for n in order]


# --- the steps


def query_subject(
    photos: Collection,
    image: ImageLike,
    region: Region | None = None,
    *,
    vector: NDArray[np.float32] | None = None,
) -> Subject:
    """Return the query image as a subject: a file, bytes, an array, or "id:ID".

    `vector`: that of the image or its region (all parts) if it is known, as a search's results know it; else it is
    computed. A file is read once.
    """
    query_id = parse_id(image)
    if query_id is not None and region is None:
        (row,) = photos.get([query_id], _COLUMNS)
        if row is None:
            reason, hint = f"no image has the id {query_id!r}", "ids are in the results of a search"
            raise UnknownId(reason, subject=photos.uri, location=photos.uri, hint=hint)
        (features,) = features_of(photos, [query_id])
        return _subject(photos, row, features)
    source: Any = _file_bytes(image, photos) if query_id is None else None
    if query_id is not None:
        (row,) = photos.get([query_id], ["path", "thumbnail"])
        source = None if row is None else row.metadata.get("path") or row.metadata.get("thumbnail")
    name = image_name(image)
    query_image = load_query_image(source, side=SIDE, limits=photos.limits, region=region, name=name)
    if vector is None:
        (vector,) = photos.embedder.embed([query_image])
    sha256 = hashlib.sha256(source).hexdigest() if isinstance(source, bytes) and not region else ""
    return Subject(
        name=name,
        vector=part_of(vector, photos.card, COPY),
        features=find_features(query_image, side=PREVIEW_SIDE, count=PREVIEW_COUNT),
        sha256=sha256,
        load=lambda side: load_query_image(source, side=side, limits=photos.limits, region=region),
    )


_COLUMNS = ["sha256", "path", "frame"]


def _subject(photos: Collection, row: Row, features: Features | None) -> Subject:
    sha256 = str(row.metadata.get("sha256") or "")
    vector = part_of(row.vector, photos.card, COPY)
    return Subject(name=row.id, vector=vector, features=features, sha256=sha256, load=loader_of(photos, row))


def _file_bytes(image: ImageLike, photos: Collection) -> ImageLike:
    """Return the bytes of a file, and any other image as it is. Raises ImageError, naming the file."""
    if not isinstance(image, str | Path):
        return image
    try:
        return read(to_text(expanded(image)), photos.limits)
    except ImageError as error:
        raise type(error)(f"{image_name(image)}: {error}") from error


def judge_hits(
    photos: Collection,
    query: Subject | ImageLike,
    hits: Sequence[Hit],
    calibration: Calibration | None = None,
    *,
    verify_geometry: bool = True,
) -> list[JudgedHit]:
    """Return the verdict of each hit, in the given order.

    `query`: the image that was searched for, or its subject. `calibration`: by default the collection's.
    `verify_geometry`: compare features and contents of each. Raises ImageError, UnknownId.
    """
    query = query if isinstance(query, Subject) else query_subject(photos, query)
    calibration = calibration or calibration_of(photos)
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
