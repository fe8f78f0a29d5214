"""Train a convolutional autoencoder; its code, rotated to principal axes, is an embedder like any other."""

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
from lookalike.train.data.cache import ImageCache, cache_images
from lookalike.train.data.loader import Loader
from lookalike.train.data.sampling import shuffled
from lookalike.train.export import Parity, export
from lookalike.train.loop import ProgressCallback, TrainingRun, in_batches, no_progress
from lookalike.train.models.autoencoder import Autoencoder, CodeEmbedder, scale_pixels
from lookalike.train.models.center_pooled import whitening
from lookalike.train.objectives import make_objective
from lookalike.train.run_folder import RunFolder, open_run
from lookalike.train.similarity_dataset import warn_missing
from lookalike.train.split import Split
from lookalike.types import Card, Failure, Preprocessing

Rows = NDArray[np.int64]
N_SHOWN = 12  # images in the figure of reconstructions
WALK_STEPS = 9  # steps of the walk between two images
MAX_FITTED_CODES = 20_000  # codes from which the principal axes are fitted
N_PARITY_SAMPLES = 16
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderResult:
    """The result of a run.

    `originals` and `restored`: (n, side, side, 3) uint8, validation images and their reconstructions. `walk`: (steps,
    side, side, 3), decoded codes between the first two images.
    """

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
        return f"validation PSNR {best['PSNR']:.1f} dB in epoch {self.best_epoch}, which is saved ({self.parity})"


@dataclass(slots=True, kw_only=True)
class ReconstructionTask:
    """The reconstruction of images from their codes."""

    network: Autoencoder
    objective: nn.Module
    config: AutoencoderConfig
    images: ImageCache
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
        loss: Tensor = self.objective(self.network, to_network_input(views, self.network.channels))
        return loss

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the mean squared error of the reconstructions and its peak signal-to-noise ratio in dB."""
        total = sum(float(squares) for squares in self._squares(network))
        error = total / len(self.val)
        return {"mse": error, "PSNR": -10 * float(np.log10(max(error, 1e-10)))}

    def names(self, rows: Rows) -> Sequence[str]:
        return [self.paths[row] for row in rows]

    def _squares(self, network: nn.Module) -> "list[Tensor]":
        device = next(network.parameters()).device
        squares = []
        for part in in_batches(len(self.val), 256):
            views = torch.from_numpy(self.images.pixels[self.val[part]]).to(device)
            inputs = to_network_input(views, self.network.channels)
            squares.append(functional.mse_loss(network(inputs), inputs) * len(views))
        return squares


def train_autoencoder(
    split: Split,
    config: AutoencoderConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    on_progress: ProgressCallback = no_progress,
    log: Log = lambda _line: None,
    progress: Callable[[int, int], None] | None = None,
) -> AutoencoderResult:
    """Train in `folder` and write model.onnx and card.json there. The same call resumes a killed run.

    Raises SourceError, BadQuery, BrokenModel, TrainingFailed.
    """
    run, resumed = open_run(folder, config, split, overwrite=overwrite)
    if resumed:
        log(f"resuming the run in {folder}")
    warn_missing(split, log)
    task = reconstruction_task(split, config, run, progress)
    for failure in task.images.failed[:5]:
        log(f"skipped {failure.path}: {failure.reason}")
    skipped = len(task.images.failed) + len(split.missing_paths())
    log(f"{len(task.train):,} images to train on, {len(task.val):,} to validate, {skipped:,} skipped")
    loader = Loader(views_of(task.images.pixels, RECIPES[config.augment], config.side), config.workers)
    state = TrainingRun(task, loader, config, run).train(on_progress)
    task.network.to("cpu").eval()
    parity = write_embedder(task, config, run)
    shown = task.images.pixels[evenly_spaced(task.val, N_SHOWN)]
    restored, walk = reconstruct(task.network, shown)
    failed = task.images.failed
    run.clean()
    return AutoencoderResult(
        folder=run.path,
        history=state.history,
        best_epoch=state.best_epoch,
        originals=np.array(shown),
        restored=restored,
        walk=walk,
        failed=failed,
        parity=parity,
    )


def evenly_spaced(rows: Rows, count: int) -> Rows:
    """Return `count` rows at even distances: images are ordered by path, so the first ones are all of one folder."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)]


