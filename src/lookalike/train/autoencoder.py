"""Train a convolutional autoencoder end to end; its code, turned to principal axes, is an embedder like any other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lookalike.errors import SourceError
from lookalike.train.config import AutoencoderConfig
from lookalike.train.data.augment import RECIPES, views_of
from lookalike.train.data.cache import Pictures, cache_pictures
from lookalike.train.data.loader import Loader
from lookalike.train.data.sampling import shuffled
from lookalike.train.export import Parity, export
from lookalike.train.loop import Run, Tell, in_batches, quiet
from lookalike.train.models.autoencoder import Autoencoder, CodeEmbedder, to_pictures
from lookalike.train.models.centre_pooled import whitening
from lookalike.train.objectives import make_objective
from lookalike.train.run_folder import RunFolder, open_run
from lookalike.train.similarity_dataset import tell_gone
from lookalike.train.split import Split
from lookalike.types import Card, Failure, Preprocessing

Rows = NDArray[np.int64]
SHOWN = 12  # pictures of the figure of restorations
WALK = 9  # steps of the walk between two pictures
FITTED = 20_000  # codes from which the principal axes are fitted
SAMPLES = 16
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """How a run ended. `originals` and `restored`: (n, side, side, 3) uint8 of validation pictures; `walk`: (steps,
    side, side, 3), the codes between the first two, decoded."""

    folder: Path
    history: list[dict[str, float]]
    best_epoch: int
    originals: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    walk: NDArray[np.uint8]
    failed: Sequence[Failure]
    parity: Parity

    def __str__(self) -> str:
        best = self.history[self.best_epoch - 1]
        return f"validation PSNR {best['PSNR']:.1f} dB in epoch {self.best_epoch}, which is kept ({self.parity})"


@dataclass(slots=True, kw_only=True)
class RestorationTask:
    """What a Run trains."""

    network: Autoencoder
    objective: nn.Module
    config: AutoencoderConfig
    pictures: Pictures
    paths: Sequence[str]
    train: Rows
    val: Rows
    metric: str = "PSNR"

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters()), "share": 1.0}]

    def plan(self, epoch: int) -> list[Rows]:
        parts = shuffled(len(self.train), self.config.batch, (self.config.seed, epoch))
        return [self.train[rows] for rows in parts]

    def loss(self, rows: Rows, views: Tensor) -> Tensor:
        loss: Tensor = self.objective(self.network, as_pictures(views, self.network.channels))
        return loss

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean squared error of the restorations, and the peak signal-to-noise ratio in dB that it is."""
        total = sum(float(squares) for squares in self._squares(network))
        error = total / len(self.val)
        return {"mse": error, "PSNR": -10 * float(np.log10(max(error, 1e-10)))}

    def names(self, rows: Rows) -> Sequence[str]:
        return [self.paths[row] for row in rows]

    def _squares(self, network: nn.Module) -> "list[Tensor]":
        device = next(network.parameters()).device
        squares = []
        for part in in_batches(len(self.val), 256):
            views = torch.from_numpy(self.pictures.pixels[self.val[part]]).to(device)
            pictures = as_pictures(views, self.network.channels)
            squares.append(functional.mse_loss(network(pictures), pictures) * len(views))
        return squares


