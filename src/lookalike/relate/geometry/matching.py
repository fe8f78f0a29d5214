"""Which feature of one picture is which of the other: nearest neighbours that are clearly nearer than the next."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.features import Features

RATIO = 0.85  # of distances, nearest to second nearest; looser than Lowe's .8, since the transform sorts out the rest


@dataclass(frozen=True, slots=True)
class Pairs:
    """Matched features: (n, 4) x, y, size, angle of either picture, best first."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)


def match(first: Features, second: Features) -> Pairs:
    """One-to-one matches that pass Lowe's ratio test, clearest first."""
    if len(first) < 2 or len(second) < 2:
        return Pairs(first.points[:0], second.points[:0])
    cosines = first.unit @ second.unit.T
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1
    ratio = np.sqrt(np.maximum(1 - best, 0) / np.maximum(1 - cosines.max(axis=1), 1e-6))
    good = np.flatnonzero(ratio < RATIO)
    good = good[np.argsort(ratio[good], kind="stable")]
    # A feature of the second picture is used once, by the clearest match: repeated texture would vote many times.
    _, once = np.unique(nearest[good], return_index=True)
    good = good[np.sort(once)]
    return Pairs(first.points[good], second.points[nearest[good]])
