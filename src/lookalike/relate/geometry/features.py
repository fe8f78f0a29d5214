"""Local features of a picture: where its corners and blobs are and what each looks like, beside the picture in small.

They are found when they are first asked for: a pair whose whole frames agree needs none. From the thumbnail of 256
pixels that a collection keeps it takes 9 ms, a fifth of what 512 pixels take, and verifies copies as well
(docs/benchmarks-relations.md): so nothing of it is kept on disk.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image.resize import scaled
from lookalike.relate.content.drawn import drawn_share
from lookalike.types import RGB

SIDE = 512  # the long side at which features of a file are found
COUNT = 600  # the strongest so many; more find little and cost time (docs/benchmarks-relations.md)
PREVIEW_SIDE, PREVIEW_COUNT = 256, 300  # the same for thumbnails
SMALL, COARSE_COUNT = 128, 120  # of the small picture
LARGEST_ZOOM = 4.0  # a 64 px icon has almost no features before it is enlarged
_CONTRAST = 0.02  # half of SIFT's usual, so that blurred and dark copies keep some
_UNIT = 512.0  # RootSIFT numbers are at most 1 and mostly below .3: 512 levels a unit fit a byte

Found = tuple[NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True)
class Features:
    """Local features of one picture.

    `width`, `height`: of the picture as given, in pixels; `picture`: the reduced picture that features lie in, upright
    RGB. `points`: (n, 4) float32 of x, y, size (pixels of `picture`) and angle (degrees). `descriptors`: (n, 128)
    uint8, RootSIFT times 512. `digest`: 8 bytes of the hash of all pixels, zeros where it is not known.
    """

    width: int
    height: int
    picture: RGB
    count: int = COUNT
    digest: bytes = bytes(8)
    flipped: bool = False
    inverted: bool = False
    known: Found | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def work(self) -> tuple[int, int]:
        """(width, height) of `picture`."""
        return self.picture.shape[1], self.picture.shape[0]

    @property
    def points(self) -> NDArray[np.float32]:
        return self._found[0]

    @property
    def descriptors(self) -> NDArray[np.uint8]:
        return self._found[1]

    @cached_property
    def _found(self) -> Found:
        if self.known is not None:
            return self.known
        import cv2

        return sift(cv2.cvtColor(self.picture, cv2.COLOR_RGB2GRAY), self.count)

    @cached_property
    def small(self) -> RGB:
        """The picture with a long side of 128 pixels at most."""
        share = min(1.0, SMALL / max(self.work))
        return scaled(self.picture, max(1, round(self.work[1] * share)), max(1, round(self.work[0] * share)))

    @cached_property
    def drawn(self) -> float:
        """How far the picture is drawn rather than photographed: see `drawn.drawn_share`."""
        return drawn_share(self.picture)

    @cached_property
    def coarser(self) -> "Features":
        """The same picture at 128 pixels, with fewer features: enough for most copies, at a third of the cost."""
        return Features(self.width, self.height, self.small, COARSE_COUNT, flipped=self.flipped, inverted=self.inverted)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """Descriptors as rows of length 1, (n, 128)."""
        rows = self.descriptors.astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        return rows


def find_features(image: RGB, *, size: tuple[int, int] | None = None, side: int = SIDE, count: int = COUNT) -> Features:
    """SIFT features of an upright RGB picture whose long side is brought to `side` (enlarged at most 4 times).

    `size`: (width, height) of the full picture, where `image` was reduced while decoding.

    Lowe: Distinctive image features from scale-invariant keypoints, IJCV 2004; RootSIFT: Arandjelovic, Zisserman,
    CVPR 2012.
    """
    work = _fitted(image, side)
    width, height = size or (image.shape[1], image.shape[0])
    return Features(width, height, work, count, hashlib.sha256(image.tobytes()).digest()[:8])


def preview_features(thumbnail: RGB, size: tuple[int, int]) -> Features:
    """Features of a picture of (width, height) by its thumbnail: its pixels are not known, so there is no digest."""
    return Features(*size, _fitted(thumbnail, PREVIEW_SIDE), PREVIEW_COUNT)


def _fitted(image: RGB, side: int) -> RGB:
    height, width = image.shape[:2]
    share = min(side / max(height, width), LARGEST_ZOOM)
    return scaled(image, max(1, round(height * share)), max(1, round(width * share)))


def sift(grey: NDArray[np.uint8], count: int) -> Found:
    """The strongest features of a grey picture (H, W): points (n, 4) of x, y, size, angle; descriptors (n, 128)."""
    import cv2

    found = cv2.SIFT.create(nfeatures=count, contrastThreshold=_CONTRAST)
    keypoints, raw = found.detectAndCompute(grey, None)
    points = np.array([(*k.pt, k.size, k.angle) for k in keypoints], np.float32).reshape(-1, 4)
    descriptors = np.zeros((0, 128), np.uint8) if raw is None else _root(raw)
    # cv2 may return a few more than asked where responses tie.
    return points[:count], descriptors[:count]


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
    picture = np.ascontiguousarray(features.picture[:, ::-1])
    return replace(features, picture=picture, known=(points, turned), flipped=not features.flipped)


def negative(features: Features) -> Features:
    """The features of the picture with light and dark exchanged, without finding them again.

    Every gradient points the other way: keypoints are turned by half a turn, and their cells with them.
    """
    points = features.points.copy()
    points[:, 3] = (points[:, 3] + 180) % 360
    cells = np.ascontiguousarray(features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, ::-1])
    picture = np.asarray(255 - features.picture, np.uint8)
    return replace(features, picture=picture, known=(points, cells.reshape(-1, 128)), inverted=not features.inverted)


def _root(raw: NDArray[Any]) -> NDArray[np.uint8]:
    """RootSIFT as bytes: L1-normalised, square root."""
    rows = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    return np.asarray(np.minimum(np.rint(np.sqrt(rows) * _UNIT), 255), np.uint8)
