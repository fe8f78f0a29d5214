"""Four bits for each number of a vector: a first look at all of them that costs a tenth of reading them.

A number is written as one of the 16 levels that lose least on normally distributed ones (Max: Quantizing for minimum
distortion, 1960), and FAISS's fast scan (André, Kermarrec, Le Scouarnec: Quicker ADC, 2019) adds up 32 vectors at a
time out of the processor's registers: over 100,000 x 256 a query takes .7 ms of a core where half precision takes 5.
What a look leaves out is bounded, so whoever compares the candidates in full knows whether another could be better.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

_HALF = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326)
LEVELS = np.array([*(-level for level in reversed(_HALF)), *_HALF], np.float32)  # of a normal variable, sigma 1
BINS, REACH = 256, 4.0  # a number's level is looked up by its distance from the mean: so many bins, so many sigmas
BLOCK = 1024  # rows encoded at a time: they stay in the cache
SAMPLE = 512  # rows whose lost parts tell how wrong a score may be
SIGMAS = 6.0  # a row is overlooked once in 5e8, and only if it is among the best
BYTE, SUM = 255, 65535  # the scan's tables have steps in bytes, summed in 16 bits
_middles = (np.arange(BINS) + 0.5) / BINS * 2 * REACH - REACH
NEAREST = np.abs(_middles[:, None] - LEVELS).argmin(axis=1).astype(np.uint8)


@dataclass(frozen=True)
class Codes:
    """The codes of (n, dim) unit vectors. `lost` (m, dim): what some of them lost, each brought to the `worst` length.

    `spans` (dim,): how far apart the lowest and the highest level of each number are.
    """

    index: Any
    lost: Vectors
    worst: float
    spans: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def candidates(
        self, queries: Vectors, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """k rows for each query (q, k), likely ones first; the most that each may score; the most any other may.

        A score s is seen as s (1 - |lost|^2) for what the query and the row share, and off by a normal error that
        has the spread of the query's scores with what other rows lost; the scan's tables round dim numbers to a step.
        """
        seen, rows = self.index.search(queries, k)
        variance = np.mean(np.square(queries @ self.lost.T, dtype=np.float64), axis=1)
        ranges = np.abs(queries) * self.spans
        step = np.maximum(ranges.max(axis=1) / BYTE, ranges.sum(axis=1) / SUM)
        most = seen + SIGMAS * np.sqrt(variance + len(self.spans) * step**2 / 12)[:, None]
        most = np.where(most > 0, most / (1 - self.worst**2), most)
        return rows, most, most[:, -1] if k < len(self) else np.full(len(queries), -np.inf)


def encode(vectors: Vectors) -> Codes | None:
    """The codes of unit vectors (n, dim); None where some would lose all of themselves."""
    centre, spread = vectors.mean(axis=0), vectors.std(axis=0)
    levels = centre[:, None] + spread[:, None] * LEVELS  # dim x 16
    bins = BINS / (2 * REACH) / np.maximum(spread, 1e-9)
    some = np.linspace(0, len(vectors) - 1, min(SAMPLE, len(vectors))).astype(np.intp)
    packed = np.empty((len(vectors), (vectors.shape[1] + 1) // 2), np.uint8)
    worst = 0.0
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        codes = NEAREST[np.clip((block - centre) * bins + BINS / 2, 0, BINS - 1).astype(np.uint8)]
        packed[start : start + BLOCK] = _packed(codes)
        worst = max(worst, float(np.linalg.norm(block - _levels_of(codes, levels), axis=1).max()))
    if worst >= 1:
        return None
    index = _index(levels, packed)
    lost = vectors[some] - index.reconstruct_batch(some)
    lost *= worst / np.maximum(np.linalg.norm(lost, axis=1, keepdims=True), 1e-9)
    return Codes(index, lost, worst, levels[:, -1] - levels[:, 0])


def _levels_of(codes: NDArray[np.uint8], levels: NDArray[np.float32]) -> NDArray[np.float32]:
    return levels[np.arange(len(levels)), codes]


def _packed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two codes a byte, the first in the low bits; of an odd number the last is alone."""
    packed = codes[:, 0::2].copy()
    packed[:, : codes.shape[1] // 2] |= codes[:, 1::2] << 4
    return packed


def _index(levels: NDArray[np.float32], packed: NDArray[np.uint8]) -> Any:
    import faiss

    plain: Any = faiss.IndexPQ(len(levels), len(levels), 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(levels, np.float32).ravel(), plain.pq.centroids)
    plain.is_trained = True
    plain.add_sa_codes(packed)
    return faiss.IndexPQFastScan(plain)
