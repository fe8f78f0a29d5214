"""Cluster a collection: `cluster(photos, levels=(8, 64))` returns what each cluster is and where each image belongs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.choose_k import LevelChoice, choose_levels
from lookalike.cluster.density import density_clusters
from lookalike.cluster.k_center import cover
from lookalike.cluster.levels import Level, nested_levels
from lookalike.cluster.neighbors import read_vectors
from lookalike.errors import BadQuery, nearest
from lookalike.search import Collection
from lookalike.tasks import TaskPool
from lookalike.text import now
from lookalike.types import Vectors

MEDOIDS = 9  # representatives of a cluster
_MEDOID_CANDIDATES = 256  # images of a cluster's inner half, from which they are chosen
NOISE = -1
METHODS = ("kmeans", "density")
"""The methods of `cluster`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster.

    `level`: the number of clusters of its level. `parent`: the number of its parent in the next coarser level, or -1.
    `tightness`: the mean score of its images to its center. `medoids`: ids of its representatives, the most central
    first. `name`: its given name, or the label of most of its labeled images, or "".
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
        """Level and number, as the command line takes them: `64/12`."""
        return f"{self.level}/{self.number}"


@dataclass(slots=True, kw_only=True)
class Clusters:
    """A clustering of a collection.

    `levels`: coarsest first, with assignments (n,) in the order of `ids`; -1 is noise (density only). `clusters[i]`:
    the clusters of level i, by number. `choice`: how the levels were chosen, if automatically. `at`: the time at which
    the vectors were read. `joined` (n,): whether an image was assigned after the clustering.
    """

    method: str
    ids: list[str]
    levels: list[Level]
    clusters: list[list[Cluster]]
    choice: LevelChoice | None = None
    at: str = ""
    joined: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of clusters of each level."""
        return tuple(len(level.centers) for level in self.levels)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,) score of each image to the center of its finest cluster; -1 for noise."""
        return self.levels[-1].scores


def cluster(
    photos: Collection,
    levels: Sequence[int] | Literal["auto"] = "auto",
    *,
    method: str = "kmeans",
    labels: Mapping[str, str] | None = None,
    seeds: int = 3,
    seed: int = 0,
    tasks: TaskPool | None = None,
) -> Clusters:
    """Cluster a collection at one or several nested levels, without saving the result (see `save_clusters`).

    `method`: "kmeans", or "density" (HDBSCAN; ignores `levels`, noise is -1). `labels`: known labels by id, from which
    clusters get their names. `tasks`: what runs the passes of k-means over many vectors, such as a `RayTasks`; None:
    this machine. Raises BadQuery for more clusters than images, and for `tasks` with another method.
    """
    if tasks is not None and method == "density":
        raise BadQuery("density clusters are made on one machine only; leave the cluster out, or use kmeans")
    started_at, choice = now(), None
    ids, vectors = read_vectors(photos)
    if method == "density":
        results = [density_clusters(vectors)]
    elif method == "kmeans":
        if levels == "auto":
            choice = choose_levels(vectors, seed=seed)
        counts = choice.levels if choice else levels
        results = nested_levels(vectors, counts, seeds=seeds, seed=seed, tasks=tasks)  # type: ignore[arg-type]
    else:
        raise BadQuery(f"no method is called {method!r}; {nearest(method, METHODS)}")
    known = np.array([(labels or {}).get(name, "") for name in ids], object)
    described = [_describe(ids, vectors, results, index, known) for index in range(len(results))]
    none = np.zeros(len(ids), np.bool_)
    return Clusters(
        method=method, ids=ids, levels=results, clusters=described, choice=choice, at=started_at, joined=none
    )


def _describe(
    ids: list[str], vectors: Vectors, levels: list[Level], index: int, known: NDArray[np.object_]
) -> list[Cluster]:
    level = levels[index]
    order = np.lexsort((-level.scores, level.assignments))
    numbers = np.arange(len(level.centers))
    starts = np.searchsorted(level.assignments[order], numbers)
    ends = np.searchsorted(level.assignments[order], numbers, side="right")
    described = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        members = order[start:end]  # the most central first
        described.append(
            Cluster(
                level=len(level.centers),
                number=number,
                parent=int(levels[index - 1].assignments[members[0]]) if index else NOISE,
                size=len(members),
                tightness=float(level.scores[members].mean()),
                medoids=tuple(ids[row] for row in medoids(vectors, members)),
                name=majority(known[members]),
            )
        )
    return described


def medoids(vectors: Vectors, members: NDArray[np.int64], k: int = MEDOIDS) -> NDArray[np.int64]:
    """Return the most central of `members` (sorted so), then others of the inner half that show its variety."""
    inner = members[: max(len(members) // 2, min(k, len(members)))]
    inner = inner[np.linspace(0, len(inner) - 1, min(len(inner), _MEDOID_CANDIDATES)).astype(np.int64)]
    return inner[cover(vectors[inner], k, first=0).rows]


def majority(labels: NDArray[np.object_]) -> str:
    """Return the label of more than half of the labeled images, or ""."""
    counts = Counter(label for label in labels.tolist() if label)
    if not counts:
        return ""
    label, count = counts.most_common(1)[0]
    return str(label) if 2 * count > counts.total() else ""