def reconstruction_task(
    split: Split, config: AutoencoderConfig, run: RunFolder, progress: Callable[[int, int], None] | None
) -> ReconstructionTask:
    """Return the task with its image cache and initial network. Raises SourceError for too few images."""
    rows = [row for part in ("train", "val") for row in split.rows(part)]
    paths = [split.paths[row] for row in rows]
    if not paths:
        raise SourceError("the split has no image to train on; make it again with lookalike split")
    images = cache_images(paths, run.cache, side=config.side, progress=progress)
    parts = np.array([split.parts[row] for row in rows])
    train, val = (images.rows[parts[images.rows] == part] for part in ("train", "val"))
    if len(train) < 2 or len(val) < 2:
        raise SourceError(
            f"{len(train)} images to train on and {len(val)} to validate are too few; "
            "split more images, or make the split with a larger --val, such as --val 0.1"
        )
    torch.manual_seed(config.seed)
    shape = {"dim": config.code} if config.objective == "variational" else {}
    return ReconstructionTask(
        network=Autoencoder(config.side, channels=1 if config.gray else 3, code=config.code, width=config.width),
        objective=make_objective(config.objective, **shape),
        config=config,
        images=images,
        paths=paths,
        train=train,
        val=val,
    )


def to_network_input(views: Tensor, channels: int) -> Tensor:
    """Convert uint8 (N, H, W, 3) to (N, channels, H, W) in 0..1."""
    return scale_pixels(views.permute(0, 3, 1, 2).float(), channels)


@torch.no_grad()
def write_embedder(task: ReconstructionTask, config: AutoencoderConfig, run: RunFolder) -> Parity:
    """Export the encoder with the principal axes of the training images' codes, after a parity check."""
    rows = task.train[np.random.default_rng(config.seed).permutation(len(task.train))[:MAX_FITTED_CODES]]
    codes = torch.cat([encode(task.network, task.images.pixels[rows[part]]) for part in in_batches(len(rows), 256)])
    center, axes = whitening(codes.numpy().astype(np.float64), dim=config.code, power=config.whiten)
    card = Card(
        name=run.path.name,
        dim=0,
        preprocessing=Preprocessing(size=(config.side, config.side)),
        sha256="",
        license="yours: trained from random weights",
        source=f"convolutional autoencoder, {config.code} numbers, objective {config.objective}",
        description=f"Trained by Lookalike on {len(task.train):,} images, without labels.",
    )
    embedder = CodeEmbedder(task.network, torch.from_numpy(center), torch.from_numpy(axes))
    samples = np.asarray(task.images.pixels[np.resize(task.images.rows, N_PARITY_SAMPLES)])
    return export(embedder, run.path, card, samples=samples)


def encode(network: Autoencoder, pixels: NDArray[np.uint8]) -> Tensor:
    return network.encode(to_network_input(torch.from_numpy(np.asarray(pixels)), network.channels))


@torch.no_grad()
def reconstruct(network: Autoencoder, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the reconstructions of images, and a straight walk from the first one's code to the second's."""
    codes = encode(network, pixels)
    shares = torch.linspace(0, 1, WALK_STEPS)[:, None]
    return to_pixels(network.decode(codes)), to_pixels(network.decode(codes[:1] * (1 - shares) + codes[1:2] * shares))


def to_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Convert (N, C, H, W) in 0..1 to uint8 (N, H, W, 3)."""
    levels = (pictures.expand(-1, 3, -1, -1) * 255).round().byte()
    return np.asarray(levels.permute(0, 2, 3, 1).contiguous().numpy())
