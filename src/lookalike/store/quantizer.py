"""Four-bit codes of unit vectors: a first pass over all rows at a tenth of the cost of reading them, with a bound.

Each number is quantized to one of the 16 levels that minimize the distortion of a normal variable (Max: Quantizing for
minimum distortion, 1960). FAISS's fast scan (André, Kermarrec, Le Scouarnec: Quicker ADC, 2019) adds up 32 vectors at a
time in the processor's registers: over 100,000 x 256 a query takes .7 ms of a core, half precision 5. What a pass
leaves out is bounded, so that a caller who rescores the candidates knows whether another row could be better.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

_POSITIVE_LEVELS = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326)
LEVELS = np.array([*(-level for level in reversed(_POSITIVE_LEVELS)), *_POSITIVE_LEVELS], np.float32)  # in sigmas
_BINS, _REACH = 256, 4.0  # a number's level is looked up by its distance from the mean: bins, and sigmas they cover
_BLOCK = 1024  # rows encoded at a time: they stay in the cache
_SAMPLE = 512  # rows whose residuals are kept
_SIGMAS = 6.0  # a row is missed once in 5e8, and only if it is among the best
_MAX_BYTE, _MAX_SUM = 255, 65535  # the scan's tables hold bytes, summed in 16 bits
_bin_centers = (np.arange(_BINS) + 0.5) / _BINS * 2 * _REACH - _REACH
_NEAREST_LEVEL = np.abs(_bin_centers[:, None] - LEVELS).argmin(axis=1).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of (n, dim) unit vectors.

    `index`: FAISS's. `residuals` (m, dim): what the codes of some rows lose, each scaled to length `max_residual`, the
    largest of all rows. `ranges` (dim,): distance between the lowest and the highest level of each number.
    """

    index: Any
    residuals: Vectors
    max_residual: float
    ranges: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def nbytes(self) -> int:
        return len(self) * (len(self.ranges) + 1) // 2 + self.residuals.nbytes

    def candidates(
        self, queries: Vectors, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Rows (q, k) in order of their approximate score, upper bounds (q, k) of their true scores, and an upper
        bound (q,) of the score of every other row, -inf where there is none.

        A true score s is measured as s (1 - |residual|^2) with an error that is normal, with the spread of the
        query's products with residuals of other rows; the scan's tables round each of dim numbers to a step.
        """
        measured, rows = self.index.search(queries, k)
        variance = np.mean(np.square(queries @ self.residuals.T, dtype=np.float64), axis=1)
        ranges = np.abs(queries) * self.ranges
        step = np.maximum(ranges.max(axis=1) / _MAX_BYTE, ranges.sum(axis=1) / _MAX_SUM)
        upper_bounds = measured + _SIGMAS * np.sqrt(variance + len(self.ranges) * step**2 / 12)[:, None]
        upper_bounds = np.where(upper_bounds > 0, upper_bounds / (1 - self.max_residual**2), upper_bounds)
        return rows, upper_bounds, upper_bounds[:, -1] if k < len(self) else np.full(len(queries), -np.inf)


def encode(vectors: Vectors) -> Codes | None:
    """Codes of unit vectors (n, dim); None where a code would lose a whole vector."""
    center, spread = vectors.mean(axis=0), vectors.std(axis=0)
    levels = center[:, None] + spread[:, None] * LEVELS  # dim x 16
    bins = _BINS / (2 * _REACH) / np.maximum(spread, 1e-9)
    sample = np.linspace(0, len(vectors) - 1, min(_SAMPLE, len(vectors))).astype(np.intp)
    packed = np.empty((len(vectors), (vectors.shape[1] + 1) // 2), np.uint8)
    max_residual = 0.0
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        codes = _NEAREST_LEVEL[np.clip((block - center) * bins + _BINS / 2, 0, _BINS - 1).astype(np.uint8)]
        packed[start : start + _BLOCK] = _packed(codes)
        residuals = block - levels[np.arange(len(levels)), codes]
        max_residual = max(max_residual, float(np.linalg.norm(residuals, axis=1).max()))
    if max_residual >= 1:
        return None
    index = _index(levels, packed)
    residuals = vectors[sample] - index.reconstruct_batch(sample)
    residuals *= max_residual / np.maximum(np.linalg.norm(residuals, axis=1, keepdims=True), 1e-9)
    return Codes(index, residuals, max_residual, levels[:, -1] - levels[:, 0])


def _packed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two codes a byte, the first in the low bits; the last of an odd number fills a byte alone."""
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
