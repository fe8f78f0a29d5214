"""A map of the collection: similar images close together in the plane, by t-SNE (openTSNE) on FAISS neighbors.

Positions are saved in the collection: a new image is placed among its neighbors and no other image moves.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.grouping import Clusters
from lookalike.cluster.neighbors import nearest_neighbors, read_vectors
from lookalike.errors import LookalikeError
from lookalike.schema import CURRENT_MAP, MAP
from lookalike.search import Collection
from lookalike.types import Table, Vectors

_PERPLEXITY = 20
_MAX_SINGLE_THREAD = 5_000  # images up to which several threads wait for each other more than they work
_PLACEMENT_NEIGHBORS = 5
_BATCH = 50_000

Positions = NDArray[np.float32]

# Without gray, which is the color of images without a name.
PALETTE = (
    "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#b5179e",
    "#0b7285", "#e8590c", "#5c940d", "#862e9c", "#c92a2a", "#1864ab", "#2b8a3e", "#d6336c", "#f08c00", "#a9b800",
)  # fmt: skip
"""The colors of the names in a map, as `#rrggbb`, in the order in which names get them."""

Coloring = tuple[str, list[str], NDArray[np.int32]]
"""Title, names, and the index of each image's name among them, -1 for none."""


def layout(vectors: Vectors, *, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Positions:
    """Return positions (n, 2) in [-1, 1] of (n, dim) unit vectors. The same arguments give the same map.

    van der Maaten, Hinton: t-SNE, 2008; Linderman et al.: FIt-SNE, 2019; Kobak, Berens: early exaggeration, rate n / 12
    and a PCA start, 2019. Raises LookalikeError if openTSNE is not installed.
    """
    if len(vectors) < 5:
        return _line(len(vectors))
    try:
        from openTSNE import TSNEEmbedding, affinity
        from openTSNE import nearest_neighbors as tsne_neighbors
    except ImportError as error:
        raise LookalikeError("a map needs openTSNE; pip install 'lookalike[map]'") from error
    k = min(3 * _PERPLEXITY, len(vectors) - 1)
    rows, scores = nearest_neighbors(vectors, k)
    jobs = -1 if len(vectors) > _MAX_SINGLE_THREAD else 1
    near = tsne_neighbors.PrecomputedNeighbors(rows, np.sqrt(np.maximum(2 - 2 * scores, 0)))
    affinities = affinity.PerplexityBasedNN(knn_index=near, perplexity=k / 3, n_jobs=jobs)
    engine = TSNEEmbedding(_pca_start(vectors, seed), affinities, n_jobs=jobs, random_state=seed)
    for part, (rounds, exaggeration) in enumerate(_schedule(len(vectors))):
        if progress:
            progress(part, len(_schedule(len(vectors))))
        engine = engine.optimize(n_iter=rounds, exaggeration=exaggeration, momentum=0.5 if part == 0 else 0.8)
    return scale_to_square(np.asarray(engine, np.float32))


def make_map(
    photos: Collection, *, again: bool = False, progress: Callable[[int, int], None] | None = None
) -> tuple[list[str], Positions]:
    """Return ids and positions of every image, and save new positions.

    Saved positions stay, new images are placed among their neighbors; without saved positions everything is laid out.
    `again`: lay out everything. Raises BadQuery if there is no image, ReadOnly.
    """
    ids, vectors = read_vectors(photos)
    saved = {} if again else _saved_positions(photos)
    old = np.array([name in saved for name in ids])
    positions = np.zeros((len(ids), 2), np.float32)
    if old.any():
        positions[old] = [saved[name] for name in np.array(ids, object)[old]]
        positions[~old] = place_new(vectors[~old], vectors[old], positions[old])
        new = ~old
    else:
        positions = layout(vectors, progress=progress)
        new = np.ones(len(ids), np.bool_)
    _save_positions(photos, np.array(ids, object)[new].tolist(), positions[new], again=again or not old.any())
    return ids, positions


def load_map(photos: Collection) -> tuple[list[str], Positions]:
    """Return the saved ids and positions without reading vectors; empty if no map was made."""
    saved = _saved_positions(photos)
    return list(saved), np.array(list(saved.values()), np.float32).reshape(-1, 2)


def map_version(photos: Collection) -> str:
    """A text that changes when the map is laid out again or new images are placed on it."""
    return photos.store.settings.get(CURRENT_MAP.name, "")


def place_new(new: Vectors, old: Vectors, positions: Positions) -> Positions:
    """Return positions (n, 2) for new vectors: the median of their nearest old vectors' positions."""
    import faiss

    if not len(new):
        return np.zeros((0, 2), np.float32)
    index = faiss.IndexFlatIP(old.shape[1])
    index.add(np.ascontiguousarray(old))
    _, rows = index.search(np.ascontiguousarray(new), min(_PLACEMENT_NEIGHBORS, len(old)))
    middle = np.median(positions[rows], axis=1)
    # Never exactly on another image: a shift of a thousandth of the map, taken from the vector itself.
    return np.asarray(middle + 0.002 * new[:, :2] / max(float(np.abs(new[:, :2]).max()), 1e-6), np.float32)


def scale_to_square(positions: Positions) -> Positions:
    """Center and scale positions into [-1, 1], both axes alike; the farthest thousandth is clipped to the edge."""
    middle = np.median(positions, axis=0)
    extent = float(np.quantile(np.abs(positions - middle).max(axis=1), 0.999)) or 1.0
    return np.asarray(np.clip((positions - middle) / (1.02 * extent), -1, 1), np.float32)


def _schedule(count: int) -> list[tuple[int, float]]:
    """Rounds and exaggeration: 12 to form groups, then 1, or 2 beyond 50,000 images, where groups would touch."""
    if count <= 2_000:
        return [(100, 12.0), *[(50, 1.0)] * 4]
    return [(250, 12.0), *[(100, 1.0 if count <= 50_000 else 2.0)] * 4]


def _pca_start(vectors: Vectors, seed: int) -> NDArray[np.float64]:
    """The first two principal components, scaled down: the same images start at the same positions."""
    mean = vectors.mean(axis=0)
    sample = vectors[:: max(len(vectors) // 20_000, 1)] - mean
    axes = np.linalg.svd(sample.T @ sample)[0][:, :2]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    start = (vectors @ axes - mean @ axes).astype(np.float64)
    spread = float(start[:, 0].std()) or 1.0
    return np.asarray(1e-4 * start / spread + np.random.default_rng(seed).normal(0, 1e-6, start.shape), np.float64)


def _line(count: int) -> Positions:
    return np.stack([np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(count), np.zeros(count)], axis=1).astype(
        np.float32
    )


def _table(photos: Collection) -> Table:
    return photos.store.table(MAP.name, MAP.key)


def _saved_positions(photos: Collection) -> dict[str, tuple[float, float]]:
    record = json.loads(photos.store.settings.get(CURRENT_MAP.name, "{}"))
    if not record:
        return {}
    return {
        str(row["id"]): (float(row["x"] or 0), float(row["y"] or 0))
        for row in _table(photos).all()
        if row["run"] == record["run"]
    }


def _save_positions(photos: Collection, ids: list[str], positions: Positions, *, again: bool) -> None:
    record = json.loads(photos.store.settings.get(CURRENT_MAP.name, '{"run": 0}'))
    run = int(record["run"]) + again
    for start in range(0, len(ids), _BATCH):
        part = slice(start, start + _BATCH)
        rows = zip(ids[part], positions[part].tolist(), strict=True)
        _table(photos).put([{"id": name, "run": run, "x": x, "y": y} for name, (x, y) in rows])
    if again or ids:
        placed = (0 if again else int(record.get("placed", 0))) + len(ids)
        photos.store.set_settings({CURRENT_MAP.name: json.dumps({"run": run, "placed": placed})})


# --- colors


def colorings(ids: Sequence[str], clusters: Clusters | None, labels: Mapping[str, str]) -> list[Coloring]:
    """Return what a map may be colored by: labels, if any (most frequent first), then each level, coarsest first."""
    result = []
    named = [labels.get(name, "") for name in ids]
    if any(named):
        names = [name for name, _ in Counter(name for name in named if name).most_common()]
        index = {name: n for n, name in enumerate(names)}
        result.append(("label", names, np.array([index.get(name, -1) for name in named], np.int32)))
    if clusters is not None:
        row_of = {name: row for row, name in enumerate(clusters.ids)}
        rows = np.array([row_of.get(name, -1) for name in ids], np.int64)
        for count, level, described in zip(clusters.counts, clusters.levels, clusters.clusters, strict=True):
            of = np.where(rows >= 0, level.assignments[rows], -1) if len(level.assignments) else np.full(len(ids), -1)
            titles = [f"{c.number} {c.name}".strip() for c in described]
            result.append((f"{count} cluster{'s' * (count != 1)}", titles, of.astype(np.int32)))
    return result
