"""How well does a model find what it should? Against a colour histogram and two perceptual hashes, in one run.

    python benchmarks/quality.py DATA_DIR [--model NAME_OR_FOLDER ...] [--part alike|copy|both] [--set NAME ...]

DATA_DIR holds folders with a ground_truth.csv of path, label and role (query or gallery); a gallery row without a label
is a distractor, a query without one has no right answer. Prints one Markdown table a set: mAP and R@1 over the queries
that have an answer, micro-AP over all pairs in one ranking. Ties count in the worst order; a picture that is both query
and gallery is left out of its own results. A folder that is not there is skipped, with exit status 0.
"""

import argparse
import csv
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.combined import part_embedder
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder
from lookalike.errors import ImageError
from lookalike.image import decode
from lookalike.similarity import cosine, normalize
from lookalike.types import RGB, Embedder, Vectors

SIDE = 320  # pictures are decoded once for all; the largest input of our models is smaller
BATCH = 64

Embed = Callable[[Sequence[RGB]], Vectors]


@dataclass(frozen=True, slots=True)
class Truth:
    """One set: its pictures' paths, and a label and a role for each."""

    name: str
    paths: list[Path]
    labels: NDArray[np.str_]
    is_query: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quality:
    mean_ap: float
    recall_at_1: float
    micro_ap: float
    queries: int


def main() -> None:
    options = arguments()
    if not options.data.is_dir():
        print(f"skipped: there is no folder {options.data}; give one whose folders hold a ground_truth.csv")
        return
    embedders = {**{name: chosen(name, options.part).embed for name in options.model}, **baselines()}
    for file in sorted(options.data.glob("*/ground_truth.csv")):
        if (not options.set or file.parent.name in options.set) and (truth := read_truth(file)).is_query.any():
            report(truth, embedders)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], metavar="NAME_OR_FOLDER")
    parser.add_argument("--part", default="both", help="of a model with parts: alike, copy or both")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME", help="only these sets")
    return parser.parse_args()


def chosen(name: str, part: str) -> Embedder:
    embedder = get_embedder(name)
    return embedder if part == "both" else part_embedder(embedder, part)


def read_truth(file: Path) -> Truth:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return Truth(
        file.parent.name,
        [file.parent / row["path"] for row in rows],
        np.array([row["label"] for row in rows]),
        np.array([row["role"] == "query" for row in rows]),
    )


def report(truth: Truth, embedders: dict[str, Embed]) -> None:
    """Print one set's table. A picture that cannot be read has a vector of zeros, which is like nothing."""
    vectors: dict[str, list[Vectors]] = {name: [] for name in embedders}
    seconds = dict.fromkeys(embedders, 0.0)
    for images in pictures(truth.paths):
        for name, embed in embedders.items():
            started = time.perf_counter()
            vectors[name].append(embed(images))
            seconds[name] += time.perf_counter() - started
    results = {name: quality(np.concatenate(parts), truth) for name, parts in vectors.items()}
    first = next(iter(results.values()))
    print(f"\n### {truth.name}: {first.queries} queries with an answer, {len(truth.paths)} pictures\n")
    print("| embedder | mAP | R@1 | µAP | time, ratio |\n|---|---|---|---|---|")
    for name, q in results.items():
        ratio = seconds[name] / seconds[next(iter(results))]
        print(f"| {name} | {q.mean_ap:.3f} | {q.recall_at_1:.3f} | {q.micro_ap:.3f} | {ratio:.2f} |", flush=True)


def pictures(paths: list[Path]) -> Iterator[list[RGB]]:
    """Upright RGB, a batch at a time; grey where a file cannot be read."""
    for start in range(0, len(paths), BATCH):
        yield [read(path) for path in paths[start : start + BATCH]]


def read(path: Path) -> RGB:
    try:
        return decode(path.read_bytes(), side=SIDE).image
    except ImageError as error:
        print(f"{path.name}: {error}")
        return np.full((SIDE, SIDE, 3), 127, np.uint8)


def quality(vectors: Vectors, truth: Truth) -> Quality:
    """Score every query against the gallery."""
    queries, gallery = np.flatnonzero(truth.is_query), np.flatnonzero(~truth.is_query)
    scores = cosine(vectors[queries], vectors[gallery])
    labels = truth.labels[queries][:, None]
    relevant = (labels == truth.labels[gallery][None, :]) & (labels != "")
    names = np.array([str(path) for path in truth.paths])
    kept = names[queries][:, None] != names[gallery][None, :]
    relevant &= kept
    answered = np.flatnonzero(relevant.any(axis=1))
    ranked = [worst_order(scores[i][kept[i]], relevant[i][kept[i]]) for i in answered]
    return Quality(
        float(np.mean([average_precision(r) for r in ranked])),
        float(np.mean([r[0] for r in ranked])),
        average_precision(worst_order(scores[kept], relevant[kept])),
        len(answered),
    )


def worst_order(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The relevance of each row, best score first; among equal scores the wrong ones first."""
    return relevant[np.lexsort((relevant, -np.round(scores, 6)))]


def average_precision(ranked: NDArray[np.bool_]) -> float:
    places = np.flatnonzero(ranked)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def baselines() -> dict[str, Embed]:
    """Colour histogram, and those hashes that are installed, each as a vector whose cosine is its usual score."""
    found: dict[str, Embed] = {"colour histogram": each(histogram)}
    for name, module, embed in (("pHash", "imagehash", phash), ("PDQ", "pdqhash", pdq)):
        if importlib.util.find_spec(module):
            found[name] = each(embed)
        else:
            print(f"{name} left out: pip install {module}")
    return found


def each(embed: Callable[[RGB], NDArray[np.float32]]) -> Embed:
    return lambda images: normalize(np.stack([embed(image) for image in images]))


def histogram(image: RGB) -> NDArray[np.float32]:
    """8 x 8 x 8 colours, square roots, so that the cosine is the Bhattacharyya coefficient."""
    bins = (image.reshape(-1, 3) >> 5).astype(np.int64) @ np.array([64, 8, 1])
    return np.sqrt(np.bincount(bins, minlength=512)).astype(np.float32)


def phash(image: RGB) -> NDArray[np.float32]:
    """64 bits as +1 and -1: the cosine is 1 - Hamming distance / 32."""
    import imagehash
    from PIL import Image

    return signs(imagehash.phash(Image.fromarray(image)).hash)


def pdq(image: RGB) -> NDArray[np.float32]:
    """256 bits as +1 and -1."""
    import pdqhash

    return signs(pdqhash.compute(image)[0])


def signs(bits: NDArray[np.generic]) -> NDArray[np.float32]:
    return bits.astype(np.float32).ravel() * 2 - 1


if __name__ == "__main__":
    main()
