"""A map of the collection: alike pictures near each other in the plane, by t-SNE (openTSNE) on FAISS neighbours.

Kept in the collection, so that the map stays the map: a picture that comes later is placed among its neighbours and
moves nobody.
"""

import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbours import neighbours
from lookalike.cluster.vectors import read_vectors
from lookalike.errors import LookalikeError
from lookalike.search import Collection
from lookalike.types import Table, Vectors

SETTING = "map"
_PERPLEXITY = 20
_FEW = 5_000  # pictures up to which threads wait for each other more than they work
_PLACED_BY = 5  # neighbours
_AT_ONCE = 50_000

Positions = NDArray[np.float32]


def layout(vectors: Vectors, *, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Positions:
    """Positions (n, 2) of (n, dim) unit vectors, within -1..1. The same arguments give the same map.

    van der Maaten, Hinton: t-SNE, 2008; Linderman et al.: FIt-SNE, 2019; Kobak, Berens: early exaggeration, rate n / 12
    and a PCA start, 2019. Raises LookalikeError where openTSNE is not installed.
    """
    if len(vectors) < 5:
        return _line(len(vectors))
    try:
        from openTSNE import TSNEEmbedding, affinity, nearest_neighbors
    except ImportError as error:
        raise LookalikeError("a map needs openTSNE; pip install 'lookalike[map]'") from error
    k = min(3 * _PERPLEXITY, len(vectors) - 1)
    rows, scores = neighbours(vectors, k)
    jobs = -1 if len(vectors) > _FEW else 1
    near = nearest_neighbors.PrecomputedNeighbors(rows, np.sqrt(np.maximum(2 - 2 * scores, 0)))
    affinities = affinity.PerplexityBasedNN(knn_index=near, perplexity=k / 3, n_jobs=jobs)
    engine = TSNEEmbedding(_start(vectors, seed), affinities, n_jobs=jobs, random_state=seed)
    for part, (rounds, exaggeration) in enumerate(_schedule(len(vectors))):
        if progress:
            progress(part, len(_schedule(len(vectors))))
        engine = engine.optimize(n_iter=rounds, exaggeration=exaggeration, momentum=0.5 if part == 0 else 0.8)
    return fitted(np.asarray(engine, np.float32))


def make_map(
    photos: Collection, *, again: bool = False, progress: Callable[[int, int], None] | None = None
) -> tuple[list[str], Positions]:
    """Ids and positions of every image: as kept, new ones placed among their neighbours; laid out where none is kept.

    `again`: lay out anew. Positions that are new are kept. Raises BadQuery where there is no image, ReadOnly.
    """
    ids, vectors = read_vectors(photos)
    kept = {} if again else _kept(photos)
    old = np.array([name in kept for name in ids])
    positions = np.zeros((len(ids), 2), np.float32)
    if old.any():
        positions[old] = [kept[name] for name in np.array(ids, object)[old]]
        positions[~old] = place(vectors[~old], vectors[old], positions[old])
        fresh = ~old
    else:
        positions = layout(vectors, progress=progress)
        fresh = np.ones(len(ids), np.bool_)
    _keep(photos, np.array(ids, object)[fresh].tolist(), positions[fresh], again=again or not old.any())
    return ids, positions


def load_map(photos: Collection) -> tuple[list[str], Positions]:
    """Ids and positions as they are kept, without a look at the vectors; empty where no map was made."""
    kept = _kept(photos)
    return list(kept), np.array(list(kept.values()), np.float32).reshape(-1, 2)


def map_version(photos: Collection) -> str:
    """Another text once the map was laid out anew, or new pictures were placed on it."""
    return photos.store.settings.get(SETTING, "")


def place(new: Vectors, old: Vectors, positions: Positions) -> Positions:
    """Positions (n, 2) for new vectors: the median of their nearest old ones' positions, or the nearest's own."""
    import faiss

    if not len(new):
        return np.zeros((0, 2), np.float32)
    index = faiss.IndexFlatIP(old.shape[1])
    index.add(np.ascontiguousarray(old))
    _, rows = index.search(np.ascontiguousarray(new), min(_PLACED_BY, len(old)))
    middle = np.median(positions[rows], axis=1)
    # Never exactly on another: a thousandth of the map aside, by what the vector itself says.
    return np.asarray(middle + 0.002 * new[:, :2] / max(float(np.abs(new[:, :2]).max()), 1e-6), np.float32)


def fitted(positions: Positions) -> Positions:
    """Centred and scaled into -1..1, both axes alike; the farthest thousandth is pulled in to the edge."""
    middle = np.median(positions, axis=0)
    reach = float(np.quantile(np.abs(positions - middle).max(axis=1), 0.999)) or 1.0
    return np.asarray(np.clip((positions - middle) / (1.02 * reach), -1, 1), np.float32)


def _schedule(count: int) -> list[tuple[int, float]]:
    """Rounds and exaggeration: 12 to form groups, then 1, or 2 beyond 50,000 pictures, where groups would touch."""
    if count <= 2_000:
        return [(100, 12.0), *[(50, 1.0)] * 4]
    return [(250, 12.0), *[(100, 1.0 if count <= 50_000 else 2.0)] * 4]


def _start(vectors: Vectors, seed: int) -> NDArray[np.float64]:
    """The first two principal axes, scaled small: the same pictures begin at the same place."""
    mean = vectors.mean(axis=0)
    some = vectors[:: max(len(vectors) // 20_000, 1)] - mean
    axes = np.linalg.svd(some.T @ some)[0][:, :2]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    start = (vectors @ axes - mean @ axes).astype(np.float64)
    spread = float(start[:, 0].std()) or 1.0
    return np.asarray(1e-4 * start / spread + np.random.default_rng(seed).normal(0, 1e-6, start.shape), np.float64)


def _line(count: int) -> Positions:
    return np.stack([np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(count), np.zeros(count)], axis=1).astype(
        np.float32
    )


def _table(photos: Collection) -> Table:
    return photos.store.table("map", "id")


def _kept(photos: Collection) -> dict[str, tuple[float, float]]:
    told = json.loads(photos.store.settings.get(SETTING, "{}"))
    if not told:
        return {}
    return {
        str(row["id"]): (float(row["x"] or 0), float(row["y"] or 0))
        for row in _table(photos).all()
        if row["run"] == told["run"]
    }


def _keep(photos: Collection, ids: list[str], positions: Positions, *, again: bool) -> None:
    told = json.loads(photos.store.settings.get(SETTING, '{"run": 0}'))
    run = int(told["run"]) + again
    for start in range(0, len(ids), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        rows = zip(ids[part], positions[part].tolist(), strict=True)
        _table(photos).put([{"id": name, "run": run, "x": x, "y": y} for name, (x, y) in rows])
    if again or ids:
        placed = (0 if again else int(told.get("placed", 0))) + len(ids)
        photos.store.set_settings({SETTING: json.dumps({"run": run, "placed": placed})})
