"""Agreement of k-means clusters with the labels, a standard measure of metric learning."""

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluate.metrics import adjusted_rand, mutual_information, purity
from lookalike.evaluate.truth import Truth
from lookalike.types import Vectors

_MAX_LABELS = 2000
_MAX_IMAGES = 100_000
_ROUNDS = 20


def cluster_figures(vectors: Vectors, truth: Truth, *, seed: int = 0) -> dict[str, float]:
    """Return NMI, ARI and purity of as many clusters as there are labels, over all labeled images.

    Empty if there is only one label, if labels have fewer than two images on average, or if it would take minutes.
    """
    rows = np.concatenate((truth.queries, truth.gallery))
    labels = np.concatenate((truth.query_labels, truth.gallery_labels))
    rows, first = np.unique(rows, return_index=True)  # an image may be both query and gallery
    labels = labels[first]
    rows, labels = rows[labels != ""], labels[labels != ""]
    count = len(np.unique(labels))
    if not 2 <= count <= min(_MAX_LABELS, len(rows) // 2) or len(rows) > _MAX_IMAGES:
        return {}
    clusters = kmeans(vectors[rows], count, seed=seed)
    return {
        "NMI": mutual_information(clusters, labels),
        "ARI": adjusted_rand(clusters, labels),
        "purity": purity(clusters, labels),
    }


def kmeans(vectors: Vectors, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the (n,) cluster of each vector, by FAISS."""
    import faiss

    engine = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=_ROUNDS,
        seed=seed,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=10_000_000,
    )
    engine.train(vectors)
    return np.asarray(engine.assign(vectors)[1], np.int64)
