"""Copies found better after training on nothing but pictures and their edits?

    python -m benchmarks.train_copies DATA_DIR PICTURES -o runs/copies [--set NAME=VALUE ...]

PICTURES: a folder of pictures that are in no set of DATA_DIR; docs/benchmarks-training.md names Debian packages of
wallpapers. Large ones are cut into parts, which become the pictures to train on (19 in 20) and to validate with.
Prints mAP, recall@1 and micro-AP of copydet-kodak (copies) and grocery-mini (the same product photographed again, which
must not get worse), before and after. Seeds are 0.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.train_pairs import judge, learn
from lookalike.embed import BASE_MODEL
from lookalike.errors import ImageError
from lookalike.image import decode, read
from lookalike.train.config import SimilarityConfig, from_pairs
from lookalike.train.split import Split
from lookalike.train.split_file import read_split, write_split
from lookalike.types import RGB

SETS = ("copydet-kodak", "grocery-mini")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
PART, MAX_PARTS = 400, 24  # pixels of a part's side; parts of one picture
DRAWINGS = 1500  # smaller pictures, which are taken whole: that many at most
USUAL = {"source": "edits", "train": "head", "epochs": 20, "batch": 256, "rate": 1e-3, "views": 6, "patience": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    if missing := [name for name in SETS if not (options.data / name / "ground_truth.csv").is_file()]:
        print(f"skipped: there is no {', '.join(missing)} in {options.data}")
        return
    overrides = from_pairs(options.set, SimilarityConfig())
    split = write_parts(options.pictures, options.output / "pictures")
    learn(split, SimilarityConfig.of(USUAL | overrides), options.output / "model")
    for name in SETS:
        for model in (BASE_MODEL, options.output / "model"):
            print(name, model, judged(model, options.data / name), flush=True)


def write_parts(source: Path, folder: Path) -> Split:
    """The pictures to train on, as files; one in twenty is held out, and no picture is in both."""
    listed = folder / "split.csv"
    if listed.exists():
        return read_split(listed)
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not p.is_symlink())
    np.random.default_rng(0).shuffle(files)  # type: ignore[arg-type]
    paths, parts, small = [], [], 0
    for n, file in enumerate(files):
        for place, part in enumerate(cut(file, whole=small < DRAWINGS)):
            small += min(part.shape[:2]) < PART
            path = folder / f"{n:05}-{place:02}.jpg"
            if not path.exists():
                cv2.imwrite(str(path), part[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))
            paths.append(str(path.resolve()))
            parts.append("val" if n % 20 == 0 else "train")
    print(f"{len(paths):,} parts of {len(files):,} files", flush=True)
    split = Split(paths=paths, labels=[""] * len(paths), parts=parts)
    write_split(split, listed)
    return split


def cut(file: Path, *, whole: bool) -> Iterator[RGB]:
    """Parts of 400 pixels of a picture whose long side is 2,000 at most; a smaller one whole, if it is wanted."""
    if file.stat().st_size < 3_000 or (not whole and file.stat().st_size < 150_000):
        return
    try:
        image = decode(read(str(file)), side=1000).image
    except ImageError:
        return
    share = min(1.0, 2000 / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA) if share < 1 else image
    height, width = image.shape[:2]
    if min(height, width) < 2 * PART:
        if whole:
            yield image
        return
    corners = [(y, x) for y in range(0, height - PART + 1, PART) for x in range(0, width - PART + 1, PART)]
    for y, x in corners[:MAX_PARTS]:
        part = image[y : y + PART, x : x + PART]
        if part.std() > 15:  # a piece of plain sky teaches that skies are copies
            yield np.ascontiguousarray(part)


def judged(model: str | Path, folder: Path) -> dict[str, float]:
    """A set's queries among its gallery."""
    with (folder / "ground_truth.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    paths = [str(folder / row["path"]) for row in rows]
    return judge(model, paths, [row["label"] for row in rows], [row["role"] == "query" for row in rows])


if __name__ == "__main__":
    main()
