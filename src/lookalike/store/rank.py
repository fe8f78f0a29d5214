"""The order of hits: exact scores in double precision, equal to six decimals counts as a tie, ties go by id.

Engines propose candidates in float32 or less, where the same vector under two ids can differ in the last digit;
ranking all candidates here makes every store give the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import cosine, is_damaged

DECIMALS = 6
FLOAT32_ERROR = 2e-6  # of a dot product of unit vectors with up to 2048 numbers
HALF_ERROR = 5e-4  # the same with one side in half precision: 2**-11 for each number, at worst


def exact_scores(query: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores (n,) of one query (dim,) against candidates (n, dim); -1 for those whose vector is damaged."""
    precise: Any = cosine(query[None].astype(np.float64), vectors.astype(np.float64))
    scores: NDArray[np.float64] = np.round(precise[0], DECIMALS) + 0.0  # + 0.0: no minus nought
    scores[is_damaged(vectors)] = -1.0
    return scores


def best(scores: NDArray[np.float64], ids: Sequence[str] | NDArray[np.object_], k: int | None = None) -> list[int]:
    """Positions from best to worst, at most k."""
    order = sorted(range(len(ids)), key=lambda at: (-scores[at], ids[at]))
    return order if k is None else order[:k]


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates with an engine's scores, each wrong by up to `error`, or unknown; `all_rows`: there are no others."""

    row_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    error: float
    all_rows: bool

    def pruned(self, k: int) -> tuple[NDArray[np.int64], float]:
        """The candidates that may be among the k best, and a score that no other row exceeds.

        Of 64 candidates a dozen stay: reading their vectors is half of the time of a hot search.
        """
        if len(self.scores) > k:
            kth = np.partition(self.scores, len(self.scores) - k)[len(self.scores) - k]
            may = self.scores >= kth - 2 * self.error - 10.0**-DECIMALS
            if not may.all():
                return self.row_ids[may], float(self.scores[~may].max()) + self.error
        return self.row_ids, -np.inf if self.all_rows else float(self.scores.min()) + self.error


def settled(scores: NDArray[np.float64], k: int, bound: float) -> bool:
    """Whether the k best of these candidates are the k best of all, if all others score at most `bound`."""
    return len(scores) >= k and bool(np.partition(scores, len(scores) - k)[len(scores) - k] > bound)
