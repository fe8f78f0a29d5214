"""The order of hits: exact scores in double precision; scores equal to six decimals are a tie, broken by id.

Engines compute scores in float32 or less, where one vector under two ids can differ in the last digit. All candidates
are ranked here, so that every store returns the same hits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.similarity import cosine, is_damaged

DECIMALS = 6
FLOAT32_ERROR = 2e-6  # of a dot product of unit vectors of up to 2048 numbers
HALF_ERROR = 5e-4  # the same with one side in half precision: 2**-11 for each number, at worst


def exact_scores(query: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute scores (n,) of one query (dim,) against candidates (n, dim); -1 for damaged vectors."""
    precise: Any = cosine(query[None].astype(np.float64), vectors.astype(np.float64))
    scores: NDArray[np.float64] = np.round(precise[0], DECIMALS) + 0.0  # + 0.0: no minus nought
    scores[is_damaged(vectors)] = -1.0
    return scores


def best(scores: NDArray[np.float64], ids: Sequence[str] | NDArray[np.object_], k: int | None = None) -> list[int]:
    """Return positions from best to worst, at most k."""
    order = sorted(range(len(ids)), key=lambda at: (-scores[at], ids[at]))
    return order if k is None else order[:k]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that an engine proposes for one query.

    `rows` (n,): row ids or positions. `scores` (n,): each off by up to `error`, infinite where it is unknown. `bound`:
    the most that any row left out may score, -inf where none was or none counts.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    error: float
    bound: float = -np.inf

    @classmethod
    def none(cls) -> "Candidates":
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), 0.0)

    @classmethod
    def joined(cls, parts: "Sequence[Candidates]") -> "Candidates":
        """The candidates of several parts of a collection."""
        if len(parts) == 1:
            return parts[0]
        none = cls.none()
        return cls(
            np.concatenate([none.rows, *(part.rows for part in parts)]),
            np.concatenate([none.scores, *(part.scores for part in parts)]),
            max((part.error for part in parts), default=0.0),
            max((part.bound for part in parts), default=-np.inf),
        )

    def shifted(self, offset: int) -> "Candidates":
        return replace(self, rows=self.rows + offset) if offset else self

    def pruned(self, k: int) -> tuple[NDArray[np.int64], float]:
        """The rows that may be among the k best, and a bound of the score of every other row.

        Of 64 candidates a dozen remain: reading their vectors is half of the time of a search.
        """
        if len(self.scores) > k and self.error < np.inf:
            kth = np.partition(self.scores, len(self.scores) - k)[len(self.scores) - k]
            may = self.scores >= kth - 2 * self.error - 10.0**-DECIMALS
            if not may.all():
                return self.rows[may], max(self.bound, float(self.scores[~may].max()) + self.error)
        return self.rows, self.bound


def is_complete(scores: NDArray[np.float64], k: int, bound: float) -> bool:
    """Whether the k best of these candidates are the k best of all rows, if every other row scores at most `bound`."""
    if bound == -np.inf:
        return True
    return len(scores) >= k and bool(np.partition(scores, len(scores) - k)[len(scores) - k] > bound)
