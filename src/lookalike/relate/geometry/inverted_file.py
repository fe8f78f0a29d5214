"""An inverted file of local features: which images share details with a query, whatever else they show.

Each image has up to `POSTINGS_PER_IMAGE` postings: the visual word of a SIFT descriptor, a code of 64 bits that says
where in the word's cell it lies, and the keypoint's angle, size and position. A query's descriptors meet only the
postings of their own words; a pair counts if its codes differ in few bits (Hamming embedding), and pairs of one image
count together if they agree on one turn and one scale (weak geometric consistency).

Jégou, Douze, Schmid: Hamming embedding and weak geometric consistency for large scale image search, ECCV 2008.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
_SIZE_STEPS = 8  # steps of `size` per doubling

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
    """The postings of images, sorted by word; of word w they are `starts[w]` to `starts[w + 1]`.

    `codes`, `angles`, `sizes`, `rows` (n,): of each posting; `rows` are the images. `weights` (k,): of each word, high
    for rare ones. `lengths` (images,): the root of how many postings each image has.
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.uint64]
    angles: NDArray[np.uint8]
    sizes: NDArray[np.uint8]
    rows: NDArray[np.int32]
    weights: NDArray[np.float64]
    lengths: NDArray[np.float64]

    @classmethod
    def build(cls, images: Sequence[Postings], words: int) -> "InvertedFile":
        """Sort the postings of all images, which are rows in this order."""
        counts = np.array([len(image) for image in images], np.int64)
        postings = np.concatenate(images) if len(images) else np.zeros(0, POSTING)
        order = np.argsort(postings["word"], kind="stable")
        starts = np.searchsorted(postings["word"][order], np.arange(words + 1))
        weights = np.log((len(postings) + words) / (np.diff(starts) + 1.0))
        return cls(
            starts,
            postings["code"][order],
            postings["angle"][order],
            postings["size"][order],
            np.repeat(np.arange(len(images), dtype=np.int32), counts)[order],
            (weights / max(weights.mean(), 1e-6)) ** 2,
            np.sqrt(np.maximum(counts, 1.0)),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def search(self, query: Postings, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows of at most k images that share details with the query, best first, and their votes."""
        asking, stored, bits = self.pairs(query)
        if not len(asking):
            return np.zeros(0, np.int64), np.zeros(0)
        images, index = np.unique(self.rows[stored], return_inverse=True)
        turns = (self.angles[stored] - query["angle"][asking]).astype(np.int64) * ANGLE_BINS // 256
        scales = (self.sizes[stored].astype(np.int64) - query["size"][asking]) * 2 // _SIZE_STEPS
        scales = np.clip(scales + SIZE_BINS // 2, 0, SIZE_BINS - 1)
        weights = np.exp(-((bits / _SIGMA_BITS) ** 2)) * self.weights[query["word"][asking]]
        by_turn = _best_bin(index, turns, weights, ANGLE_BINS, wraps=True)
        by_scale = _best_bin(index, scales, weights, SIZE_BINS, wraps=False)
        votes = np.minimum(by_turn, by_scale) / self.lengths[images]
        best = np.lexsort((images, -votes))[:k]
        return images[best].astype(np.int64), votes[best]

    def pairs(self, query: Postings) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
        """Return the pairs of one word whose codes agree: positions in the query and here, and differing bits."""
        stored, bits = [], []
        for word, code in zip(query["word"].tolist(), query["code"], strict=True):
            low, high = self.starts[word], self.starts[word + 1]
            differing = np.bitwise_count(self.codes[low:high] ^ code)
            near = (differing <= MAX_BITS).nonzero()[0]
            stored.append(near + low)
            bits.append(differing[near])
        asking = np.repeat(np.arange(len(query)), [len(near) for near in stored])
        if not len(asking):
            return asking, asking, np.zeros(0, np.uint8)
        return asking, np.concatenate(stored), np.concatenate(bits)


def _best_bin(
    index: NDArray[np.int64], bins: NDArray[np.int64], weights: NDArray[Any], count: int, *, wraps: bool
) -> NDArray[np.float64]:
    """Return for each image the weight of its two best neighboring bins together."""
    total = np.bincount(index * count + bins, weights, (int(index.max()) + 1) * count).reshape(-1, count)
    following = np.roll(total, -1, axis=1)
    if not wraps:
        following[:, -1] = 0
    best: NDArray[np.float64] = (total + following).max(axis=1)
    return best
