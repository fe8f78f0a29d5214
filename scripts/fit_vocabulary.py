"""Fit the vocabulary of local features that search by parts uses: visual words, and medians for the codes.

    python scripts/fit_vocabulary.py TRAIN_DIR [-o FILE]

TRAIN_DIR: a folder of images with kinds.tsv; those that benchmarks/hard_copies.py judges with are left out. 48 random
SIFT descriptors of each image, k-means into 8,192 words, a random rotation to 64 dimensions, and its median in each
word. The file holds no image, and none can be recovered from it.
"""

import argparse
import csv
import sys
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.hard_copies import held_out

from lookalike.image import decode
from lookalike.relate.geometry.features import preview_features
from lookalike.relate.geometry.inverted_file import VOCABULARY_FILE

WORDS, ROUNDS, PER_IMAGE, BITS = 8192, 8, 48, 64
MIN_MEMBERS = 3  # descriptors of a word from which its median is taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("-o", "--output", type=Path, default=VOCABULARY_FILE, metavar="FILE")
    options = parser.parse_args()
    with (options.folder / "kinds.tsv").open(newline="", encoding="utf-8") as lines:
        paths = [row["path"] for row in csv.DictReader(lines, delimiter="\t") if not held_out(row["path"])]
    descriptors = sample([options.folder / path for path in paths])
    print(f"{len(descriptors):,} descriptors of {len(paths):,} images", flush=True)
    write(options.output, descriptors)


def sample(paths: list[Path]) -> NDArray[np.float32]:
    """Return random descriptors (n, 128) of images as a collection would store them."""
    random, parts = np.random.default_rng(0), []
    for path in paths:
        image = decode(path.read_bytes()).image
        rows = preview_features(image, (image.shape[1], image.shape[0])).descriptors
        parts.append(rows[random.permutation(len(rows))[:PER_IMAGE]])
    return np.concatenate(parts).astype(np.float32)


def write(file: Path, descriptors: NDArray[np.float32]) -> None:
    kmeans = faiss.Kmeans(128, WORDS, niter=ROUNDS, seed=0, max_points_per_centroid=10**6)
    kmeans.train(descriptors)
    _, nearest = kmeans.index.search(descriptors, 1)
    words = np.clip(np.rint(kmeans.centroids), 0, 255).astype(np.uint8)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(128, 128)))[0][:BITS].astype(np.float32)
    projected = descriptors @ rotation.T
    order = np.argsort(nearest[:, 0], kind="stable")
    starts = np.searchsorted(nearest[order, 0], np.arange(WORDS + 1))
    medians = words.astype(np.float32) @ rotation.T
    for word, (low, high) in enumerate(pairwise(starts)):
        if high - low >= MIN_MEMBERS:
            medians[word] = np.median(projected[order[low:high]], axis=0)
    np.savez_compressed(file, words=words, projection=rotation.astype(np.float16), medians=medians.astype(np.float16))


if __name__ == "__main__":
    main()
