"""Search by parts: images that share details with a query, whatever else either of them shows.

An image in a collage, a label on a bottle or a logo on a shirt has no vector in common with its original. Local
features of all images, kept in a side table, find candidates for it (geometry/inverted_file.py); geometry then verifies
them, together with the nearest images by vector, and says where each one lies.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from lookalike.errors import BadQuery, UnknownId
from lookalike.image import single_threaded_blas, single_threaded_opencv
from lookalike.image.convert import ImageLike
from lookalike.indexing.pipeline import default_workers
from lookalike.parts import COPY, weigh
from lookalike.relate.find_in import surest_first, verify_stored
from lookalike.relate.geometry.containment import Containment
from lookalike.relate.geometry.feature_cache import features_of, loader_of
from lookalike.relate.geometry.features import Features, find_features, mirrored
from lookalike.relate.geometry.inverted_file import (
    POSTING,
    QUERY_POSTINGS,
    WORDS_PER_QUERY_POINT,
    InvertedFile,
    Postings,
    postings_of,
    vocabulary,
)
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.relate.shared_part import PAGE_SIDE, Sight
from lookalike.schema import KEEPS_LOCAL_FEATURES, LOCAL_FEATURES
from lookalike.search import Collection
from lookalike.search.query import NO_PIXELS, load_query_image, parse_id, parse_words
from lookalike.types import RGB, Hit, Vectors

VOCABULARY_NAME = "sift-8192"
CANDIDATES = 30  # by vector, of which geometry verifies each in about 16 ms
LOCAL_CANDIDATES = 20  # by local features: more than ten found no more of the hard copies
JUDGED = 16  # candidates with matching points whose contents are compared, in about 0.1 s each
_BATCH = 256  # images of one commit
_VERSION_COLUMNS = ("sha256", "indexed")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LocalFeaturesReport:
    """The local features of a collection after an update: how many images got them or lost them, and have none."""

    added: int
    removed: int
    without: int


@dataclass(frozen=True, slots=True)
class PartHit:
    """A hit of a search by parts. `containment`: how the two images lie in each other; None if it is not verified."""

    hit: Hit
    containment: Containment | None


@dataclass(frozen=True, slots=True)
class PartQuery:
    """The query of a search by parts, and its vector (1, dim)."""

    sight: Sight
    vectors: Vectors


def keeps_local_features(photos: Collection) -> bool:
    """Return whether the collection keeps local features, by the vocabulary of this version."""
    return photos.store.settings.get(KEEPS_LOCAL_FEATURES.name) == VOCABULARY_NAME


def update_local_features(photos: Collection, *, progress: Progress | None = None) -> LocalFeaturesReport:
    """Find the local features of all images that lack them, from their thumbnails, and drop those of removed images.

    From then on the collection keeps them: `lookalike index` updates them. They are written in commits of 256 images,
    so that an interrupted update continues where it stopped.
    """
    table = photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key)
    # Without the postings, which are a hundred times as large: an index run that finds nothing new must not read them.
    known = {str(row["id"]): (row["sha256"], row["indexed"]) for row in table.all(_VERSION_COLUMNS)}
    images = dict(_versions(photos))
    removed = [image_id for image_id in known if image_id not in images]
    if keeps_local_features(photos):
        table.remove(removed)
    else:  # those of another vocabulary mean nothing
        table.remove(list(known))
        known = {}
        photos.store.set_settings({KEEPS_LOCAL_FEATURES.name: VOCABULARY_NAME})
    missing = [image_id for image_id, version in images.items() if known.get(image_id) != version]
    without = 0
    for start in range(0, len(missing), _BATCH):
        batch = missing[start : start + _BATCH]
        without += _write(photos, {image_id: images[image_id] for image_id in batch})
        if progress:
            progress(start + len(batch), len(missing))
    return LocalFeaturesReport(len(missing) - without, len(removed), without)


def add_local_features(photos: Collection, ids: Sequence[str]) -> None:
    """Find and keep the local features of these images, new or replaced, in one commit; unknown ids are ignored.

    Unlike `update_local_features`, it reads nothing of the other images.
    """
    names = [name for name in _VERSION_COLUMNS if name in photos.store.columns()]
    rows = [row for row in photos.get(list(dict.fromkeys(ids)), names) if row is not None]
    if rows:
        _write(photos, {row.id: _version(*(row.metadata.get(name) for name in _VERSION_COLUMNS)) for row in rows})


def _write(photos: Collection, images: Mapping[str, tuple[str, str]]) -> int:
    """Write the local features of images, given by id with their version. Returns how many have none."""
    with single_threaded_opencv(), single_threaded_blas(), ThreadPoolExecutor(default_workers()) as pool:
        features = features_of(photos, list(images))
        postings = list(pool.map(_stored_postings, features))
    photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key).put([
        {"id": image_id, "sha256": sha256, "indexed": indexed, "postings": data}
        for (image_id, (sha256, indexed)), data in zip(images.items(), postings, strict=True)
    ])  # fmt: skip
    return sum(one is None for one in features)


def _versions(photos: Collection) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each id with the hash of its file and when it was embedded: a replaced image has other ones."""
    names = [name for name in _VERSION_COLUMNS if name in photos.store.columns()]
    for part in photos.store.scan(["id", *names]):
        columns = [part[name].tolist() if name in part else [""] * len(part["id"]) for name in _VERSION_COLUMNS]
        for image_id, sha256, indexed in zip(part["id"].tolist(), *columns, strict=True):
            yield str(image_id), _version(sha256, indexed)


