"""Fit the statistics that the default models' whitening uses, from pictures without labels.

    apt-get download gnome-backgrounds mate-backgrounds openclipart-png tuxpaint-stamps-default   # Debian 12
    for f in *.deb; do dpkg-deb -x $f pictures/${f%%_*}; done
    python scripts/fit_whitening.py --variant 1 \\
        --photos pictures/*-backgrounds --drawings pictures/openclipart-png pictures/tuxpaint-stamps-default

Photos are seen whole and in crops, half of those mirrored; of drawings a few from every folder. The pictures serve for
a mean and a covariance alone, and none of them is in any set that we measure with. Writes scripts/statistics/.
"""

import argparse
import random
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export_default_model import HERE, SIDE
from lookalike.errors import ImageError
from lookalike.image import crop, decode, fit
from lookalike.train.models.center_pooled import pool, whitening
from lookalike.train.models.efficientnet_lite import EfficientNetLite, load_pretrained
from lookalike.types import RGB, Preprocessing

DIM = 256
CROPS = 16
PER_FOLDER, PER_ROOT = 8, 700
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", type=int, choices=(0, 1, 2), nargs="+", default=[1])
    parser.add_argument("--photos", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--drawings", type=Path, nargs="+", required=True, metavar="FOLDER")
    options = parser.parse_args()
    images = np.stack(list(inputs(options.photos, options.drawings)))
    for variant in options.variant:
        center, axes = whitening(pooled(load_pretrained(variant), images), dim=DIM)
        file = HERE / "statistics" / f"efficientnet-lite{variant}.npz"
        np.savez(file, centre=center, axes=axes.astype(np.float16))  # as they lie in model.onnx
        print(f"{file}: {len(images)} pictures")


def inputs(photos: list[Path], drawings: list[Path]) -> Iterator[RGB]:
    """Pictures at the model's input size."""
    chance = random.Random(0)
    size = Preprocessing(size=(SIDE, SIDE))
    for root in photos:
        for photo in readable(files(root)):
            yield fit(photo, size)
            for _ in range(CROPS):
                part = crop(photo, region(chance))
                yield fit(np.ascontiguousarray(part[:, ::-1]) if chance.random() < 0.5 else part, size)
    for root in drawings:
        for drawing in readable(some(files(root), chance)):
            yield fit(drawing, size)


def files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not p.is_symlink())


def some(found: list[Path], chance: random.Random) -> list[Path]:
    """A few of every folder, so that a folder of two hundred stars does not outweigh one of five cats."""
    folders = (list(group) for _, group in groupby(found, key=lambda file: file.parent))
    chosen = [file for group in folders for file in chance.sample(group, min(PER_FOLDER, len(group)))]
    return chance.sample(chosen, min(PER_ROOT, len(chosen)))


def readable(found: list[Path]) -> Iterator[RGB]:
    for file in found:
        try:
            yield decode(file.read_bytes(), side=3 * SIDE).image
        except ImageError as error:
            print(f"{file.name}: {error}")


def region(chance: random.Random) -> tuple[float, float, float, float]:
    """A fifth to four fifths of either side, anywhere."""
    width = chance.uniform(0.2, 0.8)
    height = min(1.0, width * chance.uniform(0.75, 1.33))
    return chance.uniform(0, 1 - width), chance.uniform(0, 1 - height), width, height


def pooled(network: EfficientNetLite, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            pixels = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).float()
            parts.append(pool(network.last_block((pixels - 127) / 128)).numpy())
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
