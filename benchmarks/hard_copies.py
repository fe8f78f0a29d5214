"""Are hard edits of images found again? One row per model, from one run, and one row per kind of edit.

    python -m benchmarks.hard_copies TRAIN_DIR [--model NAME_OR_FOLDER ...] [--part copy] [--by-kind]

TRAIN_DIR: the folder of images to train on, with kinds.tsv. Only images that `held_out` names are used here, and no
script trains on them. Queries: 26 of each of 42 kinds of edit, ten of which no script trains with, and 150 without an
original, which are other held-out images edited in the same ways. Prints mAP, recall@1, micro-AP over all pairs, recall
at 90 % precision and milliseconds per image.
Ties count in the worst order. Where the folder is missing, the script says so and ends with status 0.
"""

import argparse
import csv
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lookalike.embed.combined import part_embedder
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder
from lookalike.evaluate.metrics import recall_at_precision
from lookalike.evaluate.retrieval import Retrieval, retrieval
from lookalike.image import decode, get_edit
from lookalike.image.compositions import collage, paste_into
from lookalike.search import Collection
from lookalike.types import RGB, Embedder, Vectors

Random = np.random.Generator
Others = Callable[[int], list[RGB]]
Make = Callable[[RGB, Others, Random], RGB]

PER_KIND = 26
NEGATIVES = 150
BATCH = 32


def held_out(path: str) -> bool:
    """Return whether an image is set aside for judging: one in ten, by the checksum of its name."""
    return zlib.crc32(path.encode()) % 10 == 0


def edits(*steps: tuple[str, float]) -> Make:
    """Return the edits of lookalike.image one after the other, each with its strength."""

    def make(image: RGB, _others: Others, random: Random) -> RGB:
        for name, strength in steps:
            image = get_edit(name).apply(image, strength, int(random.integers(2**31)))
        return image

    return make


def crop_to(share: float) -> Make:
    """Return a crop to `share` of the area."""

    def make(image: RGB, _others: Others, random: Random) -> RGB:
        height, width = (max(1, round(side * np.sqrt(share))) for side in image.shape[:2])
        top = int(random.integers(0, image.shape[0] - height + 1))
        left = int(random.integers(0, image.shape[1] - width + 1))
        return np.ascontiguousarray(image[top : top + height, left : left + width])

    return make


def inside(share: float) -> Make:
    """Return picture in picture: the image covers `share` of another one."""
    return lambda image, others, random: paste_into(
        cv2.resize(others(1)[0], (448, 448), interpolation=cv2.INTER_LINEAR), image, random, share=share
    )


def collage_of(count: int) -> Make:
    """Return a collage of the image and others, `count` in all."""
    return lambda image, others, random: collage([image, *others(count - 1)], random)


def then(first: Make, second: Make) -> Make:
    return lambda image, others, random: second(first(image, others, random), others, random)


KINDS: dict[str, Make] = {
    "jpeg": edits(("jpeg", 1)),
    "resize": edits(("resize", 0.9)),
    "crop 50 %": crop_to(0.5),
    "crop 30 %": crop_to(0.3),
    "crop 15 %": crop_to(0.15),
    "mirror": edits(("flip", 0)),
    "quarter turn": edits(("turn", 0)),
    "rotate": edits(("rotate", 0.9)),
    "perspective": edits(("perspective", 1)),
    "border": edits(("border", 1)),
    "letterbox": edits(("letterbox", 1)),
    "brightness": edits(("brightness", 1)),
    "contrast": edits(("contrast", 1)),
    "saturation": edits(("saturation", 1)),
    "gray": edits(("gray", 0)),
    "hue": edits(("hue", 1)),
    "negative": edits(("negative", 0)),
    "blur": edits(("blur", 0.8)),
    "noise": edits(("noise", 1)),
    "caption": edits(("caption", 1)),
    "logo": edits(("logo", 1)),
    "screenshot": edits(("screenshot", 1)),
    "plain ground": edits(("paste", 0.9)),
    "in picture 30 %": inside(0.3),
    "in picture 15 %": inside(0.15),
    "collage of 4": collage_of(4),
    "collage of 9": collage_of(9),
    "halftone": edits(("halftone", 0.3)),
    "crop, mirror": then(crop_to(0.4), edits(("flip", 0))),
    "crop, caption, jpeg": then(crop_to(0.4), edits(("caption", 0.8), ("jpeg", 0.7))),
    "turn, crop, gray": then(crop_to(0.4), edits(("turn", 0), ("gray", 0))),
    "hue, rotate, logo": edits(("hue", 0.8), ("rotate", 0.6), ("logo", 0.8)),
    # Kinds that no script trains with
    "sharpen": edits(("sharpen", 1)),
    "watermark": edits(("watermark", 0.9)),
    "meme": edits(("meme", 1)),
    "stickers": edits(("stickers", 1)),
    "posterize": edits(("posterize", 1)),
    "pixelate": edits(("pixelate", 0.8)),
    "scan": edits(("scan", 0.8)),
    "rephotograph": edits(("rephotograph", 0.8)),
    "screenshot, rephotograph": edits(("screenshot", 0.5), ("rephotograph", 0.5)),
    "meme, crop, stickers": then(crop_to(0.5), edits(("meme", 0.7), ("stickers", 0.7))),
}


