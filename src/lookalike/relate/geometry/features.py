"""Local features (SIFT keypoints and descriptors) of an image, together with the reduced image they come from.

Features are computed on first access: a pair whose whole frames agree needs none. From the 256 pixel thumbnail that a
collection stores this takes 9 ms, a fifth of the time at 512 pixels, and verifies copies as well
(docs/benchmarks-relations.md); so features are not stored.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import at_most, scaled_by
from lookalike.relate.content.drawn import drawn_share
from lookalike.types import RGB

SIDE = 512  # the long side at which features of a file are found
COUNT = 600  # the strongest features; more find little and cost time (docs/benchmarks-relations.md)
PREVIEW_SIDE, PREVIEW_COUNT = 256, 300  # the same for thumbnails
SMALL, COARSE_COUNT = 128, 120  # the same for `Features.coarser`
MAX_ENLARGEMENT = 4.0  # a 64 px icon has almost no features before it is enlarged
_CONTRAST_THRESHOLD = 0.02  # half of SIFT's default, so that blurred and dark copies retain some features
_LEVELS_PER_UNIT = 512.0  # RootSIFT values are at most 1 and mostly below .3: 512 levels per unit fit a byte

KeypointArrays = tuple[NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True)
class Features:
    """Local features of one image.

    `width`, `height`: of the original image, in pixels. `picture`: the reduced image that the features lie in, upright
    RGB. `points`: (n, 4) float32 of x, y, size (pixels of `picture`) and angle (degrees). `descriptors`: (n, 128)
    uint8, RootSIFT times 512. `digest`: 8 bytes of the hash of all pixels; zeros if unknown.
    """

    width: int
    height: int
    picture: RGB
    count: int = COUNT
    digest: bytes = bytes(8)
    flipped: bool = False
    inverted: bool = False
    precomputed: KeypointArrays | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def work(self) -> tuple[int, int]:
        """(width, height) of `picture`."""
        return self.picture.shape[1], self.picture.shape[0]

    @property
    def points(self) -> NDArray[np.float32]:
        """(n, 4) float32: x, y and size in pixels of `picture`, and the angle in degrees."""
        return self._arrays[0]

    @property
    def descriptors(self) -> NDArray[np.uint8]:
        """(n, 128) uint8: RootSIFT of each keypoint."""
        return self._arrays[1]

    @cached_property
    def _arrays(self) -> KeypointArrays:
        if self.precomputed is not None:
            return self.precomputed
        import cv2

        return sift(cv2.cvtColor(self.picture, cv2.COLOR_RGB2GRAY), self.count)

    @cached_property
    def small(self) -> RGB:
        """The image with a long side of at most 128 pixels."""
        return at_most(self.picture, SMALL)

    @cached_property
    def drawn(self) -> float:
        """How far the image is drawn rather than photographed: see `drawn.drawn_share`."""
        return drawn_share(self.picture)

    @cached_property
    def coarser(self) -> "Features":
        """The same image at 128 pixels, with fewer features: enough for most copies, at a third of the cost."""
        return Features(self.width, self.height, self.small, COARSE_COUNT, flipped=self.flipped, inverted=self.inverted)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """Descriptors as rows of length 1, (n, 128)."""
        rows = self.descriptors.astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        return rows


def find_features(image: RGB, *, size: tuple[int, int] | None = None, side: int = SIDE, count: int = COUNT) -> Features:
    """Return SIFT features of an upright RGB image resized to a long side of `side` (enlarged at most 4 times).

    `size`: (width, height) of the full image, if `image` was reduced while decoding.

    Lowe: Distinctive image features from scale-invariant keypoints, IJCV 2004; RootSIFT: Arandjelovic, Zisserman,
    CVPR 2012.
    """
    work = _resized(image, side)
    width, height = size or (image.shape[1], image.shape[0])
    return Features(width, height, work, count, hashlib.sha256(image.tobytes()).digest()[:8])


def preview_features(thumbnail: RGB, size: tuple[int, int]) -> Features:
    """Return features of an image of (width, height) from its thumbnail; without a digest: its pixels are unknown."""
    return Features(*size, _resized(thumbnail, PREVIEW_SIDE), PREVIEW_COUNT)


def _resized(image: RGB, side: int) -> RGB:
    return scaled_by(image, min(side / max(image.shape[:2]), MAX_ENLARGEMENT))


def sift(gray: NDArray[np.uint8], count: int) -> KeypointArrays:
    """Return the strongest features of a gray image (H, W).

    Points are (n, 4) of x, y, size, angle; descriptors are (n, 128).
    """
    import cv2

    detector = cv2.SIFT.create(nfeatures=count, contrastThreshold=_CONTRAST_THRESHOLD)
    keypoints, raw = detector.detectAndCompute(gray, None)
    points = np.array([(*k.pt, k.size, k.angle) for k in keypoints], np.float32).reshape(-1, 4)
    descriptors = np.zeros((0, 128), np.uint8) if raw is None else _root_sift(raw)
    # cv2 may return a few more than requested if responses tie.
    return points[:count], descriptors[:count]


def mirrored(features: Features) -> Features:
    """Return the features of the mirrored image, without detecting them again.

    A descriptor is 4 x 4 cells of 8 directions in the keypoint's own frame: a mirror reverses the cells across its
    axis and the sense of directions.
    """
    points = features.points.copy()
    points[:, 0] = features.work[0] - 1 - points[:, 0]
    points[:, 3] = (180 - points[:, 3]) % 360
    cells = features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]]
    turned = np.ascontiguousarray(cells).reshape(-1, 128)
    picture = np.ascontiguousarray(features.picture[:, ::-1])
    return replace(features, picture=picture, precomputed=(points, turned), flipped=not features.flipped)


def negative(features: Features) -> Features:
    """Return the features of the image with light and dark exchanged, without detecting them again.

    Every gradient is reversed: keypoints are turned by half a turn, and their cells with them.
    """
    points = features.points.copy()
    points[:, 3] = (points[:, 3] + 180) % 360
    cells = np.ascontiguousarray(features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, ::-1])
    picture = np.asarray(255 - features.picture, np.uint8)
    return replace(
        features, picture=picture, precomputed=(points, cells.reshape(-1, 128)), inverted=not features.inverted
    )


def _root_sift(raw: NDArray[Any]) -> NDArray[np.uint8]:
    """RootSIFT as bytes: L1-normalized, square root."""
    rows = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    return np.asarray(np.minimum(np.rint(np.sqrt(rows) * _LEVELS_PER_UNIT), 255), np.uint8)
