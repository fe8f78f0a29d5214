"""Read a collection's thumbnails in one pass: a signature and the strongest local features of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.local_features import COUNT, SIDE, Reducer, local_features
from lookalike.duplicates.search.orientation import SIDE as SIGNATURE_SIDE
from lookalike.duplicates.search.orientation import GrayArray, OrientedThumbnails, normalize_orientation, signature
from lookalike.relate.geometry.features import KeypointArrays
from lookalike.search import Collection
from lookalike.search.large_array import VectorCollector
from lookalike.tasks import TaskPool

_BATCH = 128  # images of a task: half a second
_REDUCER_SAMPLE, _SAMPLE_BATCH, _SAMPLE_TASK = (
    20_000,
    128,
    16,
)  # descriptors to which the reducer is fitted; images read for it at a time, and of a task


@dataclass(slots=True)
class ThumbnailFeatures:
    """`thumbnails`: signatures in normal orientation. `codes` (n, 32), `angles` (n,), `rows` (n,): local features."""

    thumbnails: OrientedThumbnails
    codes: NDArray[np.int8]
    angles: NDArray[np.float32]
    rows: NDArray[np.int32]

    def drop_thumbnails(self) -> None:
        """Release the memory of the signatures before the local features are compared."""
        self.thumbnails = OrientedThumbnails(self.thumbnails.vectors[:0].copy(), self.thumbnails.rows[:0].copy())


@dataclass(slots=True)
class ThumbnailFeatureReader:
    """Reads thumbnail features of one or more collections, comparable with each other. `count`: local features each."""

    tasks: TaskPool
    count: int = COUNT
    _reducer: Reducer | None = None

    def read(self, photos: Collection, rows: dict[str, int], *, where: str | None = None) -> ThumbnailFeatures:
        """Return the features of the images in `rows` (id to row), by row; those without a thumbnail are left out."""
        signatures = VectorCollector(256, photos.uri)
        signature_rows = [np.zeros(0, np.int64)]
        codes, angles, rows_of = [np.zeros((0, 32), np.int8)], [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
        if self.count and self._reducer is None:
            self._fit_reducer(photos, rows)
        shared = self.count, self._reducer
        for part in self.tasks.map(_features_of_batch, _batches(photos, rows, where), shared):
            signatures.append(part.thumbnails.vectors)
            signature_rows.append(part.thumbnails.rows)
            codes.append(part.codes)
            angles.append(part.angles)
            rows_of.append(part.rows)
        return ThumbnailFeatures(
            _ordered(signatures.vectors(), np.concatenate(signature_rows)),
            *_by_row(np.concatenate(rows_of), codes, angles),
        )

    def _fit_reducer(self, photos: Collection, rows: dict[str, int]) -> None:
        """Fit the reducer to the images that come first by row, whatever their order in the store."""
        ordered = sorted(rows, key=rows.__getitem__) if "thumbnail" in photos.store.columns() else []
        descriptors = [np.zeros((0, 128), np.uint8)]
        for start in range(0, len(ordered), _SAMPLE_BATCH):
            stored = photos.get(ordered[start : start + _SAMPLE_BATCH], ["thumbnail"])
            thumbnails = [row.metadata.get("thumbnail") for row in stored if row is not None]
            jpegs = [jpeg for jpeg in thumbnails if isinstance(jpeg, bytes) and jpeg]
            parts = [jpegs[n : n + _SAMPLE_TASK] for n in range(0, len(jpegs), _SAMPLE_TASK)]
            descriptors += [each for part in self.tasks.map(_descriptors, parts, self.count) for each in part]
            if sum(map(len, descriptors)) >= _REDUCER_SAMPLE:
                break
        if any(map(len, descriptors)):
            self._reducer = Reducer(np.concatenate(descriptors))


def _features_of(jpeg: bytes, count: int) -> tuple[GrayArray | None, KeypointArrays]:
    image = _gray_thumbnail(jpeg)
    empty = np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
    return signature(image), empty if image is None or not count else local_features(image, count)


def _descriptors(count: int, jpegs: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    """Return the descriptors of each thumbnail: a task."""
    return [_features_of(jpeg, count)[1][1] for jpeg in jpegs]


def _features_of_batch(shared: tuple[int, Reducer | None], batch: Sequence[tuple[int, bytes]]) -> ThumbnailFeatures:
    """Return the features of thumbnails with their rows, in the order of the batch: a task."""
    count, reducer = shared
    features = [_features_of(jpeg, count) for _, jpeg in batch]
    rows = np.array([row for row, _ in batch], np.int64)
    has_signature = np.array([gray is not None for gray, _ in features])
    grays = [np.zeros((0, SIGNATURE_SIDE**2), np.float32), *(gray[None] for gray, _ in features if gray is not None)]
    normal = normalize_orientation(np.concatenate(grays))
    thumbnails = OrientedThumbnails(normal.vectors, rows[has_signature][normal.rows])
    if reducer is None:
        return ThumbnailFeatures(thumbnails, np.zeros((0, 32), np.int8), np.zeros(0, np.float32), np.zeros(0, np.int32))
    points, descriptors = zip(*(local for _, local in features), strict=True)
    return ThumbnailFeatures(
        thumbnails,
        reducer(np.concatenate(descriptors)),
        np.concatenate([each[:, 3] for each in points]),
        np.repeat(rows.astype(np.int32), list(map(len, points))),
    )


def _ordered(vectors: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> OrientedThumbnails:
    """The signatures in the order of the rows, unless they are mapped."""
    if vectors.dtype != np.float16:
        return OrientedThumbnails(vectors, rows)
    order = np.argsort(rows, kind="stable")
    return OrientedThumbnails(vectors[order], rows[order])


def _by_row(rows: NDArray[Any], *parts: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the concatenated arrays of each of `parts`, and `rows`, in the order of the rows."""
    order = np.argsort(rows, kind="stable")
    return [*(np.concatenate(arrays)[order] for arrays in parts), rows[order]]


def _batches(photos: Collection, rows: dict[str, int], where: str | None) -> Iterator[Sequence[tuple[int, bytes]]]:
    for part in photos.store.scan(["id", "thumbnail"], where=where, batch=_BATCH):
        images = zip(map(str, part["id"].tolist()), part["thumbnail"].tolist(), strict=True)
        batch = [(rows[image_id], jpeg) for image_id, jpeg in images if jpeg and image_id in rows]
        if batch:
            yield batch


def _gray_thumbnail(jpeg: bytes) -> NDArray[np.uint8] | None:
    """Decode a thumbnail in gray, at about 128 pixels: JPEG decoding reduces the size at no extra cost."""
    import cv2

    data = np.frombuffer(jpeg, np.uint8)
    image: NDArray[np.uint8] | None = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_2)
    if image is None:
        return None
    if max(image.shape) < 0.75 * SIDE:
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
        share = SIDE / max(image.shape)
        if share < 1:
            image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return image