def _version(sha256: object, indexed: object) -> tuple[str, str]:
    return str(sha256 or ""), str(indexed or "")


def _stored_postings(features: Features | None) -> bytes:
    return b"" if features is None else postings_of(features, vocabulary()).tobytes()


@dataclass(frozen=True, slots=True)
class LocalIndex:
    """The inverted file of a collection, and the id of each of its rows."""

    ids: list[str]
    file: InvertedFile

    @classmethod
    def read(cls, photos: Collection) -> "LocalIndex":
        """Read the local features of a collection. Raises BadQuery if it keeps none."""
        if not keeps_local_features(photos):
            raise BadQuery(
                "it keeps no local features",
                subject=photos.uri,
                location=photos.uri,
                hint="find them first with lookalike.relate.local_search.update_local_features(photos)",
                command=f"index --parts -c {photos.uri}",
            )
        rows = photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key).all()
        images = [np.frombuffer(_bytes(row["postings"]), POSTING) for row in rows]
        return cls([str(row["id"]) for row in rows], InvertedFile.build(images, len(vocabulary())))

    def candidates(self, query: Features, k: int) -> list[str]:
        """Return the ids of at most k images that share details with the query or its mirror image, best first."""
        votes: dict[int, float] = {}
        for features in (query, mirrored(query)):
            rows, scores = self.file.search(query_postings(features), k)
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
                votes[row] = max(votes.get(row, 0.0), score)
        return [self.ids[row] for row in sorted(votes, key=lambda row: (-votes[row], row))[:k]]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def query_postings(features: Features) -> Postings:
    """Return the postings of a query: more points than a stored image has, and several words for each."""
    return postings_of(features, vocabulary(), count=QUERY_POSTINGS, nearest=WORDS_PER_QUERY_POINT)


_indexes: "WeakKeyDictionary[Collection, tuple[int, LocalIndex]]" = WeakKeyDictionary()


def local_features_version(photos: Collection) -> int:
    """Return a number that changes with the stored local features, and with nothing else in the collection."""
    return photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key).version


def local_index(photos: Collection) -> LocalIndex:
    """Return the local index of a collection, read again after its local features have changed.

    Other changes, such as labels, cost no reading. Raises BadQuery if the collection keeps no local features.
    """
    version = local_features_version(photos)
    cached = _indexes.get(photos)
    if cached is None or cached[0] != version:
        cached = _indexes[photos] = (version, LocalIndex.read(photos))
    return cached[1]


