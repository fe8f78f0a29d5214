"""The centroids of an inverted file, and the rotation that spreads what a row holds over all bits of its code."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.store.vector_storage import load_faiss
from lookalike.types import Vectors

LISTS_PER_ROOT = 4  # lists for each root of the rows: 4,000 at a million; of twice as many, each probe costs as much
MAX_LISTS = 16_384
SAMPLE_PER_LIST = 48  # rows that k-means sees for each centroid (docs/benchmarks-scale.md)
ITERATIONS = 6
MIN_GRAPH_LISTS = 6000  # from here on a graph finds the centroid of each row, comparing a fraction of them
_SEED = 0


def list_count(rows: int) -> int:
    """Lists for so many rows."""
    return max(1, min(MAX_LISTS, round(LISTS_PER_ROOT * math.sqrt(rows)), rows // SAMPLE_PER_LIST))


@dataclass(frozen=True, eq=False)
class Centroids:
    """`rotation` (dim, dim) is orthogonal; `vectors` (lists, dim) are unit vectors in the rotated space."""

    rotation: NDArray[np.float32]
    vectors: NDArray[np.float32]

    @classmethod
    def train(cls, sample: Vectors, lists: int) -> Self:
        """Spherical k-means (FAISS) over unit vectors (n, dim)."""
        dim = sample.shape[1]
        normal = np.random.default_rng(_SEED).standard_normal((dim, dim))
        rotation = np.linalg.qr(normal)[0].astype(np.float32)
        kmeans = load_faiss().Kmeans(
            dim, lists, niter=ITERATIONS, spherical=True, seed=_SEED + 1,
            min_points_per_centroid=1, max_points_per_centroid=SAMPLE_PER_LIST,
        )  # fmt: skip
        kmeans.train(sample @ rotation)
        return cls(rotation, np.ascontiguousarray(kmeans.centroids, np.float32))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises OSError, ValueError."""
        return cls(np.load(folder / "rotation.npy"), np.load(folder / "centroids.npy"))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        np.save(folder / "rotation.npy", self.rotation)
        np.save(folder / "centroids.npy", self.vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def nbytes(self) -> int:
        return self.rotation.nbytes + 2 * self.vectors.nbytes

    def rotate(self, vectors: Vectors) -> Vectors:
        return np.ascontiguousarray(vectors @ self.rotation, np.float32)

    @cached_property
    def flat(self) -> Any:
        """FAISS's index of the centroids, which compares all."""
        index = load_faiss().IndexFlatIP(self.dim)
        index.add(self.vectors)
        return index

    def assigner(self) -> Any:
        """FAISS's index that assigns rows to lists."""
        if len(self) < MIN_GRAPH_LISTS:
            return self.flat
        faiss = load_faiss()
        graph = faiss.IndexHNSWFlat(self.dim, 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = 80
        graph.hnsw.efSearch = 48
        graph.add(self.vectors)
        return graph
