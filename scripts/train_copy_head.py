"""Train the last layer of the copy head with large batches, over a network whose other weights stay.

    python -m scripts.train_copy_head TRAIN_DIR --start WEIGHTS -o RUN [--set NAME=VALUE ...]
    python -m scripts.train_two_parts TRAIN_DIR -o RUN --export FOLDER

TRAIN_DIR and the images that are left out: as for scripts/train_two_parts.py, whose best.safetensors is WEIGHTS. That
script trains every layer with 160 views a batch, as many as two cores can take; the objective, which wants each view
apart from its nearest neighbor, says more with thousands. The pooled rows of all views are computed once, into
RUN/pooled.npz; then the linear layer (1280 to 256) learns from some 3,000 views a step, in a minute or two.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scripts.train_two_parts import (
    SIDE,
    Images,
    Rows,
    TwoPartConfig,
    Validation,
    copy_metrics,
    initial_network,
    make_validation,
    shown_matrix,
    split,
    to_input,
)
from torch import Tensor, nn

from lookalike.train.checkpoint import BEST, read_tensors, write_tensors
from lookalike.train.config import from_pairs
from lookalike.train.data.augment import view
from lookalike.train.data.copy_views import LIGHT, MAX_SHOWN, STRONG, one_view
from lookalike.train.loop import in_batches
from lookalike.train.models.two_part import TwoPart
from lookalike.train.objectives.sscd_mixed import mixed_loss
from lookalike.train.run_folder import RunFolder

POOLED_FILE = "pooled.npz"
_BATCH = 32  # views of one forward pass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig(TwoPartConfig):
    """The settings. `strong_views`: of each image, beside a light one. `images`, `mixed`: in a batch."""

    strong_views: int = 3
    steps: int = 150
    images: int = 768
    mixed: int = 256
    rate: float = 1e-3
    weight_decay: float = 1e-4
    temperature: float = 0.04


@dataclass(frozen=True, slots=True)
class PooledViews:
    """Pooled rows (n, width), and the images that each view shows (n, MAX_SHOWN), -1 where there are fewer."""

    pooled: Tensor
    rows: Rows

    def draw(self, random: np.random.Generator, config: HeadConfig) -> tuple[Tensor, Rows]:
        """Draw a batch: two views of each of `images` images and of those in `mixed` mixed views, and the latter."""
        single = np.flatnonzero(self.rows[:, 1] < 0)
        mixed = random.choice(np.flatnonzero(self.rows[:, 1] >= 0), config.mixed, replace=False)
        shown = self.rows[mixed]
        images = np.union1d(shown[shown >= 0], random.choice(self.rows[single, 0], config.images, replace=False))
        order = random.permutation(single)
        order = order[np.isin(self.rows[order, 0], images)]
        order = order[np.argsort(self.rows[order, 0], kind="stable")]
        firsts = np.unique(self.rows[order, 0], return_index=True)[1]
        batch = np.concatenate((order[firsts], order[firsts + 1], mixed))
        return self.pooled[batch], self.rows[batch]


def pool_views(network: TwoPart, images: Images, config: HeadConfig) -> PooledViews:
    """Make the views of all images and pool each: one light, some strong, and for every second image a mixed one."""
    random = np.random.default_rng(config.seed)
    pooled: list[NDArray[np.float32]] = []
    views: list[NDArray[np.uint8]] = []
    rows: list[list[int]] = []
    count = len(images.paths)
    for row in range(count):
        image = images(row)
        views += [view(image, recipe, SIDE, random) for recipe in (LIGHT, *[STRONG] * config.strong_views)]
        rows += [[row]] * (1 + config.strong_views)
        if row % 2 == 0:
            others = random.choice(count, int(random.choice((1, 1, 1, 2, 3))), replace=False)
            views.append(one_view([image, *(images(int(n)) for n in others)], 0, SIDE, random))
            rows.append([row, *map(int, others)])
        if len(views) >= _BATCH or row == count - 1:
            pooled.append(pool(network, np.stack(views)))
            views = []
        if row % 500 == 0:
            print(f"pooled {row:,} of {count:,} images", flush=True)
    padded = np.array([row + [-1] * (MAX_SHOWN - len(row)) for row in rows], np.int64)
    return PooledViews(torch.from_numpy(np.concatenate(pooled)), padded)


@torch.no_grad()
def pool(network: TwoPart, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [
        network.copy.pooled(network.backbone.last_block(to_input(torch.from_numpy(pixels[part]))))
        for part in in_batches(len(pixels), _BATCH)
    ]
    return np.asarray(torch.cat(parts).numpy())


def pooled_views(file: Path, network: TwoPart, images: Images, config: HeadConfig) -> PooledViews:
    """Return the pooled views of a file, which is made if it is missing."""
    if not file.exists():
        made = pool_views(network, images, config)
        np.savez(file, pooled=made.pooled.numpy().astype(np.float16), rows=made.rows)
    with np.load(file) as stored:
        return PooledViews(torch.from_numpy(stored["pooled"].astype(np.float32)), stored["rows"])


def train_head(head: nn.Linear, views: PooledViews, config: HeadConfig, report: "Report") -> None:
    """Train by AdamW with a cosine schedule; `report` is called every 50 steps."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    random = np.random.default_rng(config.seed)
    for step in range(1, config.steps + 1):
        pooled, rows = views.draw(random, config)
        loss = mixed_loss(head(pooled), torch.from_numpy(shown_matrix(rows)), temperature=config.temperature)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            report(step, float(loss))


class Report:
    """Prints the metrics of the validation images, which are pooled once."""

    def __init__(self, network: TwoPart, validation: Validation) -> None:
        self.head, self.rows = network.copy.project, validation.rows
        self.gallery, self.queries = pool(network, validation.gallery), pool(network, validation.queries)

    def __call__(self, step: int, loss: float) -> None:
        with torch.no_grad():
            gallery, queries = (self.head(torch.from_numpy(x)).numpy() for x in (self.gallery, self.queries))
        result = copy_metrics(gallery, queries, self.rows)
        print(f"step {step} loss {loss:.3f} | micro-AP {result['micro-AP']:.4f}, recall@1 {result['recall@1']:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("--start", type=Path, required=True, metavar="WEIGHTS")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    config = HeadConfig.of(from_pairs(options.set, HeadConfig()))
    options.output.mkdir(parents=True, exist_ok=True)
    train, validation = split(options.folder)
    images = Images(options.folder, train)
    network = initial_network(images, config)
    network.load_state_dict(read_tensors(options.start)[0])
    report = Report(network.eval(), make_validation(options.folder, validation, train))
    report(0, float("nan"))
    views = pooled_views(options.output / POOLED_FILE, network, images, config)
    train_head(network.copy.project, views, config, report)
    run = RunFolder(options.output)
    write_tensors(run.checkpoints / BEST, dict(network.state_dict()), {})
    print(f"written: {run.checkpoints / BEST}")


if __name__ == "__main__":
    main()
