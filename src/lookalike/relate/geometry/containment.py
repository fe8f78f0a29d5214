"""Is one picture inside another: where, how large, turned how? Also against all pictures of a collection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.feature_cache import features_of
from lookalike.relate.geometry.features import SIDE, Features, find_features
from lookalike.relate.geometry.transform import UNIT, Matrix, project, shared_area
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.search import Collection
from lookalike.types import RGB, Vectors

Box = tuple[float, float, float, float]  # x, y, width, height in shares of the picture

PAGE_SIDE = 1536
PAGE_FEATURES = 3000
_TILE = 0.5  # of either side, overlapping by half
_MARGIN = 0.2
_HINT = 4  # inliers that are worth a closer look


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies in another.

    `outline`: (4, 2), its corners in shares of the larger picture, from its own top left clockwise; `share`: of the
    larger picture's area; `turn`: degrees clockwise; `scale`: pixels there for one of the query's.
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
class Found:
    """A collection's image that the query is inside of ("inside"), or that is inside the query ("holds"), or both."""

    id: str
    path: str
    how: str
    place: Place


def find_in(query: RGB, page: RGB, calibration: Calibration, *, most: int = 4) -> list[Place]:
    """Every place of the query in a larger picture, surest first; empty where it is not there.

    The page is searched whole at 1536 px, and in overlapping tiles where that finds nothing; a place found is looked at
    again from near. Works from about 2 % of the page's area upwards, for pictures with some detail.
    """
    wanted = find_features(query)
    rest = find_features(page, side=min(max(page.shape[:2]), PAGE_SIDE), count=PAGE_FEATURES)
    found: list[Place] = []
    while len(found) < most:
        place = _whole(wanted, query, page, rest, calibration)
        if place is None:
            break
        found.append(place)
        rest = _without(rest, place.outline)
    if not found:
        found = _in_tiles(wanted, page, calibration)
    return sorted(found, key=lambda place: -place.probability)


def find_in_collection(
    photos: Collection,
    query: RGB,
    calibration: Calibration,
    *,
    limit: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> list[Found]:
    """Images of the collection that hold the query, or that the query holds; surest first.

    The score of the whole picture says little about a part, so that up to `limit` images are verified by geometry, most
    alike first (parts of the query count too): about 15 ms each.
    """
    wanted = find_features(query)
    order = candidates(photos, query, limit)
    found: list[Found] = []
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        paths = [str(row.metadata.get("path") or row.id) if row else "" for row in photos.get(part, ["path"])]
        for image_id, path, features in zip(part, paths, features_of(photos, part), strict=True):
            place = None if features is None else _placed(verify(wanted, features), calibration)
            if place is not None:
                found.append(Found(image_id, path, how(place.match), place))
        if progress:
            progress(min(start + 64, len(order)), len(order))
    return sorted(found, key=lambda f: -f.place.probability)


def candidates(photos: Collection, query: RGB, limit: int) -> list[str]:
    """Ids in the order in which they are worth a look: by the best score of the query or one of its parts."""
    pictures = [query, *tiles(query)]
    vectors: Vectors = photos.embedder.embed([np.ascontiguousarray(p) for p in pictures])
    best: dict[str, float] = {}
    for hits in photos.store.search(vectors, min(limit, len(photos)), columns=[]):
        for hit in hits:
            best[hit.id] = max(best.get(hit.id, -1.0), hit.score)
    return sorted(best, key=lambda i: -best[i])[:limit]


def tiles(page: RGB, share: float = _TILE) -> Iterator[RGB]:
    """Parts of a picture that overlap by half."""
    for x, y in _corners(share):
        yield cut(page, (x, y, share, share))


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Intersection over union of two convex outlines (4, 2) of one frame."""
    shared = shared_area(first, second)
    union = sum(shared_area(outline, outline) for outline in (first, second)) - shared
    return shared / union if union > 0 else 0.0


def _whole(wanted: Features, query: RGB, page: RGB, rest: Features, calibration: Calibration) -> Place | None:
    match = verify(wanted, rest, frames=False)
    if match.inliers < _HINT:
        return None
    nearer = _from_near(wanted, page, match.outline)
    best = nearer if nearer is not None and nearer.inliers >= _HINT else match
    return _placed(best, calibration)


def _from_near(wanted: Features, page: RGB, outline: NDArray[np.float64]) -> Match | None:
    """Verify again on the part of the page that the outline points at, at full detail."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = _MARGIN * (high - low)
    low, high = np.clip(low - margin, 0, 1), np.clip(high + margin, 0, 1)
    if (high - low).min() <= 0.01:
        return None
    box = on_pixels(page, (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])))
    part = cut(page, box)
    if min(part.shape[:2]) < 16:
        return None
    return _moved(verify(wanted, find_features(part), frames=False), box)


