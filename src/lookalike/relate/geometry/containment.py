"""Find one image inside another: where, how large and how rotated; also in all images of a collection."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.parts import COPY, weigh
from lookalike.relate.geometry.feature_cache import features_of
from lookalike.relate.geometry.features import SIDE, Features, find_features
from lookalike.relate.geometry.transform import UNIT_SQUARE, Matrix, intersection_area, project
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.search import Collection
from lookalike.types import RGB, Vectors

Box = tuple[float, float, float, float]  # x, y, width, height as fractions of the image

PAGE_SIDE = 1536
PAGE_FEATURES = 3000
_TILE_SIZE = 0.5  # of either side; tiles overlap by half
_MARGIN = 0.2
_MIN_HINT_INLIERS = 4  # inliers that are worth a closer check


@dataclass(frozen=True, slots=True)
class Location:
    """Where an image lies in another one.

    `outline`: (4, 2), its corners as fractions of the larger image, clockwise from its own top left. `share`: of the
    larger image's area. `turn`: degrees clockwise. `scale`: pixels there per pixel of the query.
    """

    outline: NDArray[np.float64]
    share: float
    turn: float
    scale: float
    mirrored: bool
    probability: float
    inliers: int
    match: Match


@dataclass(frozen=True, slots=True)
class Containment:
    """An image that contains the query (kind "inside"), is contained in it ("holds"), or overlaps it ("overlaps").

    `kind` is that of `containment_kind`.
    """

    id: str
    path: str
    kind: str
    location: Location


def find_in(query: RGB, page: RGB, calibration: Calibration, *, max_locations: int = 4) -> list[Location]:
    """Return the locations of the query in a larger image, surest first; empty if it is not there.

    The page is searched as a whole at 1536 px, and in overlapping tiles if that finds nothing; each location is then
    verified at full detail. Works from about 2% of the page's area upwards, for images with some detail.
    """
    query_features = find_features(query)
    page_features = find_features(page, side=min(max(page.shape[:2]), PAGE_SIDE), count=PAGE_FEATURES)
    locations: list[Location] = []
    while len(locations) < max_locations:
        location = _find_in_whole(query_features, query, page, page_features, calibration)
        if location is None:
            break
        locations.append(location)
        page_features = _features_outside(page_features, location.outline)
    if not locations:
        locations = _find_in_tiles(query_features, page, calibration)
    return sorted(locations, key=lambda location: -location.probability)


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
    query_features = find_features(query)
    order = list(dict.fromkeys((*first, *candidates(photos, query, limit))))[:limit]
    containments: list[Containment] = []
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        paths = [str(row.metadata.get("path") or row.id) if row else "" for row in photos.get(batch, ["path"])]
        for image_id, path, features in zip(batch, paths, features_of(photos, batch), strict=True):
            location = None if features is None else to_location(verify(query_features, features), calibration)
            if location is not None:
                containments.append(Containment(image_id, path, containment_kind(location.match), location))
        if progress:
            progress(min(start + 64, len(order)), len(order))
    return sorted(containments, key=lambda f: -f.location.probability)


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


def tiles(page: RGB, share: float = _TILE_SIZE) -> Iterator[RGB]:
    """Yield parts of an image that overlap by half."""
    for x, y in _tile_corners(share):
        yield crop(page, (x, y, share, share))


def outline_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the intersection over union of two convex outlines (4, 2) in one frame."""
    shared = intersection_area(first, second)
    union = sum(intersection_area(outline, outline) for outline in (first, second)) - shared
    return shared / union if union > 0 else 0.0


def _find_in_whole(
    query_features: Features, query: RGB, page: RGB, page_features: Features, calibration: Calibration
) -> Location | None:
    match = verify(query_features, page_features, frames=False)
    if match.inliers < _MIN_HINT_INLIERS:
        return None
    closer = _verify_closely(query_features, page, match.outline)
    best = closer if closer is not None and closer.inliers >= _MIN_HINT_INLIERS else match
    return to_location(best, calibration)


