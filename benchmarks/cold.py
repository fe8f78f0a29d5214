"""Whole processes from a cold start: `lookalike search` in a large collection, and `lookalike --help`.

The collection holds made-up vectors around real photos' ones; the query is a real photo, embedded by the default model.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.photos import SIZES, write_photos
from lookalike.search import Collection, embed_images


def fill(uri: str, photos: list[Path], rows: int) -> None:
    """Rows scattered around the vectors of the photos, with the columns that an indexed picture has."""
    with Collection.open(uri, create=True) as collection:
        seeds = embed_images(photos, collection.embedder)
        random = np.random.default_rng(0)
        for start in range(0, rows, 10_000):
            n = min(10_000, rows - start)
            vectors = seeds[random.integers(0, len(seeds), n)] + 0.05 * random.normal(size=(n, seeds.shape[1]))
            vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
            facts = [{"path": f"/photos/{start + i}.jpg", "width": 640 + i % 3000, "plain": False} for i in range(n)]
            collection.store.add([f"photos/{start + i}.jpg" for i in range(n)], vectors, facts)
        collection.store.optimize()


def seconds(command: list[str], runs: int) -> list[float]:
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=7)
    asked = parser.parse_args()
    run = [sys.executable, "-m", "lookalike"]
    print("| command | median s | min-max |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        photos = write_photos(Path(place) / "photos", 60, SIZES["0.3 MP"])
        fill(f"{place}/c", photos, asked.rows)
        commands = {
            f"lookalike search query.jpg, {asked.rows:,} vectors": [*run, "search", str(photos[0]), "-c", f"{place}/c"],
            "the same with --where keeping 1%": [
                *run, "search", str(photos[0]), "-c", f"{place}/c", "--where", "width > 3610",
            ],
            "lookalike --help": [*run, "--help"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }  # fmt: skip
        for name, command in commands.items():
            times = seconds(command, asked.runs)
            print(f"| {name} | **{median(times):.2f}** | {min(times):.2f}-{max(times):.2f} |", flush=True)


if __name__ == "__main__":
    main()
