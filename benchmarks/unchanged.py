"""The second `index` of a folder of which nothing changed: seconds, and how many of its files are opened."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.photos import jpeg
from lookalike.search import Collection
from lookalike.types import RGB, Card, Preprocessing, Vectors


class Blind:
    """An embedder that does not look: what is measured is everything else."""

    card = Card(name="blind", dim=256, preprocessing=Preprocessing(size=(8, 8)), sha256="0" * 64, license="", source="")

    def embed(self, images: Sequence[RGB]) -> Vectors:
        vectors = np.random.default_rng(len(images)).normal(size=(len(images), 256)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for n in range(count):
        if n % 1000 == 0:
            (folder / f"{n // 1000:03}").mkdir(parents=True)
        pixels = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        (folder / f"{n // 1000:03}" / f"{n:06}.jpg").write_bytes(jpeg(pixels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        write(folder, asked.files)
        with Collection.open(f"{place}/c", model=Blind(), create=True) as photos:
            begun = time.perf_counter()
            photos.sync(folder)
            first = time.perf_counter() - begun
        opened = 0

        def count_opens(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal opened
            path = arguments[0] if event == "open" and arguments else None
            opened += isinstance(path, str | bytes) and os.fsdecode(path).startswith(str(folder))

        sys.addaudithook(count_opens)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            with Collection.open(f"{place}/c", model=Blind()) as photos:
                report = photos.sync(folder)
            times.append(time.perf_counter() - begun)
            assert report.unchanged == asked.files, report
    print("| files | first run, embedding nothing, s | second run, s (three runs) | files opened |\n|---|---|---|---|")
    print(f"| {asked.files:,} | {first:.0f} | {', '.join(f'**{t:.1f}**' for t in times)} | {opened} |")


if __name__ == "__main__":
    main()