def _verify_closely(query_features: Features, page: RGB, outline: NDArray[np.float64]) -> Match | None:
    """Verify again at full detail on the part of the page inside the outline."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = _MARGIN * (high - low)
    low, high = np.clip(low - margin, 0, 1), np.clip(high + margin, 0, 1)
    if (high - low).min() <= 0.01:
        return None
    box = snap_to_pixels(page, (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])))
    part = crop(page, box)
    if min(part.shape[:2]) < 16:
        return None
    return _in_page(verify(query_features, find_features(part), frames=False), box)


def _find_in_tiles(query_features: Features, page: RGB, calibration: Calibration) -> list[Location]:
    locations: list[Location] = []
    for x, y in _tile_corners(_TILE_SIZE):
        box = (x, y, _TILE_SIZE, _TILE_SIZE)
        part = crop(page, box)
        if min(part.shape[:2]) < 32:
            continue
        hint = verify(
            query_features, find_features(part, side=max(SIDE, min(max(part.shape[:2]), PAGE_SIDE))), frames=False
        )
        closer = (
            _verify_closely(query_features, page, _in_page(hint, box).outline)
            if hint.inliers >= _MIN_HINT_INLIERS
            else None
        )
        location = None if closer is None else to_location(closer, calibration)
        if location is not None and all(outline_iou(location.outline, other.outline) < 0.3 for other in locations):
            locations.append(location)
    return locations


def to_location(match: Match, calibration: Calibration) -> Location | None:
    probability = calibration.copy_by_match(None, match)
    if match.model == "none" or probability < 0.5:
        return None
    return Location(
        match.outline,
        match.kept_second,
        match.turn,
        match.scale,
        match.mirrored,
        probability,
        match.inliers,
        match,
    )


def containment_kind(match: Match) -> str:
    """Return how the first image lies in the second: "inside", "holds", "the same image" or "overlaps"."""
    inside, holds = match.kept_first >= 0.9, match.kept_second >= 0.9
    if inside and holds:
        return "the same image"
    return "inside" if inside else "holds" if holds else "overlaps"


def part_shown(match: Match) -> NDArray[np.float64]:
    """Return (4, 2), the second's corners as fractions of the first: the part of the first that the second shows."""
    return project(np.linalg.inv(match.transform), UNIT_SQUARE)


def box_to_page(box: Box) -> Matrix:
    """Return the matrix from fractions of a part to fractions of the whole."""
    x, y, width, height = box
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1]])


def _in_page(match: Match, box: Box) -> Match:
    """Turn a match with a part of the page into one with the page. `box`: the part, as fractions of the page."""
    x, y, width, height = box
    points = match.points.copy()
    points[:, 2:] = points[:, 2:] * (width, height) + (x, y)
    transform = box_to_page(box) @ match.transform
    return replace(
        match,
        transform=transform,
        outline=project(transform, UNIT_SQUARE) if match.model != "none" else match.outline,
        points=points,
        kept_second=match.kept_second * width * height,
    )


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


def crop(page: RGB, box: Box) -> RGB:
    """Return a part of an image at full resolution; exactly the box if it comes from `snap_to_pixels`."""
    left, top, right, bottom = box_edges(page.shape[:2], box)
    return np.ascontiguousarray(page[top:bottom, left:right])


def snap_to_pixels(page: RGB, box: Box) -> Box:
    """Return the box that `crop` returns: in a small part, an offset of half a pixel is a visible difference."""
    height, width = page.shape[:2]
    left, top, right, bottom = box_edges((height, width), box)
    return left / width, top / height, (right - left) / width, (bottom - top) / height


def box_edges(shape: tuple[int, ...], box: Box) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a box in pixels of an image of (height, width); at least one pixel."""
    height, width = shape
    x, y, w, h = box
    left, top = min(int(x * width + 1e-6), width - 1), min(int(y * height + 1e-6), height - 1)
    return left, top, max(left + 1, round((x + w) * width)), max(top + 1, round((y + h) * height))