def train_autoencoder(
    split: Split,
    config: AutoencoderConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    tell: Tell = quiet,
    say: Say = lambda _line: None,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Train in `folder` and leave model.onnx and card.json there. The same call goes on with a run that was killed.

    Raises SourceError, BadQuery, BrokenModel, TrainingFailed.
    """
    run, resumed = open_run(folder, config, split, overwrite=overwrite)
    if resumed:
        say(f"going on with the run in {folder}")
    tell_gone(split, say)
    task = restoration_task(split, config, run, progress)
    for failure in task.pictures.failed[:5]:
        say(f"skipped {failure.path}: {failure.reason}")
    skipped = len(task.pictures.failed) + len(split.gone())
    say(f"{len(task.train):,} pictures to train on, {len(task.val):,} to validate, {skipped:,} skipped")
    loader = Loader(views_of(task.pictures.pixels, RECIPES[config.augment], config.side), config.workers)
    place = Run(task, loader, config, run).train(tell)
    task.network.to("cpu").eval()
    parity = write_embedder(task, config, run)
    shown = task.pictures.pixels[spread_over(task.val, SHOWN)]
    restored, walk = look(task.network, shown)
    failed = task.pictures.failed
    run.clean()
    return Restored(
        folder=run.path,
        history=place.history,
        best_epoch=place.best_epoch,
        originals=np.array(shown),
        restored=restored,
        walk=walk,
        failed=failed,
        parity=parity,
    )


def spread_over(rows: Rows, count: int) -> Rows:
    """So many rows, evenly from first to last: pictures come by path, and the first ones are all of one folder."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)]


def restoration_task(
    split: Split, config: AutoencoderConfig, run: RunFolder, progress: Callable[[int, int], None] | None
) -> RestorationTask:
    """The cache and the network at its start. Raises SourceError where there is too little to train or validate on."""
    wanted = [row for part in ("train", "val") for row in split.rows(part)]
    paths = [split.paths[row] for row in wanted]
    if not paths:
        raise SourceError("the split has no picture to train on; make it again with lookalike split")
    pictures = cache_pictures(paths, run.cache, side=config.side, progress=progress)
    parts = np.array([split.parts[row] for row in wanted])
    train, val = (pictures.rows[parts[pictures.rows] == part] for part in ("train", "val"))
    if len(train) < 2 or len(val) < 2:
        raise SourceError(
            f"{len(train)} pictures to train on and {len(val)} to validate are too few; "
            "split more pictures, or make the split with a larger --val, such as --val 0.1"
        )
    torch.manual_seed(config.seed)
    shape = {"dim": config.code} if config.objective == "variational" else {}
    return RestorationTask(
        network=Autoencoder(config.side, channels=1 if config.grey else 3, code=config.code, width=config.width),
        objective=make_objective(config.objective, **shape),
        config=config,
        pictures=pictures,
        paths=paths,
        train=train,
        val=val,
    )


def as_pictures(views: Tensor, channels: int) -> Tensor:
    """uint8 (N, H, W, 3) to (N, channels, H, W) in 0..1."""
    return to_pictures(views.permute(0, 3, 1, 2).float(), channels)


@torch.no_grad()
def write_embedder(task: RestorationTask, config: AutoencoderConfig, run: RunFolder) -> Parity:
    """The encoder with the principal axes of the training pictures' codes, exported with its proof."""
    rows = task.train[np.random.default_rng(config.seed).permutation(len(task.train))[:FITTED]]
    codes = torch.cat([encode(task.network, task.pictures.pixels[rows[part]]) for part in in_batches(len(rows), 256)])
    centre, axes = whitening(codes.numpy().astype(np.float64), dim=config.code, power=config.whiten)
    card = Card(
        name=run.path.name,
        dim=0,
        preprocessing=Preprocessing(size=(config.side, config.side)),
        sha256="",
        license="yours: trained from random weights",
        source=f"convolutional autoencoder, {config.code} numbers, objective {config.objective}",
        description=f"Trained by Lookalike on {len(task.train):,} pictures, without labels.",
    )
    embedder = CodeEmbedder(task.network, torch.from_numpy(centre), torch.from_numpy(axes))
    samples = np.asarray(task.pictures.pixels[np.resize(task.pictures.rows, SAMPLES)])
    return export(embedder, run.path, card, samples=samples)


def encode(network: Autoencoder, pixels: NDArray[np.uint8]) -> Tensor:
    return network.encode(as_pictures(torch.from_numpy(np.asarray(pixels)), network.channels))


@torch.no_grad()
def look(network: Autoencoder, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Restorations of pictures, and a straight walk from the first one's code to the second's."""
    codes = encode(network, pixels)
    shares = torch.linspace(0, 1, WALK)[:, None]
    return as_pixels(network.decode(codes)), as_pixels(network.decode(codes[:1] * (1 - shares) + codes[1:2] * shares))


def as_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) in 0..1 to uint8 (N, H, W, 3)."""
    levels = (pictures.expand(-1, 3, -1, -1) * 255).round().byte()
    return np.asarray(levels.permute(0, 2, 3, 1).contiguous().numpy())
