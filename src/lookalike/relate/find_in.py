"""Find one image inside another, or inside those of a collection: where, how large and how rotated."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lookalike.image import single_threaded_blas, single_threaded_opencv
from lookalike.indexing.pipeline import default_workers
from lookalike.parts import COPY, weigh
from lookalike.relate.examine import LEGIBLE
from lookalike.relate.geometry.boxes import WHOLE, Box, box_around, crop, snap_to_pixels
from lookalike.relate.geometry.containment import Containment, Location, containment_kind, in_wholes, outline_iou
from lookalike.relate.geometry.feature_cache import features_of, loader_of
from lookalike.relate.geometry.features import SIDE, Features, find_features
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.probability.calibration_model import HALF, Calibration
from lookalike.relate.shared_part import MARGIN, MIN_SHARE, MIN_SIDE, PAGE_SIDE, SharedPart, Sight, judge_shared_part
from lookalike.search import Collection
from lookalike.types import RGB, Relation, Row, Vectors

PAGE_FEATURES = 3000
_TILE_SIZE = 0.5  # of either side; tiles overlap by half
_MIN_HINT_INLIERS = 4  # inliers that are worth a closer check
_MAX_SHARED_OUTLINE = 0.3  # intersection over union of two outlines, above which they are one location
_MIN_STORED_HINT = 5  # the same for the many images of a collection
_BATCH = 64


def find_in(query: RGB, page: RGB, calibration: Calibration, *, max_locations: int = 4) -> list[Location]:
    """Return the locations of the query in a larger image, surest first; empty if it is not there.

    The page is searched as a whole at 1536 px, and in overlapping tiles if that finds nothing; at each location, points
    and contents are then compared at full detail. Works from about 2% of the page's area upwards, for images with some
    detail.
    """
    sight = Sight.of(query)
    page_features = find_features(page, side=min(max(page.shape[:2]), PAGE_SIDE), count=PAGE_FEATURES)
    matches: list[Match] = []
    while len(matches) < max_locations:
        match = _find_in_whole(sight.features, page, page_features, calibration)
        if match is None:
            break
        matches.append(match)
        page_features = _features_outside(page_features, match.outline)
    matches = matches or _find_in_tiles(sight.features, page, calibration)
    if not matches:
        return []
    page_sight = Sight.of(page)
    judged = [judged_location(sight, page_sight, match, calibration) for match in matches]
    sure = [location for location in judged if location is not None]
    return sorted(sure, key=lambda location: (-location.relation, -location.probability))


def find_in_collection(
    photos: Collection,
    query: RGB,
    calibration: Calibration,
    *,
    limit: int = 1000,
    first: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Containment]:
    """Return the images of the collection that contain the query or are contained in it, surest first.

    The score of a whole image says little about a part, so up to `limit` images are verified by geometry, in about
    15 ms each: those of `first` (ids that local_search.py proposes), then the most similar ones (tiles of the query
    count too).
    """
    sight = Sight.of(query)
    order = list(dict.fromkeys((*first, *candidates(photos, query, limit))))[:limit]
    containments: list[Containment] = []
    for start in range(0, len(order), _BATCH):
        containments += verify_stored(photos, sight, order[start : start + _BATCH], calibration)
        if progress:
            progress(min(start + _BATCH, len(order)), len(order))
    return surest_first(containments)


def candidates(photos: Collection, query: RGB, limit: int) -> list[str]:
    """Return ids in the order of verification: by the best score of the query or one of its tiles."""
    images = [query, *tiles(query)]
    vectors: Vectors = photos.embedder.embed([np.ascontiguousarray(p) for p in images])
    best: dict[str, float] = {}
    weighed, _ = weigh(vectors, photos.card, COPY)
    for hits in photos.store.search(weighed, min(limit, len(photos)), columns=[]):
        for hit in hits:
            best[hit.id] = max(best.get(hit.id, -1.0), hit.score)
    return sorted(best, key=lambda i: -best[i])[:limit]


def verify_stored(
    photos: Collection, query: Sight, ids: Sequence[str], calibration: Calibration, *, limit: int | None = None
) -> list[Containment]:
    """Return how stored images lie in the query, or the query in them; without those of which that is not sure.

    Points say where; then the shared parts are judged (`judge_shared_part`): `limit` bounds for how many images, those
    with most points first. A part with other content (a variant) is not contained.
    """
    query.features.points  # noqa: B018 - found once, before threads share them
    with single_threaded_opencv(), single_threaded_blas(), ThreadPoolExecutor(default_workers()) as pool:
        rows = photos.get(ids, ["path", "frame"])
        sights = [
            None if row is None or features is None else (row, Sight(features, loader_of(photos, row)))
            for row, features in zip(rows, features_of(photos, ids), strict=True)
        ]
        known = [one for one in sights if one is not None]
        matches = list(pool.map(lambda one: verify(query.features, one[1].features), known))
        hints = [(*one, match) for one, match in zip(known, matches, strict=True) if _is_hint(match)]
        hints = sorted(hints, key=lambda hint: -hint[2].inliers)[:limit]
        containments = pool.map(lambda hint: _contained(query, hint[0], hint[1], hint[2], calibration), hints)
        return [containment for containment in containments if containment is not None]


def surest_first(containments: Sequence[Containment]) -> list[Containment]:
    """Return copies before the same objects, each by probability, then by matching points."""
    return sorted(
        containments, key=lambda c: (-c.location.relation, -c.location.probability, -c.location.inliers, c.id)
    )


def _is_hint(match: Match) -> bool:
    return match.model != "none" and match.inliers >= _MIN_STORED_HINT


def _contained(query: Sight, row: Row, stored: Sight, hint: Match, calibration: Calibration) -> Containment | None:
    location = judged_location(query, stored, hint, calibration)
    if location is None:
        return None
    path = str(row.metadata.get("path") or row.id)
    return Containment(row.id, path, containment_kind(location.match), location)


def judged_location(first: Sight, second: Sight, hint: Match, calibration: Calibration) -> Location | None:
    """Return where the first image lies in the second, by a match of the whole images as a hint.

    None if the parts that they share are neither a copy nor the same object.
    """
    part = judge_shared_part(first, second, hint, calibration)
    if part is None:
        return None
    verdict = part.verdict
    if verdict.relation >= Relation.COPY:
        return _location(part, Relation.COPY, verdict.copy)
    content = verdict.evidence.content
    is_page = content is not None and content.drawn > LEGIBLE  # two pages of one form are no object
    if verdict.relation == Relation.SAME_OBJECT and not is_page:
        return _location(part, Relation.SAME_OBJECT, verdict.probability)
    return None


def _location(part: SharedPart, relation: Relation, probability: float) -> Location:
    match = part.match
    return Location(
        outline=match.outline,
        share=match.kept_second,
        turn=match.turn,
        scale=match.scale,
        mirrored=match.mirrored,
        probability=probability,
        inliers=match.inliers,
        match=match,
        relation=relation,
        shared=(part.in_first, part.in_second),
    )


def tiles(page: RGB, share: float = _TILE_SIZE) -> Iterator[RGB]:
    """Yield parts of an image that overlap by half."""
    for x, y in _tile_corners(share):
        yield crop(page, (x, y, share, share))


def _find_in_whole(query: Features, page: RGB, page_features: Features, calibration: Calibration) -> Match | None:
    match = verify(query, page_features, frames=False)
    if match.inliers < _MIN_HINT_INLIERS:
        return None
    closer = _verify_closely(query, page, match.outline)
    best = closer if closer is not None and closer.inliers >= _MIN_HINT_INLIERS else match
    return best if _is_likely(best, calibration) else None


def _verify_closely(query: Features, page: RGB, outline: NDArray[np.float64]) -> Match | None:
    """Verify again at full detail on the part of the page inside the outline."""
    box = box_around(outline, margin=MARGIN)
    if min(box[2:]) <= MIN_SHARE:
        return None
    box = snap_to_pixels(page, box)
    part = crop(page, box)
    if min(part.shape[:2]) < MIN_SIDE:
        return None
    return _in_page(verify(query, find_features(part), frames=False), query, page, box)


def _find_in_tiles(query: Features, page: RGB, calibration: Calibration) -> list[Match]:
    matches: list[Match] = []
    for x, y in _tile_corners(_TILE_SIZE):
        box = (x, y, _TILE_SIZE, _TILE_SIZE)
        part = crop(page, box)
        if min(part.shape[:2]) < 2 * MIN_SIDE:
            continue
        features = find_features(part, side=max(SIDE, min(max(part.shape[:2]), PAGE_SIDE)))
        hint = _in_page(verify(query, features, frames=False), query, page, box)
        if hint is None or hint.inliers < _MIN_HINT_INLIERS:
            continue
        match = _verify_closely(query, page, hint.outline)
        if match is None or not _is_likely(match, calibration):
            continue
        if all(outline_iou(match.outline, other.outline) < _MAX_SHARED_OUTLINE for other in matches):
            matches.append(match)
    return matches


def _is_likely(match: Match, calibration: Calibration) -> bool:
    """Return whether the points alone speak for a copy."""
    return match.model != "none" and calibration.copy_by_match(None, match) >= HALF


def _in_page(match: Match, query: Features, page: RGB, box: Box) -> Match | None:
    """Turn a match with a part of the page into one with the page."""
    height, width = page.shape[:2]
    return in_wholes(match, (WHOLE, (query.width, query.height)), (box, (width, height)))


def _features_outside(features: Features, outline: NDArray[np.float64]) -> Features:
    """Return the features outside an outline, to find the next location."""
    import cv2

    positions = features.points[:, :2] / features.work
    border = np.asarray(outline, np.float32).reshape(-1, 1, 2)
    distances = [cv2.pointPolygonTest(border, (float(x), float(y)), measureDist=False) for x, y in positions]
    outside = np.array([distance < 0 for distance in distances], bool)
    return replace(features, precomputed=(features.points[outside], features.descriptors[outside]))


def _tile_corners(share: float) -> Iterator[tuple[float, float]]:
    steps = np.arange(0, 1 - share + 1e-6, share / 2)
    return ((float(x), float(y)) for y in steps for x in steps)
