"""What may colour a map: labels, and the clusters of each level."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.grouping import Clusters

# No grey: that is the colour of what has no name.
PALETTE = (
    "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#b5179e",
    "#0b7285", "#e8590c", "#5c940d", "#862e9c", "#c92a2a", "#1864ab", "#2b8a3e", "#d6336c", "#f08c00", "#a9b800",
)  # fmt: skip

Colouring = tuple[str, list[str], NDArray[np.int32]]
"""Title, names, and the place of each picture's among them, -1 for none."""


def colourings(ids: Sequence[str], clusters: Clusters | None, labels: Mapping[str, str]) -> list[Colouring]:
    """The labels first, where there are any, the most frequent name first; then the levels, coarsest first."""
    found = []
    named = [labels.get(name, "") for name in ids]
    if any(named):
        names = [name for name, _ in Counter(name for name in named if name).most_common()]
        place = {name: n for n, name in enumerate(names)}
        found.append(("label", names, np.array([place.get(name, -1) for name in named], np.int32)))
    if clusters is not None:
        row_of = {name: row for row, name in enumerate(clusters.ids)}
        rows = np.array([row_of.get(name, -1) for name in ids], np.int64)
        for count, level, described in zip(clusters.counts, clusters.levels, clusters.clusters, strict=True):
            of = np.where(rows >= 0, level.assignments[rows], -1) if len(level.assignments) else np.full(len(ids), -1)
            titles = [f"{c.number} {c.name}".strip() for c in described]
            found.append((f"{count} cluster{'s' * (count != 1)}", titles, of.astype(np.int32)))
    return found
