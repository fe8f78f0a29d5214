"""A collection in clusters: what each cluster is, and where each picture belongs. `cluster(photos, levels=(8, 64))`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.choose_k import Choice, choose_levels
from lookalike.cluster.density import dense_groups
from lookalike.cluster.k_center import cover
from lookalike.cluster.levels import Level, nested
from lookalike.cluster.vectors import read_vectors
from lookalike.errors import BadQuery, nearest
from lookalike.search import Collection
from lookalike.text import now
from lookalike.types import Vectors

SHOWN = 9  # representatives of a cluster
_AMONG = 256  # of a cluster's inner half, from which they are chosen
NOISE = -1
METHODS = ("kmeans", "density")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster. `level`: how many clusters its level has. `parent`: its number in the next coarser level, or -1.

    `tightness`: the mean score of its pictures to its centre. `medoids`: ids that stand for it, the most central first.
    `name`: what it was called, or the label of most of its labelled pictures, or "".
    """

    level: int
    number: int
    parent: int = -1
    size: int
    tightness: float
    medoids: tuple[str, ...]
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.level}/{self.number}"


@dataclass(slots=True, kw_only=True)
class Clusters:
    """`levels`: coarsest first, with assignments (n,) in the order of `ids`; -1 is noise (density only).

    `clusters[i]`: those of level i, by number. `choice`: how the levels were chosen, where they were not given.
    """

    method: str
    ids: list[str]
    levels: list[Level]
    clusters: list[list[Cluster]]
    choice: Choice | None = None
    at: str = ""
    joined: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(level.centres) for level in self.levels)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,) score of each picture to the centre of its finest cluster; -1 where it is noise."""
        return self.levels[-1].scores


def cluster(
    photos: Collection,
    levels: Sequence[int] | Literal["auto"] = "auto",
    *,
    method: str = "kmeans",
    labels: Mapping[str, str] | None = None,
    seeds: int = 3,
    seed: int = 0,
) -> Clusters:
    """Group a collection at one or several nested levels; nothing is written (see `keep_clusters`).

    `method`: "kmeans", or "density" (HDBSCAN; `levels` is not used, noise is -1). `labels`: known labels by id, for the
    clusters' names. Raises BadQuery for more clusters than pictures.
    """
    begun, choice = now(), None
    ids, vectors = read_vectors(photos)
    if method == "density":
        found = [dense_groups(vectors)]
    elif method == "kmeans":
        if levels == "auto":
            choice = choose_levels(vectors, seed=seed)
        found = nested(vectors, choice.levels if choice else levels, seeds=seeds, seed=seed)  # type: ignore[arg-type]
    else:
        raise BadQuery(f"no method is called {method!r}; {nearest(method, METHODS)}")
    known = np.array([(labels or {}).get(name, "") for name in ids], object)
    described = [_describe(ids, vectors, found, place, known) for place in range(len(found))]
    none = np.zeros(len(ids), np.bool_)
    return Clusters(method=method, ids=ids, levels=found, clusters=described, choice=choice, at=begun, joined=none)


def _describe(
    ids: list[str], vectors: Vectors, levels: list[Level], place: int, known: NDArray[np.object_]
) -> list[Cluster]:
    level = levels[place]
    order = np.lexsort((-level.scores, level.assignments))
    numbers = np.arange(len(level.centres))
    starts = np.searchsorted(level.assignments[order], numbers)
    ends = np.searchsorted(level.assignments[order], numbers, side="right")
    described = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        members = order[start:end]  # the most central first
        described.append(
            Cluster(
                level=len(level.centres),
                number=number,
                parent=int(levels[place - 1].assignments[members[0]]) if place else NOISE,
                size=len(members),
                tightness=float(level.scores[members].mean()),
                medoids=tuple(ids[row] for row in medoids(vectors, members)),
                name=majority(known[members]),
            )
        )
    return described


def medoids(vectors: Vectors, members: NDArray[np.int64], k: int = SHOWN) -> NDArray[np.int64]:
    """The most central of `members` (which come in that order), then others of the inner half that show its breadth."""
    inner = members[: max(len(members) // 2, min(k, len(members)))]
    inner = inner[np.linspace(0, len(inner) - 1, min(len(inner), _AMONG)).astype(np.int64)]
    return inner[cover(vectors[inner], k, first=0).rows]


def majority(labels: NDArray[np.object_]) -> str:
    """The label of more than half of those that have one, or ""."""
    counts = Counter(label for label in labels.tolist() if label)
    if not counts:
        return ""
    label, count = counts.most_common(1)[0]
    return str(label) if 2 * count > counts.total() else ""