def _in_tiles(wanted: Features, page: RGB, calibration: Calibration) -> list[Place]:
    found: list[Place] = []
    for x, y in _corners(_TILE):
        box = (x, y, _TILE, _TILE)
        part = cut(page, box)
        if min(part.shape[:2]) < 32:
            continue
        hint = verify(wanted, find_features(part, side=max(SIDE, min(max(part.shape[:2]), PAGE_SIDE))), frames=False)
        near = _from_near(wanted, page, _moved(hint, box).outline) if hint.inliers >= _HINT else None
        place = None if near is None else _placed(near, calibration)
        if place is not None and all(overlap(place.outline, other.outline) < 0.3 for other in found):
            found.append(place)
    return found


def _placed(match: Match, calibration: Calibration) -> Place | None:
    probability = calibration.copy_by_match(None, match)
    if match.model == "none" or probability < 0.5:
        return None
    return Place(
        match.outline,
        match.kept_second,
        match.turn,
        match.scale,
        match.mirrored,
        probability,
        match.inliers,
        match,
    )


def how(match: Match) -> str:
    """Whether the first is "inside" the second, or "holds" it, or both are "the same picture", or it "overlaps"."""
    inside, holds = match.kept_first >= 0.9, match.kept_second >= 0.9
    if inside and holds:
        return "the same picture"
    return "inside" if inside else "holds" if holds else "overlaps"


def part_shown(match: Match) -> NDArray[np.float64]:
    """(4, 2): the second's corners in shares of the first, so the part of the first that the second shows."""
    return project(np.linalg.inv(match.transform), UNIT)


def onto(box: Box) -> Matrix:
    """From shares of a part to shares of the whole."""
    x, y, width, height = box
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1]])


def _moved(match: Match, box: Box) -> Match:
    """A match with a part of the page as one with the page. `box`: x, y, width, height of the part in shares."""
    from dataclasses import replace

    x, y, width, height = box
    points = match.points.copy()
    points[:, 2:] = points[:, 2:] * (width, height) + (x, y)
    transform = onto(box) @ match.transform
    return replace(
        match,
        transform=transform,
        outline=project(transform, UNIT) if match.model != "none" else match.outline,
        points=points,
        kept_second=match.kept_second * width * height,
    )


def _without(features: Features, outline: NDArray[np.float64]) -> Features:
    """The features that lie outside an outline: for finding the next place."""
    from dataclasses import replace

    import cv2

    shares = features.points[:, :2] / features.work
    border = np.asarray(outline, np.float32).reshape(-1, 1, 2)
    outside = [cv2.pointPolygonTest(border, (float(x), float(y)), measureDist=False) < 0 for x, y in shares]
    kept = np.array(outside, bool)
    return replace(features, known=(features.points[kept], features.descriptors[kept]))


def _corners(share: float) -> Iterator[tuple[float, float]]:
    steps = np.arange(0, 1 - share + 1e-6, share / 2)
    return ((float(x), float(y)) for y in steps for x in steps)


def cut(page: RGB, box: Box) -> RGB:
    """A part of a picture, with all its pixels; exactly the box where that is `on_pixels`."""
    left, top, right, bottom = edges(page.shape[:2], box)
    return np.ascontiguousarray(page[top:bottom, left:right])


def on_pixels(page: RGB, box: Box) -> Box:
    """The box that `cut` cuts: in a small part, half a pixel beside it is a difference that can be seen."""
    height, width = page.shape[:2]
    left, top, right, bottom = edges((height, width), box)
    return left / width, top / height, (right - left) / width, (bottom - top) / height


def edges(shape: tuple[int, ...], box: Box) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a box in pixels of a picture of (height, width); a pixel at least."""
    height, width = shape
    x, y, w, h = box
    left, top = min(int(x * width + 1e-6), width - 1), min(int(y * height + 1e-6), height - 1)
    return left, top, max(left + 1, round((x + w) * width)), max(top + 1, round((y + h) * height))
