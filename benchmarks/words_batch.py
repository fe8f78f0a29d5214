"""Batch size, callers and threads of a forward pass for a large model (CLIP ViT-B/32 in size) on a CPU.

CPU milliseconds an image, and in brackets the least wall time; the settings take turns, medians.
"""

import argparse
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.large_model import SIDE, large_model
from lookalike.embed.onnx_session import create_session

SETTINGS = [(callers, threads, batch) for callers, threads in ((2, 1), (1, 1), (1, 2)) for batch in (1, 2, 4, 8, 16)]


def measure(session: Any, callers: int, batch: int, images: int) -> tuple[float, float]:
    """CPU and wall milliseconds an image."""
    pixels = np.random.default_rng(0).normal(size=(batch, 3, SIDE, SIDE)).astype(np.float32)

    def run() -> None:
        for _ in range(images // callers // batch):
            session.run(None, {"pixel_values": pixels})

    threads = [threading.Thread(target=run) for _ in range(callers)]
    cpu, wall = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (1e3 * (time.process_time() - cpu) / images, 1e3 * (time.perf_counter() - wall) / images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of the large model; made if it does not exist")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    results: dict[tuple[int, int, int], list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
    with large_model(asked.model) as model:
        path = model / "onnx" / "vision_model.onnx"
        sessions = {threads: create_session(path, threads=threads, name="large") for threads in (1, 2)}
        for _ in range(asked.rounds):
            for callers, threads, batch in SETTINGS:
                results[callers, threads, batch].append(measure(sessions[threads], callers, batch, asked.images))
    print("| callers x threads | batch 1 | 2 | 4 | 8 | 16 |\n|---|---|---|---|---|---|")
    for callers, threads in ((2, 1), (1, 1), (1, 2)):
        rows = [results[callers, threads, batch] for batch in (1, 2, 4, 8, 16)]
        cells = [f"{median(cpu for cpu, _ in row):.1f} ({min(wall for _, wall in row):.1f})" for row in rows]
        print(f"| {callers} x {threads} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
