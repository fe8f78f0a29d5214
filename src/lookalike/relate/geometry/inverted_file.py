"""An inverted file of local features: which images share details with a query, whatever else they show.

Each image has up to `POSTINGS_PER_IMAGE` postings: the visual word of a SIFT descriptor, a code of 64 bits that says
where in the word's cell it lies, and the keypoint's angle, size and position. A query's descriptors meet only the
postings of their own words; a pair counts if its codes differ in few bits (Hamming embedding), and pairs of one image
count together if they agree on one turn and one scale (weak geometric consistency).

Jégou, Douze, Schmid: Hamming embedding and weak geometric consistency for large scale image search, ECCV 2008.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.features import Features

POSTING = np.dtype(
    [("word", "<u2"), ("code", "<u8"), ("angle", "u1"), ("size", "u1"), ("x", "u1"), ("y", "u1")]
)  # 14 bytes, without padding
POSTINGS_PER_IMAGE = 96
QUERY_POSTINGS = 600
WORDS_PER_QUERY_POINT = 3  # a descriptor near the edge of a cell has neighbors in the next ones
MAX_BITS = 22  # of 64 in which the codes of a pair may differ; unrelated codes differ in 32
_SIGMA_BITS = 12.0
ANGLE_BINS, SIZE_BINS = 16, 32  # of a whole turn; of factors of 2 ** 0.5
_SIZE_STEPS = 8.0  # steps of `size` per doubling

Postings = NDArray[Any]
VOCABULARY_FILE = Path(__file__).parent / "vocabulary.npz"


@dataclass(frozen=True)
class Vocabulary:
    """`words` (k, 128): centers of RootSIFT descriptors. `projection` (64, 128), `medians` (k, 64): give the codes."""

    words: NDArray[np.float32]
    projection: NDArray[np.float32]
    medians: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def load(cls, file: Path = VOCABULARY_FILE) -> "Vocabulary":
        """Read the vocabulary of the package; scripts/fit_vocabulary.py makes it."""
        with np.load(file) as arrays:
            return cls(*(arrays[name].astype(np.float32) for name in ("words", "projection", "medians")))

    def nearest(self, descriptors: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
        """Return the nearest words of descriptors (n, 128), nearest first: (n, count)."""
        rows = descriptors.astype(np.float32)
        distances = (self.words**2).sum(1)[None] - 2 * rows @ self.words.T
        best = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, best, 1), axis=1, kind="stable")
        return np.take_along_axis(best, order, 1)

    def codes(self, descriptors: NDArray[np.uint8], words: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the codes (n,) of descriptors in the cells of `words` (n,)."""
        bits = descriptors.astype(np.float32) @ self.projection.T > self.medians[words]
        return np.packbits(bits, axis=1).view("<u8")[:, 0].astype(np.uint64)


@cache
def vocabulary() -> Vocabulary:
    """Return the vocabulary of the package, read once."""
    return Vocabulary.load()


def postings_of(
    features: Features, words: Vocabulary, *, count: int = POSTINGS_PER_IMAGE, nearest: int = 1
) -> Postings:
    """Return the postings of an image's strongest features, `nearest` for each: (n * nearest,)."""
    descriptors, points = features.descriptors[:count], features.points[:count]
    if not len(points):
        return np.zeros(0, POSTING)
    near = words.nearest(descriptors, nearest)
    postings = np.zeros((len(points), nearest), POSTING)
    width, height = features.work
    postings["angle"] = np.floor(points[:, 3, None] / 360 * 256).astype(int) % 256
    postings["size"] = np.clip(np.rint(_SIZE_STEPS * np.log2(np.maximum(points[:, 2, None], 0.25)) + 16), 0, 255)
    postings["x"] = np.clip(points[:, 0, None] / width * 256, 0, 255)
    postings["y"] = np.clip(points[:, 1, None] / height * 256, 0, 255)
    for n in range(nearest):
        postings["word"][:, n] = near[:, n]
        postings["code"][:, n] = words.codes(descriptors, near[:, n])
    return postings.ravel()


@dataclass(frozen=True)
class InvertedFile:
    """Postings sorted by word. `starts` (k + 1,): where each word begins. `rows`: the image of each posting."""

    starts: NDArray[np.int64]
    postings: Postings
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]
    lengths: NDArray[np.float32]

    @classmethod
    def build(cls, images: Sequence[Postings], words: int) -> "InvertedFile":
        """Sort the postings of all images, in the order of their rows."""
        counts = np.array([len(image) for image in images], np.int64)
        postings = np.concatenate(images) if len(images) else np.zeros(0, POSTING)
        rows = np.repeat(np.arange(len(images), dtype=np.int32), counts)
        order = np.argsort(postings["word"], kind="stable")
        postings, rows = postings[order], rows[order]
        starts = np.searchsorted(postings["word"], np.arange(words + 1))
        sizes = np.diff(starts)
        weights = np.log((len(postings) + words) / (sizes + 1.0)).astype(np.float32)
        return cls(starts, postings, rows, weights / max(float(weights.mean()), 1e-6), np.sqrt(np.maximum(counts, 1.0)))

    def __len__(self) -> int:
        return len(self.lengths)

    def search(self, query: Postings, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the rows of at most k images that share details with the query, best first, and their votes."""
        rows, angles, sizes, weights = self._pairs(query)
        if not len(rows):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        found_rows, index = np.unique(rows, return_inverse=True)
        votes = np.minimum(
            _best_bin(index, angles, weights, ANGLE_BINS, wraps=True), _best_bin(index, sizes, weights, SIZE_BINS)
        )
        votes = votes / self.lengths[found_rows]
        best = np.lexsort((found_rows, -votes))[:k]
        return found_rows[best].astype(np.int64), votes[best].astype(np.float32)

    def _pairs(self, query: Postings) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """Return row, bin of the turn, bin of the scale and weight of each pair whose codes agree."""
        parts = list(self._pairs_by_posting(query))
        if not parts:
            return np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        rows, angles, sizes, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        return rows, angles, sizes, weights

    def _pairs_by_posting(self, query: Postings) -> Iterator[tuple[Any, Any, Any, Any]]:
        for posting in query:
            low, high = self.starts[posting["word"]], self.starts[posting["word"] + 1]
            bits = np.bitwise_count(self.postings["code"][low:high] ^ posting["code"])
            near = np.flatnonzero(bits <= MAX_BITS) + low
            if len(near):
                stored = self.postings[near]
                turn = (stored["angle"].astype(np.int64) - int(posting["angle"])) % 256 * ANGLE_BINS // 256
                scale = (stored["size"].astype(np.int64) - int(posting["size"])) * 2 // int(_SIZE_STEPS)
                weight = np.exp(-((bits[near - low] / _SIGMA_BITS) ** 2)) * self.weights[posting["word"]] ** 2
                yield self.rows[near], turn, np.clip(scale + SIZE_BINS // 2, 0, SIZE_BINS - 1), weight


def _best_bin(
    index: NDArray[np.int64], bins: NDArray[np.int64], weights: NDArray[Any], count: int, *, wraps: bool = False
) -> NDArray[np.float64]:
    """Return for each image the weight of its two best neighboring bins together."""
    total = np.bincount(index * count + bins, weights, (int(index.max()) + 1) * count).reshape(-1, count)
    following = np.roll(total, -1, axis=1)
    if not wraps:
        following[:, -1] = 0
    best: NDArray[np.float64] = (total + following).max(axis=1)
    return best
