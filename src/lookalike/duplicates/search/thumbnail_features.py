"""Read a collection's thumbnails in one pass: a signature and the strongest local features of each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.local_features import COUNT, SIDE, Reducer, local_features
from lookalike.duplicates.search.orientation import GrayArray, OrientedThumbnails, normalize_orientation, signature
from lookalike.relate.geometry.features import KeypointArrays
from lookalike.search import Collection
from lookalike.search.large_array import VectorCollector

_BATCH = 512
_REDUCER_SAMPLE, _SAMPLE_BATCH = 20_000, 128  # descriptors to which the reducer is fitted; images read for it at a time


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

    pool: Executor
    count: int = COUNT
    _reducer: Reducer | None = None

    def read(self, photos: Collection, rows: dict[str, int], *, where: str | None = None) -> ThumbnailFeatures:
        """Return the features of the images in `rows` (id to row), by row; those without a thumbnail are left out."""
        signatures = VectorCollector(256, photos.uri)
        signature_rows = [np.zeros(0, np.int64)]
        codes, angles, rows_of = [np.zeros((0, 32), np.int8)], [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
        if self.count and self._reducer is None:
            self._fit_reducer(photos, rows)
        for batch in _batches(photos, rows, where):
            features = list(self.pool.map(self._features_of, [jpeg for _, jpeg in batch]))
            by_row = [(row, gray) for (row, _), (gray, _) in zip(batch, features, strict=True) if gray is not None]
            if by_row:
                normal = normalize_orientation(np.stack([gray for _, gray in by_row]))
                signatures.append(normal.vectors)
                signature_rows.append(np.array([row for row, _ in by_row], np.int64)[normal.rows])
            if self._reducer is not None:
                points, descriptors = zip(*(local for _, local in features), strict=True)
                rows_of.append(np.repeat(np.array([row for row, _ in batch], np.int32), list(map(len, points))))
                angles.append(np.concatenate([each[:, 3] for each in points]))
                codes.append(self._reducer(np.concatenate(descriptors)))
        return ThumbnailFeatures(
            _ordered(signatures.vectors(), np.concatenate(signature_rows)),
            *_by_row(np.concatenate(rows_of), codes, angles),
        )

    def _features_of(self, jpeg: bytes) -> tuple[GrayArray | None, KeypointArrays]:
        image = _gray_thumbnail(jpeg)
        empty = np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
        return signature(image), empty if image is None or not self.count else local_features(image, self.count)

    def _fit_reducer(self, photos: Collection, rows: dict[str, int]) -> None:
        """Fit the reducer to the images that come first by row, whatever their order in the store."""
        ordered = sorted(rows, key=rows.__getitem__) if "thumbnail" in photos.store.columns() else []
        descriptors = [np.zeros((0, 128), np.uint8)]
        for start in range(0, len(ordered), _SAMPLE_BATCH):
            stored = photos.get(ordered[start : start + _SAMPLE_BATCH], ["thumbnail"])
            thumbnails = [row.metadata.get("thumbnail") for row in stored if row is not None]
            jpegs = [jpeg for jpeg in thumbnails if isinstance(jpeg, bytes) and jpeg]
            descriptors += [local[1] for _, local in self.pool.map(self._features_of, jpegs)]
            if sum(map(len, descriptors)) >= _REDUCER_SAMPLE:
                break
        if any(map(len, descriptors)):
            self._reducer = Reducer(np.concatenate(descriptors))


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
