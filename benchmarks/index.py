"""How near indexing comes to the ideal, and how it compares with a plain PyTorch loop.

ideal: the same photos' time to be read, decoded and fitted, plus their time in the network, each measured alone in one
thread, divided over the cores. The rounds take turns (ideal, index, ideal, index ...); medians are told.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.photos import SIZES, linked, write_photos
from lookalike.embed import get_embedder
from lookalike.image import Limits, decode, fit, read, single_threaded_opencv
from lookalike.indexing.pipeline import BATCH, default_workers
from lookalike.search import Collection
from lookalike.types import RGB, Embedder

# (files, different photos among them): long enough that opening and closing a collection does not count.
COUNTS = {"0.3 MP": (2400, 300), "2 MP": (1600, 150), "12 MP": (720, 60)}


def prepare(paths: Sequence[Path], embedder: Embedder) -> list[RGB]:
    card = embedder.card.preprocessing
    return [fit(decode(read(str(p), Limits()), side=max(card.size)).image, card) for p in paths]


def seconds_alone(paths: Sequence[Path], embedder: Embedder) -> tuple[float, float]:
    """Seconds an image in one thread: to decode, to embed."""
    begun = time.perf_counter()
    images = prepare(paths, embedder)
    decoded = time.perf_counter()
    for start in range(0, len(images), BATCH):
        embedder.embed(images[start : start + BATCH])
    return (decoded - begun) / len(paths), (time.perf_counter() - decoded) / len(paths)


def seconds_index(folder: Path, embedder: Embedder) -> float:
    place = tempfile.mkdtemp()
    begun = time.perf_counter()
    with Collection.open(f"{place}/c", model=embedder, create=True) as photos:
        report = photos.sync(folder)
        taken = time.perf_counter() - begun
        assert report.added == len(list(folder.rglob("*.jpg"))), report
    shutil.rmtree(place)
    return taken


def seconds_torch(paths: Sequence[Path]) -> float:
    """Seconds an image: read with OpenCV, one forward pass each, PyTorch eager with its own choice of threads."""
    import cv2
    import torch

    from lookalike.train.models.efficientnet_lite import load_pretrained

    network = load_pretrained(1).eval()
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
        begun = time.perf_counter()
        for path in paths:
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            small = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
            batch = (torch.from_numpy(small).permute(2, 0, 1)[None].float() - 127) / 128
            network(batch)
    return (time.perf_counter() - begun) / len(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of photos")
    asked = parser.parse_args()
    embedder, cores = get_embedder(), default_workers()
    print(f"{embedder.card.name}, {cores} cores, {asked.rounds} rounds in turn, medians\n")
    print("| photos | decode ms | embed ms | ideal images/s | index images/s | index / ideal | index / PyTorch loop |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for name, size in SIZES.items():
            count, different = (max(16, round(n * asked.share)) for n in COUNTS[name])
            paths = linked(write_photos(Path(place) / f"originals {name}", different, size), Path(place) / name, count)
            alone, index, eager = [], [], []
            for _ in range(asked.rounds):
                with single_threaded_opencv():
                    alone.append(seconds_alone(paths[:different], embedder))
                index.append(seconds_index(Path(place) / name, embedder) / count)
                eager.append(seconds_torch(paths[:64]))
            decode_s, embed_s = (median(a[i] for a in alone) for i in (0, 1))
            ratios = [sum(a) / cores / i for a, i in zip(alone, index, strict=True)]
            faster = [e / i for e, i in zip(eager, index, strict=True)]
            print(
                f"| {name} | {1e3 * decode_s:.1f} | {1e3 * embed_s:.1f} | {cores / (decode_s + embed_s):.0f} | "
                f"{1 / median(index):.0f} | **{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) | "
                f"**{median(faster):.1f}** |",
                flush=True,
            )


if __name__ == "__main__":
    main()
