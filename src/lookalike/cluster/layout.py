"""A map of the collection: similar images close together in the plane, by t-SNE (openTSNE) on FAISS neighbors.

Of a large collection a sample is laid out, and the other images are placed among their neighbors of it. Positions are
saved in the collection: a new image is placed in the same way and no other image moves.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.grouping import Clusters
from lookalike.cluster.neighbors import index_for, nearest_neighbors, read_vectors, sample_rows
from lookalike.errors import LookalikeError
from lookalike.schema import CURRENT_MAP, MAP
from lookalike.search import Collection
from lookalike.store.table_columns import read_columns, replace_rows
from lookalike.types import Table, Vectors

_PERPLEXITY = 20
_MAX_SINGLE_THREAD = 5_000  # images up to which several threads wait for each other more than they work
_PLACEMENT_NEIGHBORS = 5
_BATCH = 50_000
MAX_SHOWN = 100_000
"""The number of images that the page, the figure and the API show of a larger map."""

MAX_LAID_OUT = 100_000  # images that t-SNE lays out: minutes; the other ones lie between them

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
    old, positions = np.zeros(len(ids), np.bool_), np.zeros((len(ids), 2), np.float32)
    if not again:
        saved_ids, saved = load_map(photos)
        row_of = {name: row for row, name in enumerate(saved_ids)}
        rows = np.array([row_of.get(name, -1) for name in ids], np.int64)
        old = rows >= 0
        positions[old] = saved[rows[old]]
    if not old.any():
        again = True
        old[sample_rows(len(ids), MAX_LAID_OUT)] = True
        positions[old] = layout(vectors if old.all() else vectors[old], progress=progress)
    new = np.flatnonzero(~old)
    _fill_in(vectors, np.flatnonzero(old), new, positions)
    _save_positions(photos, ids, positions, None if again else new)
    return ids, positions


def _fill_in(vectors: Vectors, old: NDArray[np.int64], new: NDArray[np.int64], positions: Positions) -> None:
    """Fill in the positions of new rows by those of old ones, of which a sample stands for all."""
    if not len(new):
        return
    old = old[sample_rows(len(old), MAX_LAID_OUT)]
    index, known = index_for(vectors[old], len(new)), positions[old]
    for start in range(0, len(new), _BATCH):
        some = new[start : start + _BATCH]
        positions[some] = _positions_among(index, vectors[some], known)


def load_map(photos: Collection) -> tuple[list[str], Positions]:
    """Return the saved ids and positions without reading vectors; empty if no map was made."""
    record = json.loads(photos.store.settings.get(CURRENT_MAP.name, "{}"))
    rows = read_columns(_table(photos), MAP.key, {"run": int, "x": float, "y": float})
    own = rows["run"] == record.get("run", -1)
    positions = np.stack([rows[axis][own] for axis in ("x", "y")], axis=1).astype(np.float32)
    return rows[MAP.key][own].tolist(), positions


def shown_rows(count: int) -> NDArray[np.int64]:
    """Return which of so many images a page or a figure shows: all, or a random sample of MAX_SHOWN, ascending."""
    return sample_rows(count, MAX_SHOWN)


def map_version(photos: Collection) -> str:
    """A text that changes when the map is laid out again or new images are placed on it."""
    return photos.store.settings.get(CURRENT_MAP.name, "")


def place_new(new: Vectors, old: Vectors, positions: Positions) -> Positions:
    """Return positions (n, 2) for new vectors: the median of their nearest old vectors' positions.

    Many new vectors are placed among many old ones by an inverted file: near is good enough.
    """
    if not len(new):
        return np.zeros((0, 2), np.float32)
    return _positions_among(index_for(old, len(new)), new, positions)


def _positions_among(index: Any, new: Vectors, positions: Positions) -> Positions:
    """Positions for new vectors; `index` holds the vectors that have `positions` (m, 2)."""
    _, rows = index.search(np.ascontiguousarray(new), min(_PLACEMENT_NEIGHBORS, index.ntotal))
    middle = np.median(positions[np.where(rows < 0, rows[:, :1], rows)], axis=1)
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


def _save_positions(photos: Collection, ids: list[str], positions: Positions, rows: NDArray[np.int64] | None) -> None:
    """Save the positions of these rows, or of all as a new map (None)."""
    record = json.loads(photos.store.settings.get(CURRENT_MAP.name, '{"run": 0}'))
    run, placed = int(record["run"]), int(record.get("placed", 0))
    if rows is None:
        run, placed = run + 1, 0
        x, y = positions.astype(np.float64).T
        columns: dict[str, Any] = {"id": ids, "run": np.full(len(ids), run, np.int64), "x": x, "y": y}
        replace_rows(_table(photos), MAP.key, columns)
        rows = np.arange(len(ids))
    else:
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            moved = zip(part.tolist(), positions[part].tolist(), strict=True)
            _table(photos).put([{"id": ids[row], "run": run, "x": x, "y": y} for row, (x, y) in moved])
    if len(rows):
        photos.store.set_settings({CURRENT_MAP.name: json.dumps({"run": run, "placed": placed + len(rows)})})


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
        position_of = {name: n for n, name in enumerate(ids)}  # not of the clusters, which may have millions of images
        rows = np.full(len(ids), -1, np.int64)
        for row, name in enumerate(clusters.ids):
            if (n := position_of.get(name)) is not None:
                rows[n] = row
        for count, level, described in zip(clusters.counts, clusters.levels, clusters.clusters, strict=True):
            of = np.where(rows >= 0, level.assignments[rows], -1) if len(level.assignments) else np.full(len(ids), -1)
            titles = [f"{c.number} {c.name}".strip() for c in described]
            result.append((f"{count} cluster{'s' * (count != 1)}", titles, of.astype(np.int32)))
    return result
