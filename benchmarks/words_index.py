"""Indexing with a large model (CLIP ViT-B/32 in size): the share of the ideal, and the peak of the memory.

ideal: the time of the same photos to be read, decoded and fitted, plus their time in the network, each measured alone
in one thread, divided over the cores. The rounds take turns (ideal, index, ideal, index ...). CPU time says the same
where other work takes turns on the cores: what decoding and the network need alone, of what the whole process needs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.index import prepare, seconds_index
from benchmarks.large_model import large_model
from benchmarks.photos import SIZES, write_photos
from lookalike.embed import get_embedder
from lookalike.image import single_threaded_opencv
from lookalike.indexing.pipeline import BATCH, default_workers
from lookalike.types import Embedder


def alone(paths: list[Path], embedder: Embedder) -> tuple[float, float, float]:
    """Seconds to decode, seconds in the network, CPU seconds of both, in one thread."""
    cpu, start = time.process_time(), time.perf_counter()
    with single_threaded_opencv():
        images = prepare(paths, embedder)
    decoded = time.perf_counter()
    for first in range(0, len(images), BATCH):
        embedder.embed(images[first : first + BATCH])
    return decoded - start, time.perf_counter() - decoded, time.process_time() - cpu


def peak_memory(photos: Path, model: str) -> float:
    """The peak resident memory in MB of a process that indexes a folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lookalike", "index", str(photos), "-c", f"{folder}/c", "--model", model]
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of the large model; made if it does not exist")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; by default photos of 0.3 MP are made")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cores = default_workers()
    with tempfile.TemporaryDirectory() as place, large_model(asked.model) as model:
        photos = Path(place) / "photos"
        if asked.photos:
            photos.mkdir()
            for n, path in enumerate(sorted(asked.photos.rglob("*.jpg"))[: asked.count]):
                (photos / f"{n:05}.jpg").write_bytes(path.read_bytes())
        else:
            write_photos(photos, asked.count, SIZES["0.3 MP"])
        paths = sorted(photos.glob("*.jpg"))
        memory = {name: peak_memory(photos, name) for name in ("efficientnet-lite1.two-parts", str(model))}
        embedder = get_embedder(model, device="cpu")
        embedder.embed([])
        wall, cpu, decode, network, speed = [], [], [], [], []
        for _ in range(asked.rounds):
            decode_s, network_s, alone_cpu = alone(paths, embedder)
            before = time.process_time()
            taken = seconds_index(photos, embedder)
            cpu.append(alone_cpu / (time.process_time() - before))
            wall.append((decode_s + network_s) / cores / taken)
            decode.append(1e3 * decode_s / len(paths))
            network.append(1e3 * network_s / len(paths))
            speed.append(len(paths) / taken)
        size = (model / "onnx" / "vision_model.onnx").stat().st_size / 1e6
    print(f"{len(paths)} photos, {cores} cores, {asked.rounds} rounds in turn, medians (range)\n")
    print("| decode ms | network ms | images/s | index / ideal | the same in CPU time |\n|---|---|---|---|---|")
    print(
        f"| {median(decode):.1f} | {median(network):.1f} | {median(speed):.1f} | "
        f"**{median(wall):.2f}** ({min(wall):.2f}-{max(wall):.2f}) | "
        f"**{median(cpu):.2f}** ({min(cpu):.2f}-{max(cpu):.2f}) |\n"
    )
    (small, large) = memory.values()
    print("| model | file, MB | peak memory of `lookalike index`, MB | beyond the file |\n|---|---|---|---|")
    print(f"| default | 9 | {small:.0f} | {small - 9:.0f} |")
    print(f"| large | {size:.0f} | **{large:.0f}** | **{large - size:.0f}** |")


if __name__ == "__main__":
    main()
