"""How fast does training go? Three questions, in one run; ratios are printed beside times.

    python -m benchmarks.train_speed [--steps 4] [--vectors 10000]

1. Head only, over vectors embedded once: seconds for 10,000 vectors of 256 numbers, 20 epochs.
2. The share of a step that waits for data, training the full backbone at 224 pixels with strong edits.
3. The full backbone, pictures a second, beside a plain PyTorch loop: the network as published with its batch norms in
   training, pictures read from their files and altered by the same recipe in the loop, one after the other.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from benchmarks.photos import write_photos
from lookalike.embed.registry import BASE_MODEL, model_folder
from lookalike.image import decode, fit, read
from lookalike.similarity import normalize
from lookalike.train.data.augment import RECIPES, view, views_of
from lookalike.train.data.cache import cache_images
from lookalike.train.data.loader import Loader
from lookalike.train.data.sampling import balanced, two_views
from lookalike.train.models.center_pooled import pool
from lookalike.train.models.efficientnet_lite import load_pretrained
from lookalike.train.models.folded_lite import read_weights
from lookalike.train.models.tuned import Head, Tuned
from lookalike.train.objectives import make_objective
from lookalike.train.similarity_training import to_input
from lookalike.types import Preprocessing

SIDE, BATCH, PHOTOS = 224, 32, 48
RECIPE = RECIPES["edits"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--vectors", type=int, default=10_000)
    options = parser.parse_args()
    head_only(options.vectors)
    with TemporaryDirectory() as folder:
        paths = [str(p) for p in write_photos(Path(folder) / "photos", PHOTOS, (640, 480))]
        engines = {"plain loop": plain(paths, options.steps), "ours": ours(paths, Path(folder), options.steps)}
        for _ in range(2):  # in turn, so that a busy moment hits both
            for name, run in engines.items():
                rate, waited = run()
                wait = f", waiting for data {waited:.1%} of the time" if name == "ours" else ""
                print(f"full backbone, {name}: {rate:.2f} images a second{wait}", flush=True)


def head_only(count: int, epochs: int = 20) -> None:
    random = np.random.default_rng(0)
    vectors = torch.from_numpy(normalize(random.normal(size=(count, 256))))
    labels = np.arange(count) // 10
    head, objective = Head(256, 256, 512), make_objective("supcon", dim=256, classes=count // 10)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    started = time.perf_counter()
    for epoch in range(epochs):
        for rows in balanced(labels, 256, 4, (0, epoch)):
            loss = objective(head(vectors[rows]), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"head only: {count:,} vectors, {epochs} epochs, {time.perf_counter() - started:.1f} s", flush=True)


class Published(nn.Module):
    """The network as it was published, batch norms and all, pooled as ours is."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load_pretrained(1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pool(self.network.last_block(pixels))


def plain(paths: list[str], steps: int) -> Callable[[], tuple[float, float]]:
    """What one would write first: read, alter, stack, step."""
    network = Published().train()
    shape = Preprocessing(size=(round(SIDE * 8 / 7),) * 2)
    random = np.random.default_rng(0)

    def batch() -> Iterator[np.ndarray]:
        for path in paths[: BATCH // 2] * 2:
            yield view(fit(decode(read(path)).image, shape), RECIPE, SIDE, random)

    def batches() -> Iterator[torch.Tensor]:
        while True:
            pixels = torch.from_numpy(np.stack(list(batch()))).permute(0, 3, 1, 2).contiguous()
            yield (pixels.float() - 127) / 128

    return lambda: (train(network, batches(), steps), 0.0)


def ours(paths: list[str], folder: Path, steps: int) -> Callable[[], tuple[float, float]]:
    """The room's own parts: cache, threads, channels-last, folded batch norms."""
    pictures = cache_images(paths, folder / "cache", side=round(SIDE * 8 / 7))
    network = Tuned(read_weights(model_folder(BASE_MODEL) / "model.onnx")).train()
    network.set_trainable("all")
    network.to(memory_format=torch.channels_last)
    plan = two_views([np.arange(BATCH // 2)] * (steps + 1))

    def run() -> tuple[float, float]:
        loader = Loader(views_of(pictures.pixels, RECIPE, SIDE), 2)
        started_at = time.perf_counter()
        rate = train(network, (to_input(torch.from_numpy(v)) for _, v in loader.batches(plan, (0, 0))), steps)
        took = time.perf_counter() - started_at
        loader.close()
        return rate, loader.waited / took

    return run


def train(network: nn.Module, batches: Iterator[torch.Tensor], steps: int) -> float:
    """Pictures a second over `steps` steps, after one that is not counted."""
    objective = make_objective("sscd", dim=256, classes=BATCH // 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    labels = torch.arange(BATCH // 2).repeat(2)
    for step, pixels in zip(range(steps + 1), batches, strict=False):
        if step == 1:
            started = time.perf_counter()
        loss = objective(network(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return BATCH * steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
