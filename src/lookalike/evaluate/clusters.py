"""Whether k-means over the vectors finds the labels again, as metric learning is judged."""

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluate.metrics import adjusted_rand, mutual_information, purity
from lookalike.evaluate.truth import Truth
from lookalike.types import Vectors

_MOST_LABELS = 2000
_MOST_PICTURES = 100_000
_ROUNDS = 20


def cluster_figures(vectors: Vectors, truth: Truth, *, seed: int = 0) -> dict[str, float]:
    """NMI, ARI and purity of as many clusters as there are labels, over all labelled pictures.

    Nothing where labels have fewer than two pictures on average, where there is one, or where it would take minutes.
    """
    rows = np.concatenate((truth.queries, truth.gallery))
    labels = np.concatenate((truth.query_labels, truth.gallery_labels))
    rows, first = np.unique(rows, return_index=True)  # a picture may be both query and gallery
    labels = labels[first]
    rows, labels = rows[labels != ""], labels[labels != ""]
    count = len(np.unique(labels))
    if not 2 <= count <= min(_MOST_LABELS, len(rows) // 2) or len(rows) > _MOST_PICTURES:
        return {}
    found = kmeans(vectors[rows], count, seed=seed)
    return {
        "NMI": mutual_information(found, labels),
        "ARI": adjusted_rand(found, labels),
        "purity": purity(found, labels),
    }


def kmeans(vectors: Vectors, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """(n,) cluster of each vector, by FAISS."""
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
