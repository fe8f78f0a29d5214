"""Local features of a picture: where its corners and blobs are, what each looks like, and the picture itself in small.

They are compact (about 85 kB a picture), survive as bytes in a collection, and suffice to verify a pair: no file is
opened.
"""

import hashlib
import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import StoreFailed
from lookalike.image.resize import scaled
from lookalike.types import RGB

SIDE = 512  # the long side at which features are found
COUNT = 600  # the strongest so many; more find little and cost time (docs/benchmarks-relations.md)
SMALL = 128  # the long side of the small picture
LARGEST_ZOOM = 4.0  # a 64 px icon has almost no features before it is enlarged
_CONTRAST = 0.02  # half of SIFT's usual, so that blurred and dark copies keep some
_UNIT = 512.0  # RootSIFT numbers are at most 1 and mostly below .3: 512 levels a unit fit a byte
_VERSION = 1
_HEAD = struct.Struct("<4sBIIHHHI8s")
_MAGIC = b"LAfe"


@dataclass(frozen=True)
class Features:
    """Local features of one picture.

    `width`, `height`: of the picture as given, in pixels; `work`: (width, height) of the reduced picture that features
    lie in. `points`: (n, 4) float32 of x, y, size (work pixels) and angle (degrees). `descriptors`: (n, 128) uint8,
    RootSIFT times 512. `jpeg`: the small picture, long side 128.
    `digest`: 8 bytes of the hash of the pixels that features were found in.
    """

    width: int
    height: int
    work: tuple[int, int]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    jpeg: bytes
    digest: bytes = bytes(8)
    flipped: bool = False
    inverted: bool = False

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def small(self) -> RGB:
        """The small picture, upright RGB."""
        import cv2

        image: Any = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        image = image[:, ::-1] if self.flipped else image
        return np.ascontiguousarray(255 - image if self.inverted else image)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """Descriptors as rows of length 1, (n, 128)."""
        rows = self.descriptors.astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        return rows

    def to_bytes(self) -> bytes:
        """For a column of the collection; `from_bytes` reads it."""
        head = _HEAD.pack(_MAGIC, _VERSION, self.width, self.height, *self.work, len(self), len(self.jpeg), self.digest)
        points = np.empty((len(self), 4), np.uint16)
        points[:, :2] = np.rint(np.clip(self.points[:, :2], 0, 4095) * 16)
        points[:, 2] = np.rint(np.clip(self.points[:, 2], 0, 1023) * 64)
        points[:, 3] = np.rint((self.points[:, 3] % 360) * 182)
        return head + points.tobytes() + self.descriptors.tobytes() + self.jpeg

    @classmethod
    def from_bytes(cls, data: bytes) -> "Features":
        """Read what `to_bytes` wrote. Raises StoreFailed where it is something else (`readable` asks beforehand)."""
        if not readable(data):
            raise StoreFailed("the features kept in the collection are damaged or of another version; find them again")
        _, _, width, height, wide, tall, count, jpeg, digest = _HEAD.unpack_from(data)
        at, of_points, of_descriptors = _HEAD.size, count * 8, count * 128
        raw = np.frombuffer(data, np.uint16, count * 4, at).reshape(count, 4)
        points = (raw / np.array((16, 16, 64, 182))).astype(np.float32)
        descriptors = np.frombuffer(data, np.uint8, of_descriptors, at + of_points).reshape(count, 128)
        return cls(width, height, (wide, tall), points, descriptors, bytes(data[-jpeg:]), digest)


def readable(data: object) -> bool:
    """Whether these are bytes that `Features.to_bytes` of this version wrote."""
    if not isinstance(data, bytes) or len(data) < _HEAD.size:
        return False
    magic, version, *_, count, jpeg, _digest = _HEAD.unpack_from(data)
    return bool(magic == _MAGIC and version == _VERSION and len(data) == _HEAD.size + count * 136 + jpeg)


def find_features(image: RGB, *, size: tuple[int, int] | None = None, side: int = SIDE, count: int = COUNT) -> Features:
    """SIFT features of an upright RGB picture whose long side is brought to `side` (enlarged at most 4 times).

    `size`: (width, height) of the full picture, where `image` was reduced while decoding.

    Lowe: Distinctive image features from scale-invariant keypoints, IJCV 2004; RootSIFT: Arandjelovic, Zisserman,
    CVPR 2012.
    """
    import cv2

    height, width = image.shape[:2]
    share = min(side / max(height, width), LARGEST_ZOOM)
    width_given, height_given = size or (width, height)
    work = scaled(image, max(1, round(height * share)), max(1, round(width * share)))
    grey = cv2.cvtColor(work, cv2.COLOR_RGB2GRAY)
    found = cv2.SIFT.create(nfeatures=count, contrastThreshold=_CONTRAST)
    keypoints, raw = found.detectAndCompute(grey, None)
    points = np.array([(*k.pt, k.size, k.angle) for k in keypoints], np.float32).reshape(-1, 4)
    descriptors = np.zeros((0, 128), np.uint8) if raw is None else _root(raw)
    # cv2 may return a few more than asked where responses tie.
    return Features(
        width_given,
        height_given,
        (grey.shape[1], grey.shape[0]),
        points[:count],
        descriptors[:count],
        _small_jpeg(work),
        hashlib.sha256(image.tobytes()).digest()[:8],
    )


def mirrored(features: Features) -> Features:
    """The features of the picture seen in a mirror, without finding them again.

    A descriptor is 4 x 4 cells of 8 directions in the keypoint's own frame: a mirror reverses the cells across its
    axis and the sense of directions.
    """
    points = features.points.copy()
    points[:, 0] = features.work[0] - 1 - points[:, 0]
    points[:, 3] = (180 - points[:, 3]) % 360
    cells = features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]]
    turned = np.ascontiguousarray(cells).reshape(-1, 128)
    return replace(features, points=points, descriptors=turned, flipped=not features.flipped)


def negative(features: Features) -> Features:
    """The features of the picture with light and dark exchanged, without finding them again.

    Every gradient points the other way: keypoints are turned by half a turn, and their cells with them.
    """
    points = features.points.copy()
    points[:, 3] = (points[:, 3] + 180) % 360
    cells = np.ascontiguousarray(features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, ::-1])
    return replace(features, points=points, descriptors=cells.reshape(-1, 128), inverted=not features.inverted)


def _root(raw: NDArray[Any]) -> NDArray[np.uint8]:
    """RootSIFT as bytes: L1-normalised, square root."""
    rows = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    return np.asarray(np.minimum(np.rint(np.sqrt(rows) * _UNIT), 255), np.uint8)


def _small_jpeg(work: RGB) -> bytes:
    import cv2

    share = min(1.0, SMALL / max(work.shape[:2]))
    small = scaled(work, max(1, round(work.shape[0] * share)), max(1, round(work.shape[1] * share)))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, 92))
    return bytes(data)