def load_query(photos: Collection, image: ImageLike) -> RGB:
    """Return the pixels of a query: a path, bytes, an array, or "id:ID", for which it is the file or the thumbnail.

    Raises ImageError, UnknownId.
    """
    image_id = parse_id(image)
    if image_id is None:
        return load_query_image(image, side=None, limits=photos.limits)
    (row,) = photos.get([image_id], ["path", "frame", "thumbnail"])
    load = loader_of(photos, row)
    pixels = None if load is None else load(PAGE_SIDE)
    if pixels is None and row is not None and isinstance(jpeg := row.metadata.get("thumbnail"), bytes):
        pixels = load_query_image(jpeg, side=None, limits=photos.limits)
    if pixels is None:
        raise UnknownId(f"no image has the id {image_id!r}, or its file is not available", subject=photos.uri)
    return pixels


def ids_with_shared_details(photos: Collection, query: RGB, k: int) -> list[str]:
    """Return the ids of at most k images that share details with the query, most first. Raises BadQuery."""
    return passing(photos, local_index(photos).candidates(find_features(query), k), None)


def search_by_parts(
    photos: Collection,
    query: ImageLike,
    k: int,
    *,
    where: str | None = None,
    calibration: Calibration | None = None,
    candidates: int = CANDIDATES,
    local_candidates: int = LOCAL_CANDIDATES,
) -> list[PartHit]:
    """Return the k best images: first those that contain the query or parts of it, or are contained in it.

    `candidates` by vector and `local_candidates` by local features are verified by geometry. Verified ones come first,
    surest first; then the others by score. `query`: a path, bytes, an array, a PIL image, or "id:ID", which is left out
    of its own results. Raises BadQuery if the collection keeps no local features; ImageError, UnknownId.
    """
    if parse_words(query):
        raise BadQuery(NO_PIXELS)
    index, pixels, own = local_index(photos), load_query(photos, query), parse_id(query)
    part_query = PartQuery(Sight.of(pixels), photos.embedder.embed([pixels]))
    (nearest,) = photos.search_by_vector(part_query.vectors, max(k, candidates) + 1, where=where, by=COPY)
    near = [hit for hit in nearest if hit.id != own]
    by_parts = passing(photos, index.candidates(part_query.sight.features, local_candidates + 1), where)
    ids = candidate_ids(near[:candidates], by_parts, without=() if own is None else (own,))
    return rank_by_parts(photos, part_query, near, ids, k, calibration=calibration)


def candidate_ids(near: Sequence[Hit], by_parts: Sequence[str], *, without: Container[str]) -> list[str]:
    """Return the ids that geometry verifies: those of the nearest hits, then those by local features, each once."""
    ids = dict.fromkeys([*(hit.id for hit in near), *by_parts])
    return [image_id for image_id in ids if image_id not in without]


def rank_by_parts(
    photos: Collection,
    query: PartQuery,
    near: Sequence[Hit],
    ids: Sequence[str],
    k: int,
    *,
    calibration: Calibration | None = None,
) -> list[PartHit]:
    """Return the k best images: those of `ids` that are verified, surest first, then the others of `near`."""
    calibration = calibration or calibration_of(photos)
    containments = surest_first(verify_stored(photos, query.sight, ids, calibration, limit=JUDGED))
    hits = {hit.id: hit for hit in near} | _hits(photos, query.vectors, [one.id for one in containments])
    first = [PartHit(hits[one.id], one) for one in containments if one.id in hits]
    verified = {one.id for one in containments}
    return [*first, *(PartHit(hit, None) for hit in near if hit.id not in verified)][:k]


def passing(photos: Collection, ids: list[str], where: str | None) -> list[str]:
    """Return the ids of images that exist and meet the condition, in the same order."""
    if where is None:
        return [image_id for image_id, row in zip(ids, photos.get(ids, []), strict=True) if row is not None]
    meeting = {str(i) for part in photos.store.scan(["id"], where=where) for i in part["id"].tolist()}
    return [image_id for image_id in ids if image_id in meeting]


def _hits(photos: Collection, vectors: Vectors, ids: list[str]) -> dict[str, Hit]:
    weighed, factor = weigh(vectors, photos.card, COPY)
    rows = [row for row in photos.get(ids) if row is not None]
    return {row.id: Hit(row.id, float(row.vector @ weighed[0]) * factor, row.metadata) for row in rows}