@dataclass(frozen=True, slots=True)
class HardSet:
    """Images of the collection, queries with the path of their original ("" if there is none), and their kinds."""

    gallery: list[str]
    queries: list[RGB]
    labels: NDArray[np.str_]
    kinds: NDArray[np.str_]


def name_of(path: str) -> str:
    """Return the id of an image of the gallery, which is its path in the folder."""
    return str(Path(*Path(path).parts[-2:]))


@contextmanager
def gallery_collection(hard: HardSet, model: str) -> Iterator[Collection]:
    """Yield a collection of the gallery in a temporary folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Collection.open(Path(folder) / "c", model=model, create=True) as photos,
    ):
        photos.add(hard.gallery, [name_of(path) for path in hard.gallery])
        yield photos


def hard_set(folder: Path, seed: int = 0) -> HardSet:
    """Make the set. The same folder and seed give the same set."""
    with (folder / "kinds.tsv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    paths = sorted(row["path"] for row in rows if held_out(row["path"]))
    random = np.random.default_rng(seed)
    paths = [paths[n] for n in random.permutation(len(paths))]
    negatives, gallery = paths[:NEGATIVES], paths[NEGATIVES:]
    ground = [row["path"] for row in rows if not held_out(row["path"])]
    queries, labels, kinds = [], [], []
    sources = random.permutation(len(gallery))
    for n, name in enumerate(np.repeat(list(KINDS), PER_KIND)):
        queries.append(edited(folder, gallery[sources[n % len(sources)]], str(name), ground, [seed, n]))
        labels.append(gallery[sources[n % len(sources)]])
        kinds.append(name)
    for n, path in enumerate(negatives):
        name = list(KINDS)[n % len(KINDS)]
        queries.append(edited(folder, path, name, ground, [seed, 10**6 + n]))
        labels.append("")
        kinds.append("negative query")
    return HardSet([str(folder / p) for p in gallery], queries, np.array(labels), np.array(kinds))


def edited(folder: Path, path: str, kind: str, ground: Sequence[str], seed: list[int]) -> RGB:
    """Return one edited image; the other images in it are none of the collection's."""
    random = np.random.default_rng(seed)

    def others(count: int) -> list[RGB]:
        return [load(folder / ground[int(n)]) for n in random.integers(0, len(ground), count)]

    return KINDS[kind](load(folder / path), others, random)


def load(path: Path) -> RGB:
    return decode(path.read_bytes()).image


def embed(embedder: Embedder, images: Sequence[RGB]) -> tuple[Vectors, float]:
    """Return the vectors of images and the seconds that embedding them took."""
    started_at = time.perf_counter()
    parts = [embedder.embed(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return np.concatenate(parts), time.perf_counter() - started_at


def chosen_part(embedder: Embedder, part: str) -> Embedder:
    return embedder if part == "both" else part_embedder(embedder, part)


def evaluate(embedder: Embedder, hard: HardSet) -> tuple[Retrieval, float]:
    """Return the retrieval of all queries, and milliseconds per image."""
    gallery, first = embed(embedder, [load(Path(path)) for path in hard.gallery])
    queries, second = embed(embedder, hard.queries)
    names = [name_of(path) for path in hard.gallery]
    result = retrieval(queries, gallery, hard.labels, names, ks=(1, 6, 50))
    return result, 1000 * (first + second) / (len(gallery) + len(queries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], metavar="NAME_OR_FOLDER")
    parser.add_argument("--part", default="copy", help="of a model with parts: alike, copy or both")
    parser.add_argument("--by-kind", action="store_true", help="also recall@1 of each kind of edit")
    options = parser.parse_args()
    if not (options.folder / "kinds.tsv").is_file():
        print(f"skipped: {options.folder} has no kinds.tsv")
        return
    hard, results = hard_set(options.folder), {}
    print("| model | mAP | R@1 | R@6 | R@50 | µAP | recall at 90 % precision | ms |\n|---|---|---|---|---|---|---|---|")
    for name in options.model:
        result, milliseconds = results[name] = evaluate(chosen_part(get_embedder(name), options.part), hard)
        recall, _ = recall_at_precision(result.tally, 0.9)
        figures = [result[key] for key in ("mAP", "recall@1", "recall@6", "recall@50", "micro-AP")]
        row = " | ".join(f"{value:.3f}" for value in (*figures, recall))
        print(f"| {name} | {row} | {milliseconds:.1f} |", flush=True)
    if options.by_kind:
        print_kinds(hard, {name: result for name, (result, _) in results.items()})


def print_kinds(hard: HardSet, results: dict[str, Retrieval]) -> None:
    print(f"\n| kind | {' | '.join(results)} |\n|---|{'---|' * len(results)}")
    for kind in KINDS:
        rows = hard.kinds == kind
        cells = [
            f"{(result.per_query.first_rank[rows[: len(result.per_query.first_rank)]] == 1).mean():.2f}"
            for result in results.values()
        ]
        print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
