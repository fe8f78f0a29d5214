"""Pictures that share local features: crops, rotations, collages and screenshots, which no whole-picture vector knows.

The strongest SIFT features of each thumbnail are looked up among those of all others (an inverted file). One that is
clearly nearer to a few than to the rest votes for those pictures, and votes count only where they agree on a rotation:
two pictures that share three such features are nearly always copies. Figures: docs/benchmarks-duplicates.md.

Jegou, Douze, Schmid: Hamming embedding and weak geometric consistency for large scale image search, ECCV 2008.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.pairs import Pairs
from lookalike.relate.geometry.features import KeypointArrays, sift

SIDE = 128  # pixels of the long side, which a thumbnail's JPEG is decoded to for nothing
COUNT = 100  # features of a picture
MAX_FEATURES = 4_000_000  # in memory at a time: 43 bytes each with the index; more pictures get fewer features each
MIN_VOTES = 3  # of such pairs 95 of 100 were copies, of those with two votes 60
_DIM = 32  # of the reduced descriptors: the rest is noise at this size
_NEIGHBOURS = 12
_CLEARLY = 0.5  # of the squared distance to the last of the neighbours: nearer than that is no chance
_BINS = 12  # of rotation, 30 degrees each
_PROBED = 2
_TRAINED, _TRAINED_LISTS = 200_000, 40
_BLOCK = 1 << 16
_LEVELS = 127.0


def local_features(thumbnail: NDArray[np.uint8], count: int = COUNT) -> KeypointArrays:
    """The strongest features of a grey thumbnail (H, W): points (n, 4) and descriptors (n, 128)."""
    return sift(thumbnail, count)


class Reducer:
    """Descriptors as 32 signed bytes: the main directions of a sample of them, turned so that all vary alike."""

    def __init__(self, sample: NDArray[np.uint8]) -> None:
        rows = _unit(sample)
        self._mean = rows.mean(axis=0)
        centred = rows - self._mean
        _, axes = np.linalg.eigh(centred.T @ centred)
        spread, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(_DIM, _DIM)))
        self._basis = np.ascontiguousarray(axes[:, ::-1][:, :_DIM] @ spread, np.float32)

    def __call__(self, descriptors: NDArray[np.uint8]) -> NDArray[np.int8]:
        short = (_unit(descriptors) - self._mean) @ self._basis
        return np.asarray(np.clip(np.rint(short * 2 * _LEVELS), -127, 127), np.int8)


def shared_features(
    codes: NDArray[np.int8],
    angles: NDArray[np.float32],
    rows: NDArray[np.int32],
    *,
    min_votes: int = MIN_VOTES,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Pairs of rows with at least `min_votes` features in common that agree on a rotation; `score` is their number.

    `codes` (n, 32) by a `Reducer`, `angles` (n,) in degrees, `rows` (n,): the picture of each.
    """
    if len(codes) <= _NEIGHBOURS:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    keys = list(_votes(codes, angles, rows, progress))
    return _counted(np.concatenate(keys), int(rows.max()) + 1, min_votes)


def _votes(
    codes: NDArray[np.int8],
    angles: NDArray[np.float32],
    rows: NDArray[np.int32],
    progress: Callable[[int, int], None] | None,
) -> Iterator[NDArray[np.int64]]:
    """(first row, second row, rotation) of each vote, as one number."""
    index = _index(codes)
    size = int(rows.max()) + 1
    for start in range(0, len(codes), _BLOCK):
        asked = np.arange(start, min(start + _BLOCK, len(codes)))
        distances, found = index.search(codes[asked].astype(np.float32), _NEIGHBOURS)
        clear = (found >= 0) & (distances < _CLEARLY * distances[:, -1:]) & (rows[found] != rows[asked][:, None])
        at, nth = np.nonzero(clear)
        one, other = asked[at], found[at, nth]
        first, second = np.minimum(rows[one], rows[other]), np.maximum(rows[one], rows[other])
        turn = np.where(rows[one] < rows[other], angles[other] - angles[one], angles[one] - angles[other])
        bins = np.asarray((turn % 360) * (_BINS / 360), np.int64) % _BINS
        yield (first.astype(np.int64) * size + second) * _BINS + bins
        if progress:
            progress(int(asked[-1]) + 1, len(codes))


def _index(codes: NDArray[np.int8]) -> "faiss.IndexIVF":  # type: ignore[name-defined]  # noqa: F821
    import faiss

    lists = int(np.clip(len(codes) // _TRAINED_LISTS, 1, 2 ** round(np.log2(max(len(codes), 2) ** 0.5))))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(_DIM), _DIM, lists, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_L2
    )
    index.cp.niter, index.cp.max_points_per_centroid, index.nprobe = 5, _TRAINED_LISTS, _PROBED
    random = np.random.default_rng(0)
    chosen = random.choice(len(codes), min(len(codes), _TRAINED_LISTS * lists), replace=False)
    index.train(codes[chosen].astype(np.float32))
    for start in range(0, len(codes), _BLOCK):
        index.add(codes[start : start + _BLOCK].astype(np.float32))
    return index


def _counted(keys: NDArray[np.int64], size: int, min_votes: int) -> Pairs:
    """The pairs whose best rotation has enough votes."""
    votes, counts = np.unique(keys, return_counts=True)
    pairs = votes // _BINS
    starts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]]) if len(pairs) else np.zeros(0, np.int64)
    best = np.maximum.reduceat(counts, starts) if len(starts) else counts
    enough = best >= min_votes
    first, second = np.divmod(pairs[starts][enough], size)
    return Pairs(first, second, best[enough].astype(np.float32))


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows = descriptors.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows
