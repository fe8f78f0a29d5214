"""One pass over a collection's thumbnails: of each a tiny grey picture and its strongest local features."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.local_features import COUNT, SIDE, Reducer, local_features
from lookalike.duplicates.search.orientation import Grey, Greys, normal_positions, tiny
from lookalike.relate.geometry.features import KeypointArrays
from lookalike.search import Collection

_BATCH = 512
_SAMPLE = 50_000  # descriptors that the reducer is fitted to


@dataclass(slots=True)
class Signatures:
    """`greys`: tiny pictures in their normal positions. `codes` (n, 32), `angles` (n,), `rows` (n,): local features."""

    greys: Greys
    codes: NDArray[np.int8]
    angles: NDArray[np.float32]
    rows: NDArray[np.int32]

    def drop_greys(self) -> None:
        """Let the memory of what was compared go before more is needed."""
        self.greys = Greys(self.greys.vectors[:0].copy(), self.greys.rows[:0].copy())


@dataclass(slots=True)
class SignatureReader:
    """Reads signatures of one collection or several, whose local features can then be compared. `count`: of each."""

    pool: Executor
    count: int = COUNT
    _reducer: Reducer | None = None
    _waiting: list[NDArray[np.uint8]] = field(default_factory=list)

    def read(self, photos: Collection, rows: dict[str, int], *, where: str | None = None) -> Signatures:
        """The signatures of the images named in `rows` (id to row); those without a thumbnail are left out."""
        greys = [np.zeros((0, 256), np.float16)]
        owners = [np.zeros(0, np.int64)]
        codes, angles, rows_of = [np.zeros((0, 32), np.int8)], [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
        for batch in _batches(photos, rows, where):
            found = list(self.pool.map(self._one, [jpeg for _, jpeg in batch]))
            named = [(row, grey) for (row, _), (grey, _) in zip(batch, found, strict=True) if grey is not None]
            if named:
                normal = normal_positions(np.stack([grey for _, grey in named]))
                greys.append(normal.vectors.astype(np.float16))  # 100,000 pictures: 90 MB instead of 180
                owners.append(np.array([row for row, _ in named], np.int64)[normal.rows])
            if self.count:
                points, descriptors = zip(*(local for _, local in found), strict=True)
                rows_of.append(np.repeat(np.array([row for row, _ in batch], np.int32), list(map(len, points))))
                angles.append(np.concatenate([each[:, 3] for each in points]))
                codes += self._reduced(np.concatenate(descriptors))
        codes += self._flushed()
        return Signatures(
            Greys(np.concatenate(greys), np.concatenate(owners)),
            np.concatenate(codes),
            np.concatenate(angles),
            np.concatenate(rows_of),
        )

    def _one(self, jpeg: bytes) -> tuple[Grey | None, KeypointArrays]:
        image = _grey(jpeg)
        nothing = np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
        return tiny(image), nothing if image is None or not self.count else local_features(image, self.count)

    def _reduced(self, descriptors: NDArray[np.uint8]) -> list[NDArray[np.int8]]:
        """The descriptors' codes, later where there are too few as yet to fit the reducer to."""
        if self._reducer is not None:
            return [self._reducer(descriptors)]
        self._waiting.append(descriptors)
        return self._flushed() if sum(map(len, self._waiting)) >= _SAMPLE else []

    def _flushed(self) -> list[NDArray[np.int8]]:
        if not self._waiting:
            return []
        everything = np.concatenate(self._waiting)
        self._waiting = []
        if self._reducer is None and len(everything):
            self._reducer = Reducer(everything)
        return [] if self._reducer is None else [self._reducer(everything)]


def _batches(photos: Collection, rows: dict[str, int], where: str | None) -> Iterator[Sequence[tuple[int, bytes]]]:
    for part in photos.store.scan(["id", "thumbnail"], where=where, batch=_BATCH):
        found = zip(map(str, part["id"].tolist()), part["thumbnail"].tolist(), strict=True)
        batch = [(rows[image_id], jpeg) for image_id, jpeg in found if jpeg and image_id in rows]
        if batch:
            yield batch


def _grey(jpeg: bytes) -> NDArray[np.uint8] | None:
    """A thumbnail at about 128 pixels: the DCT shrinks it for nothing."""
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
