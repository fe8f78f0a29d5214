"""Images that share local features: finds crops, rotations, collages and screenshots, which global vectors miss.

The strongest SIFT features of each thumbnail are searched among those of all others (an inverted file). A feature that
is clearly closer to a few neighbors than to the last one votes for their images, and votes count only if they agree on
a rotation. Two images that share three such features are nearly always copies. Figures: docs/benchmarks-duplicates.md.

Jegou, Douze, Schmid: Hamming embedding and weak geometric consistency for large scale image search, ECCV 2008.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.pairs import ScoredPairs
from lookalike.relate.geometry.features import KeypointArrays, sift

SIDE = 128  # pixels of the long side: JPEG thumbnails decode to about this size at no extra cost
COUNT = 100  # features of an image
MAX_FEATURES = 4_000_000  # in memory at a time: 43 bytes each with the index; more images get fewer features each
MIN_VOTES = 3  # of such pairs 95 of 100 were copies, of those with two votes 60
_DIM = 32  # of the reduced descriptors: further dimensions are noise at this size
_NEIGHBORS = 12
_MAX_RELATIVE_DISTANCE = 0.5  # of the squared distance to the last neighbor; closer matches are not due to chance
_BINS = 12  # of rotation, 30 degrees each
_PROBES = 2
_TRAINING_SIZE, _POINTS_PER_LIST = 200_000, 40
_BLOCK = 1 << 16
_CODE_SCALE = 127.0


def local_features(thumbnail: NDArray[np.uint8], count: int = COUNT) -> KeypointArrays:
    """Return the strongest features of a gray thumbnail (H, W): points (n, 4) and descriptors (n, 128)."""
    return sift(thumbnail, count)


class Reducer:
    """Reduces descriptors to 32 signed bytes: PCA of a sample, then a random rotation that evens out the variances."""

    def __init__(self, sample: NDArray[np.uint8]) -> None:
        rows = _unit(sample)
        self._mean = rows.mean(axis=0)
        centered = rows - self._mean
        _, axes = np.linalg.eigh(centered.T @ centered)
        random_rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(_DIM, _DIM)))
        self._basis = np.ascontiguousarray(axes[:, ::-1][:, :_DIM] @ random_rotation, np.float32)

    def __call__(self, descriptors: NDArray[np.uint8]) -> NDArray[np.int8]:
        reduced = (_unit(descriptors) - self._mean) @ self._basis
        return np.asarray(np.clip(np.rint(reduced * 2 * _CODE_SCALE), -127, 127), np.int8)


def shared_features(
    codes: NDArray[np.int8],
    angles: NDArray[np.float32],
    rows: NDArray[np.int32],
    *,
    min_votes: int = MIN_VOTES,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredPairs:
    """Return pairs of rows that share at least `min_votes` features with one rotation; `score` is their number.

    `codes` (n, 32) of a `Reducer`, `angles` (n,) in degrees, `rows` (n,): the row of each feature's image.
    """
    if len(codes) <= _NEIGHBORS:
        return ScoredPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    keys = list(_votes(codes, angles, rows, progress))
    return _pairs_from_votes(np.concatenate(keys), int(rows.max()) + 1, min_votes)


def _votes(
    codes: NDArray[np.int8],
    angles: NDArray[np.float32],
    rows: NDArray[np.int32],
    progress: Callable[[int, int], None] | None,
) -> Iterator[NDArray[np.int64]]:
    """Yield votes, each (first row, second row, rotation bin) encoded as one number."""
    index = _index(codes)
    size = int(rows.max()) + 1
    for start in range(0, len(codes), _BLOCK):
        queries = np.arange(start, min(start + _BLOCK, len(codes)))
        distances, neighbors = index.search(codes[queries].astype(np.float32), _NEIGHBORS)
        clear = (neighbors >= 0) & (distances < _MAX_RELATIVE_DISTANCE * distances[:, -1:])
        clear &= rows[neighbors] != rows[queries][:, None]
        query, rank = np.nonzero(clear)
        one, other = queries[query], neighbors[query, rank]
        first, second = np.minimum(rows[one], rows[other]), np.maximum(rows[one], rows[other])
        rotation = np.where(rows[one] < rows[other], angles[other] - angles[one], angles[one] - angles[other])
        bins = np.asarray((rotation % 360) * (_BINS / 360), np.int64) % _BINS
        yield (first.astype(np.int64) * size + second) * _BINS + bins
        if progress:
            progress(int(queries[-1]) + 1, len(codes))


def _index(codes: NDArray[np.int8]) -> "faiss.IndexIVF":  # type: ignore[name-defined]  # noqa: F821
    import faiss

    lists = int(np.clip(len(codes) // _POINTS_PER_LIST, 1, 2 ** round(np.log2(max(len(codes), 2) ** 0.5))))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(_DIM), _DIM, lists, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_L2
    )
    index.cp.niter, index.cp.max_points_per_centroid, index.nprobe = 5, _POINTS_PER_LIST, _PROBES
    random = np.random.default_rng(0)
    sampled = random.choice(len(codes), min(len(codes), _POINTS_PER_LIST * lists), replace=False)
    index.train(codes[sampled].astype(np.float32))
    for start in range(0, len(codes), _BLOCK):
        index.add(codes[start : start + _BLOCK].astype(np.float32))
    return index


def _pairs_from_votes(keys: NDArray[np.int64], size: int, min_votes: int) -> ScoredPairs:
    """Return the pairs whose best rotation has at least `min_votes`."""
    votes, counts = np.unique(keys, return_counts=True)
    pairs = votes // _BINS
    starts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]]) if len(pairs) else np.zeros(0, np.int64)
    best = np.maximum.reduceat(counts, starts) if len(starts) else counts
    enough = best >= min_votes
    first, second = np.divmod(pairs[starts][enough], size)
    return ScoredPairs(first, second, best[enough].astype(np.float32))


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows = descriptors.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows
