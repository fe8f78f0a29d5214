"""Match the features of two images: nearest neighbors that are clearly nearer than the second nearest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.features import Features

RATIO = (
    0.85  # of distances, nearest to second nearest; looser than Lowe's .8, since the transform rejects wrong matches
)


@dataclass(frozen=True, slots=True)
class MatchedPoints:
    """Matched features: (n, 4) x, y, size, angle in either image, best first."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)


def match_features(first: Features, second: Features) -> MatchedPoints:
    """Return one-to-one matches that pass Lowe's ratio test, clearest first."""
    if len(first) < 2 or len(second) < 2:
        return MatchedPoints(first.points[:0], second.points[:0])
    cosines = first.unit @ second.unit.T
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1
    ratio = np.sqrt(np.maximum(1 - best, 0) / np.maximum(1 - cosines.max(axis=1), 1e-6))
    accepted = np.flatnonzero(ratio < RATIO)
    accepted = accepted[np.argsort(ratio[accepted], kind="stable")]
    # Each feature of the second image is used once, by its clearest match: repeated texture would vote many times.
    _, once = np.unique(nearest[accepted], return_index=True)
    accepted = accepted[np.sort(once)]
    return MatchedPoints(first.points[accepted], second.points[nearest[accepted]])
